"""What is missing, torn or changed is said, with host and file; the rest is read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.control import collecting, run_account
from fpaas.probe import seal
from fpaas.reason import Reason
from fpaas.records import control
from fpaas.records.events import EventLog
from fpaas.spec import SpecError
from fpaas.summary import summary
from tests.support.raw_run import HOST, RawRun, change_spec


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RawRun(workers=2).write(tmp_path_factory.mktemp("bundle") / "run")


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "run"))


def test_a_whole_bundle_has_no_problems(run: Path) -> None:
    bundle = load_bundle(run)
    assert bundle.problems == []
    part = bundle.hosts[HOST]
    assert bundle.relay is not None
    assert bundle.relay.offered == 3500
    assert bundle.shuffler is not None
    assert bundle.shuffler.published.total == 3500
    assert bundle.server_final is not None
    assert len(bundle.server_final.durables) == 10
    assert [worker.worker for _, worker in bundle.workers] == [0, 1]
    assert sum(len(worker.deliveries or ()) for _, worker in bundle.workers) == 10
    assert set(part.statuses) == {"relay", "shuffler", "consumers", "probe"}
    assert part.host_samples
    assert part.process_samples
    assert part.nats_samples
    assert part.clock_samples


NAMES = [
    "relay.json",
    "relay.hlog",
    "relay.samples.jsonl",
    "relay.status.json",
    "shuffler.json",
    "shuffler.hlog",
    "shuffler.samples.jsonl",
    "shuffler.status.json",
    "consumers.status.json",
    "consumers-0.json",
    "consumers-0.hlog",
    "consumers-0.samples.jsonl",
    "consumers-1.deliveries.cbor.gz",
    "consumers-1.first_fetch.bin.gz",
    "probe.json",
    "probe.host.jsonl",
    "probe.processes.jsonl",
    "probe.nats.jsonl",
    "probe.final.json",
    "probe.clock.jsonl",
    "probe.status.json",
    "run.json",
]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"\xff\x00 no such thing")


@pytest.mark.parametrize("harm", [Path.unlink, cut, empty, garble])
@pytest.mark.parametrize("name", NAMES)
def test_harm_to_any_file_is_said(run: Path, name: str, harm: Callable[[Path], None]) -> None:
    # Without the seal: its checksums would find everything.
    (run / "hosts" / HOST / "seal.json").unlink()
    harm(run / "hosts" / HOST / name)
    problems = load_bundle(run).problems
    assert (HOST, name) in [(one.host, one.parameters.get("file")) for one in problems]
    assert Reason("file_missing", HOST, {"file": "seal.json"}) in problems


def without_last_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("stem", ["relay", "shuffler", "probe", "consumers", "consumers-1"])
def test_an_event_log_that_is_gone_is_said(run: Path, stem: str) -> None:
    """Even if it was gone before the host's files were sealed: what it said is not known."""
    name = f"{stem}.events.jsonl"
    (run / "hosts" / HOST / "seal.json").unlink()
    (run / "hosts" / HOST / name).unlink()
    assert Reason("file_missing", HOST, {"file": name}) in load_bundle(run).problems
    # Agents of earlier versions wrote none.
    spec = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**spec, "event_log": 1}))
    assert Reason("file_missing", HOST, {"file": name}) not in load_bundle(run).problems


@pytest.mark.parametrize(
    ("name", "harm", "code"),
    [
        ("control.json", Path.unlink, "file_missing"),
        ("control.json", empty, "file_torn"),
        ("control.events.jsonl", Path.unlink, "file_missing"),
        ("control.events.jsonl", cut, "file_torn"),
        ("control.events.jsonl", empty, "file_torn"),
        ("control.events.jsonl", without_last_line, "file_torn"),
    ],
)
def test_without_what_the_control_node_noted_a_run_is_invalid(
    run: Path, name: str, harm: Callable[[Path], None], code: str
) -> None:
    """It may have noted trouble, which would be forgotten."""
    with EventLog(run / control.EVENTS) as log:
        log.begin("run_armed", 1, {}, end_unix_ns=1)
        log.begin("run_collected", 2, {}, end_unix_ns=2)
    known = json.dumps({"problems": []})
    (run / control.NAME).write_text(
        run_account.record(known, collecting.count_events(run / control.EVENTS))
    )
    assert load_bundle(run).problems == []
    harm(run / name)
    bundle = load_bundle(run)
    problems = [(one.code, one.host, one.parameters["file"]) for one in bundle.problems]
    assert problems == [(code, "control node", name)]
    assert summary.analyse(bundle)["verdict"]["status"] == "invalid"


def test_an_older_run_may_have_no_files_of_the_control_node(run: Path) -> None:
    change_spec(run, event_log=1)
    for name in ("control.json", "control.events.jsonl"):
        (run / name).unlink()
    assert load_bundle(run).problems == []


def test_a_change_after_sealing_is_said(run: Path) -> None:
    path = run / "hosts" / HOST / "relay.json"
    path.write_text(path.read_text().replace("3500", "3501"))
    (problem,) = load_bundle(run).problems
    assert (problem.code, problem.host) == ("file_changed", HOST)
    assert problem.parameters["file"] == "relay.json"


def change(path: Path, keys: tuple[str | int, ...], value: object) -> None:
    content = json.loads(path.read_text())
    changed = content
    for key in keys[:-1]:
        changed = changed[key]
    changed[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "key", "value", "what"),
    [
        ("run.json", "run_id", "another", "differs from the bundle's in run_id"),
        ("run.json", "measure_s", 31.0, "differs from the bundle's in measure_s"),
        ("seal.json", "host", "other", "is of the host other"),
        ("probe.json", "host", "other", "is of the host other"),
        ("relay.status.json", "agent", "probe", "is of another agent (probe)"),
        ("consumers-1.json", "worker", 0, "is of worker 0"),
        ("../../control.json", "run_id", "another", "is of the run another"),
    ],
)
def test_files_of_other_runs_and_hosts_make_a_run_invalid(
    run: Path, name: str, key: str, value: object, what: str
) -> None:
    """Even if they were sealed so."""
    part = run / "hosts" / HOST
    change(part / name, (key,), value)
    if name != "seal.json":
        seal.seal(part, HOST)
    bundle = load_bundle(run)
    (problem,) = bundle.problems
    assert (problem.code, problem.parameters["what"]) == ("file_misplaced", what)
    assert summary.analyse(bundle)["verdict"]["status"] == "invalid"


@pytest.mark.parametrize("name", ["probe.host.jsonl", "probe.nats.jsonl"])
def test_lines_that_the_probe_counted_and_are_gone_are_missed(run: Path, name: str) -> None:
    part = run / "hosts" / HOST
    without_last_line(part / name)
    seal.seal(part, HOST)
    (problem,) = load_bundle(run).problems
    assert (problem.code, problem.parameters["file"]) == ("file_torn", name)
    assert re.fullmatch(r"has \d+ of \d+ lines", problem.parameters["what"])


def test_a_worker_without_any_file_is_said(run: Path) -> None:
    for path in (run / "hosts" / HOST).glob("consumers-1.*"):
        path.unlink()
    missing = Reason("consumers_missing", HOST, {"missing": 5, "count": 10})
    assert missing in load_bundle(run).problems


def test_a_host_that_was_not_fetched_is_said_once(run: Path) -> None:
    shutil.rmtree(run / "hosts")
    (problem,) = load_bundle(run).problems
    assert problem == Reason("host_missing", HOST)


def test_a_foreign_relay_leaves_no_files(tmp_path: Path) -> None:
    raw = RawRun()
    run = raw.write(tmp_path / "run", sealed=False)
    spec = json.loads((run / "run.json").read_text())
    spec["firehose"] |= {"rate_per_s": None, "first_seq": None}
    (run / "run.json").write_text(json.dumps(spec))
    for path in (run / "hosts" / HOST).glob("relay.*"):
        path.unlink()
    bundle = load_bundle(run)
    assert [problem.parameters for problem in bundle.problems] == [{"file": "seal.json"}]
    assert bundle.relay is None


def test_what_the_control_node_noted_is_read(run: Path) -> None:
    (run / "control.json").write_text(
        '{"git_commit": "abc", "problems": ["localhost: x: y", "h: x", '
        '{"problem": "died", "host": "localhost", "parameters": {"agent": "relay", "pid": 7}}]}'
    )
    (run / "invalid.json").write_text('{"reasons": ["interrupted"]}')
    bundle = load_bundle(run)
    assert bundle.problems == [
        Reason("control_problem", HOST, {"problem": "noted", "text": "x: y"}),
        Reason("control_problem", None, {"problem": "noted", "text": "h: x"}),
        Reason("control_problem", HOST, {"problem": "died", "agent": "relay", "pid": 7}),
    ]
    assert bundle.invalid_reasons == ["interrupted"]
    assert bundle.control is not None


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_no_run_json_is_no_run(run: Path, content: str | None) -> None:
    path = run / "run.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(SpecError, match=r"run\.json"):
        load_bundle(run)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("measure_s",), 1e30),
        (("measure_s",), "30"),
        (("drain_s",), None),
        (("consumers", "poll_interval_s"), 0),
        (("consumers", "count"), 10**400),
        (("stream", "max_age_s"), -1),
        (("t0_unix_ns",), 1.5e18),
        (("hosts",), []),
        (("hosts", "nats"), [7]),
        (("hosts", "consumers"), []),
    ],
)
def test_a_run_json_that_no_plan_wrote_is_refused(
    run: Path, keys: tuple[str, ...], value: object
) -> None:
    change(run / "run.json", keys, value)
    with pytest.raises(SpecError, match=r"run\.json: .*(not allowed|Expected|host)"):
        load_bundle(run)


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("consumers-0.json", ("count",), -1),
        ("consumers-0.json", ("streams",), []),
        ("consumers-0.json", ("connections", "reconnects"), []),
        ("consumers-0.json", ("fetches", "client_timeout"), {}),
        ("probe.json", ("clock",), 1.5),
        ("probe.json", ("clock", "bound_ms"), "x"),
        ("relay.json", ("offered",), -1),
        ("shuffler.json", ("failures_by_reason",), True),
        ("shuffler.json", ("nats_connections", "reconnects"), {}),
        ("shuffler.json", ("stream_seqs", 0, 1), None),
        ("shuffler.json", ("message_bytes", "commit app.bsky.feed.like", "5460"), -1),
        ("shuffler.status.json", ("state",), []),
        ("probe.nats.jsonl", ("connz",), True),
        ("probe.nats.jsonl", ("stream", "first_seq"), None),
        ("probe.nats.jsonl", ("unix_ns",), {}),
        ("probe.nats.jsonl", ("varz", "slow_consumers"), []),
    ],
)
def test_a_figure_of_the_wrong_kind_is_said_and_the_rest_reported(
    name: str,
    keys: tuple[str | int, ...],
    value: object,
    run: Path,
) -> None:
    path = run / "hosts" / HOST / name
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changed = lines[-1]
    for key in keys[:-1]:
        changed = changed[key]
    changed[keys[-1]] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path.parent / "seal.json").unlink()
    bundle = load_bundle(run)
    assert (HOST, name) in [(one.host, one.parameters.get("file")) for one in bundle.problems]
    assert summary.analyse(bundle)["verdict"]["status"] == "invalid"


def test_a_stream_that_was_made_after_the_shuffler_had_ended_is_not_the_runs(
    tmp_path: Path,
) -> None:
    """A memory stream's server is killed in the drain: what was owed stays owed, and is lost."""
    run = RawRun()
    directory = run.write(tmp_path / "run", sealed=False)
    host = directory / "hosts" / HOST

    def change(name: str, alter: Callable[[Any], None]) -> None:
        content = json.loads((host / name).read_text())
        alter(content)
        (host / name).write_text(json.dumps(content))

    def begin_anew(final: dict[str, Any]) -> None:
        for look in ("stream_before", "stream_after"):
            final[look] |= {
                "messages": 0,
                "bytes": 0,
                "first_seq": 0,
                "last_seq": 0,
                "created": "B",
            }
        for consumer in final["consumers"]:
            consumer.update({name: 0 for name, value in consumer.items() if type(value) is int})

    before = summary.analyse(load_bundle(directory))["ledger"]
    change("shuffler.json", lambda shuffler: shuffler.update(stream_created="A"))
    change("probe.final.json", begin_anew)
    content = summary.analyse(load_bundle(directory))
    ledger, reasons = content["ledger"], content["verdict"]["reason_codes"]
    assert reasons[0]["code"] == "stream_began_anew"
    assert not [one for one in reasons if one["code"].startswith("ledger_")]
    assert [ledger[name] for name in ("stored", "owed", "delivered", "unexplained")] == [
        *(before[name] for name in ("stored", "owed", "delivered")),
        0,
    ]
    missed = ledger["owed"] - ledger["delivered"]
    assert ledger["lost_by_cause"]["stream_lost"] == missed - ledger["expired_unread"] > 0
    # Nobody can tell any more.
    assert ledger["unacked"] is None
