from __future__ import annotations

import json
from pathlib import Path

import cbor2
import pytest
from click.testing import CliRunner, Result

from fpaas.cli import main
from fpaas.firehose.capture import LENGTH
from fpaas.plan import capacity
from fpaas.spec import VARIABLES, RunSpec
from fpaas.spec.values import Variable


def plan(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["plan", *map(str, arguments)])


def test_writes_a_run_that_loads(tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text('{"bench_consumers": "7", "bench_batch_size": 5}')
    output = tmp_path / "results" / "x" / "run.json"
    result = plan("--variables", variables, "--set", "bench_batch_size=9", "--output", output)
    assert result.exit_code == 0, result.output
    run = RunSpec.load(output)
    assert run.consumers.count == 7
    assert run.consumers.batch_size == 9
    assert run.t0_unix_ns == 0
    assert run.firehose.first_seq == 1
    assert run.run_id.endswith("Z-custom")


def test_json_has_plan_and_sentences() -> None:
    content = json.loads(plan("--format", "json").output)
    assert content["plan"]["offered_per_s"] == 450
    assert content["expected"]
    assert content["warnings"] == []


def test_reads_a_topology(tmp_path: Path) -> None:
    topology = tmp_path / "topology.json"
    hosts = {"relay": ["r"], "nats": ["n"], "shuffler": ["s"], "consumers": ["c1", "c2"]}
    topology.write_text(
        json.dumps(
            {
                "hosts": hosts,
                "nats_url": "nats://n",
                "nats_monitoring_url": "http://n:8222",
                "relay_url": "ws://r",
            }
        )
    )
    output = tmp_path / "run.json"
    result = plan("--topology", topology, "--output", output, "--set", "bench_consumers=3")
    assert result.exit_code == 0, result.output
    assert {host: share.count for host, share in RunSpec.load(output).shares.items()} == {
        "c1": 2,
        "c2": 1,
    }


def test_a_relay_of_ours_needs_a_host(tmp_path: Path) -> None:
    topology = tmp_path / "topology.json"
    hosts = {"relay": [], "nats": ["n"], "shuffler": ["s"], "consumers": ["c"]}
    urls = {"nats_url": "nats://n", "nats_monitoring_url": "http://n", "relay_url": "ws://r"}
    topology.write_text(json.dumps({"hosts": hosts, **urls}))
    refused = plan("--topology", topology)
    assert refused.exit_code == 2
    assert "the group relay has no host" in refused.output
    foreign = plan("--topology", topology, "--set", "bench_firehose_source=wss://relay.example")
    assert foreign.exit_code == 0, foreign.output


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("bench_delivery=broadcast", "bench_delivery: 'broadcast' is not allowed; allowed: fanout"),
        ("bench_consumers=0", "bench_consumers: '0' is not allowed"),
        ("bench_consumers=-3", "bench_consumers: '-3' is not allowed"),
        ("bench_poll_jitter_pct=101", "from 0 to 100"),
        ("bench_firehose_rate_per_s=0", "bench_firehose_rate_per_s: '0' is not allowed"),
        ("bench_consumer=3", "did you mean bench_consumers?"),
        ("bench_consumers", "expected NAME=VALUE"),
        ("=3", "--set '=3': expected NAME=VALUE"),
        (" = 3", "expected NAME=VALUE"),
        ("bench_firehose_source=http://x", "bench_firehose_source: 'http://x' is not allowed"),
        ("bench_firehose_source=wss://", "bench_firehose_source: 'wss://' is no relay"),
        ("bench_firehose_source=wss://me:secret@host", "a user or a password is not allowed"),
        ("bench_firehose_source=missing.bin", "there is no such file"),
        ("bench_stream_replicas=3", "bench_stream_replicas: 3 is not allowed; each replica needs"),
    ],
)
def test_refuses_wrong_variables(assignment: str, words: str, tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    result = plan("--set", assignment, "--output", output)
    assert result.exit_code == 2
    assert words in result.output
    assert not output.exists()


def test_takes_lists_and_mappings_as_they_are_and_as_json(tmp_path: Path) -> None:
    given: dict[str, object] = {
        "bench_mix": [{"name": "all", "share_pct": 100}],
        "bench_faults": [{"do": "pause", "on": "nats", "at_s": 9, "for_s": 1}],
        "bench_firehose_mix": {"identity": 5},
        "bench_firehose_rate_per_s": [{"for_s": 5, "rate_per_s": 100}],
    }
    # Each variable of a kind of its own, so that a new one is not forgotten.
    structured = {name for name, one in VARIABLES.items() if type(one) is not Variable}
    assert structured == given.keys()
    runs = []
    for variables in (given, {name: json.dumps(value) for name, value in given.items()}):
        output = tmp_path / "run.json"
        result = plan("--variables", json.dumps(variables), "--run-id", "r", "--output", output)
        assert result.exit_code == 0, result.output
        runs.append(RunSpec.load(output).variables)
    assert runs[0] == runs[1]
    assert runs[0]["bench_firehose_mix"] == {"identity": 5}
    assert plan("--variables", '{"bench_mix": "[{"}').exit_code == 2


@pytest.mark.parametrize("content", ["[]", "{", '{"hosts": {}}', '{"bench_consumers": true}'])
def test_refuses_files_that_are_none(content: str, tmp_path: Path) -> None:
    file = tmp_path / "content.json"
    file.write_text(content)
    assert plan("--topology", file).exit_code == 2
    assert plan("--variables", file).exit_code == 2
    assert plan("--variables", tmp_path / "missing.json").exit_code == 2


def test_refuses_a_topology_without_consumers(tmp_path: Path) -> None:
    file = tmp_path / "topology.json"
    file.write_text(
        '{"hosts": {"nats": ["n"], "shuffler": ["s"], "consumers": []}, "nats_url": "nats://n", '
        '"nats_monitoring_url": "http://n", "relay_url": "ws://r"}'
    )
    result = plan("--topology", file)
    assert result.exit_code == 2
    assert "consumers has no host" in result.output


@pytest.mark.parametrize(
    ("hosts", "replicas", "words"),
    [
        (["n1", "n2"], 1, "group nats: 2 hosts are not allowed"),
        (["n1"], 3, "bench_stream_replicas: 3 is not allowed"),
    ],
)
def test_refuses_nats_hosts_that_cannot_hold_the_stream(
    hosts: list[str], replicas: int, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "topology.json"
    groups = {"nats": hosts, "shuffler": ["s"], "consumers": ["c"]}
    urls = {"nats_url": "nats://n", "nats_monitoring_url": "http://n", "relay_url": "ws://r"}
    file.write_text(json.dumps({"hosts": groups, **urls}))
    result = plan("--topology", file, "--set", f"bench_stream_replicas={replicas}")
    assert result.exit_code == 2
    assert words in result.output


def test_refuses_numbers_beyond_any_float(tmp_path: Path) -> None:
    variables = tmp_path / "variables.json"
    variables.write_text(f'{{"bench_consumers": 1{400 * "0"}}}')
    result = plan("--variables", variables)
    assert result.exit_code == 2
    assert "is not allowed; allowed: a whole number of consumers" in result.output
    result = plan("--goals", f'{{"errors_max": 1{400 * "0"}}}')
    assert result.exit_code == 2
    assert "allowed: a number from 0 on" in result.output


def test_refuses_a_run_id_that_leaves_the_results_directory() -> None:
    result = plan("--run-id", "../x")
    assert result.exit_code == 2
    assert "--run-id '../x'" in result.output


def test_a_scenarios_bad_name_is_not_blamed_on_the_run_id() -> None:
    result = plan("--run-id", "20260102T030405Z-../x", "--scenario-name", "../x")
    assert result.exit_code == 2
    assert "scenario_name: '../x' is not allowed" in result.output


def test_a_capture_gives_its_first_seq_and_an_absolute_path(
    real_frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(real_frames.parent)
    output = tmp_path / "run.json"
    result = plan("--set", f"bench_firehose_source={real_frames.name}", "--output", output)
    assert result.exit_code == 0, result.output
    run = RunSpec.load(output)
    assert run.firehose.source == str(real_frames.resolve())
    assert run.firehose.first_seq is not None
    assert run.firehose.first_seq > 1


def test_the_report_has_the_plan_that_was_printed_for_a_capture(tmp_path: Path) -> None:
    capture, output = tmp_path / "small.bin", tmp_path / "run.json"
    header = cbor2.dumps({"op": 1, "t": "#identity"}, canonical=True)
    body = {"seq": 7, "did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "time": "2026-07-04T14:38:07.517Z"}
    frame = header + cbor2.dumps(body, canonical=True)
    capture.write_bytes(LENGTH.pack(len(frame)) + frame)
    arguments = ("--set", f"bench_firehose_source={capture}", "--output", output)
    result = plan(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)["plan"]
    assert printed["frame_bytes_mean"] == len(frame)
    assert capacity.predict(RunSpec.load(output)) == printed


def test_a_run_plays_a_capture_at_the_pace_at_which_it_was_recorded(tmp_path: Path) -> None:
    path, output = tmp_path / "capture.bin", tmp_path / "run.json"
    # A frame each 0.1 s for 2 s, then each 0.5 s for 4 s.
    at_s = [i / 10 for i in range(20)] + [2 + i / 2 for i in range(8)]
    frames = [
        cbor2.dumps({"t": "#identity", "op": 1})
        + cbor2.dumps(
            {"did": "did:plc:a", "seq": seq, "time": f"2026-11-30T09:00:{one:09.6f}Z"},
            canonical=True,
        )
        for seq, one in enumerate(at_s, 1)
    ]
    path.write_bytes(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))
    source = ("--set", f"bench_firehose_source={path}")

    result = plan(*source, "--set", "bench_firehose_rate_per_s=captured*2", "--output", output)

    assert result.exit_code == 0, result.output
    steps = RunSpec.load(output).firehose.rate_steps
    assert [step.rate_per_s for step in steps] == pytest.approx([20, 4, 4], abs=2)
    assert sum(step.for_s for step in steps) == pytest.approx(2.85, abs=0.1)
    for bad, why in (
        ("captured*100000", "bench_firehose_rate_per_s"),
        ("captured*0", "bench_firehose_rate_per_s: 'captured*0' is not allowed"),
        ("captured * fast", "bench_firehose_rate_per_s"),
    ):
        refused = plan(*source, "--set", f"bench_firehose_rate_per_s={bad}")
        assert refused.exit_code == 2
        assert why in refused.output
    for other in ("synthetic", "wss://relay.example"):
        refused = plan(
            *("--set", f"bench_firehose_source={other}"),
            *("--set", "bench_firehose_rate_per_s=captured"),
        )
        assert refused.exit_code == 2
        assert "name a capture file" in refused.output


@pytest.mark.parametrize("content", [b"", b"\x05\x00", b"\x05\x00\x00\x00abc"])
def test_refuses_an_empty_or_truncated_capture(content: bytes, tmp_path: Path) -> None:
    capture = tmp_path / "capture.bin"
    capture.write_bytes(content)
    result = plan("--set", f"bench_firehose_source={capture}")
    assert result.exit_code == 2
    assert "capture.bin" in result.output
