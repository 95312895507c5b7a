"""`bench_faults`: refused by entry, name and what is allowed; carried in run.json as checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from fpaas import spec
from fpaas.spec import faults
from tests.support.run_specs import SCENARIO, TOPOLOGY

PAUSE = {"do": "pause", "on": "nats", "at_s": 20, "for_s": 5}


def run_with(
    *entries: object, topology: spec.Topology = TOPOLOGY, **values: object
) -> spec.RunSpec:
    return spec.build(
        spec.read_variables({"bench_faults": list(entries), **values}),
        run_id="20260101T000000Z-scenario-1",
        scenario=SCENARIO,
        topology=topology,
        first_seq=1,
    )


def test_a_run_has_none_unless_told() -> None:
    assert run_with().faults == []


@pytest.mark.parametrize(
    "entry",
    [
        PAUSE,
        {"do": "kill", "on": "shuffler", "at_s": 20},
        {"do": "kill", "on": "worker:0", "at_s": 20, "for_s": 3},
        {"do": "restart", "on": "consumers", "at_s": 20},
        {"do": "pause", "on": "b", "at_s": 20, "for_s": 3},
        {"do": "limit", "on": "nats", "at_s": 0, "for_s": 60, "mbit_per_s": 5},
        {"do": "delay", "on": "nats", "at_s": 0, "for_s": 60, "delay_ms": 50},
        {"do": "fill_disk", "on": "nats", "at_s": 0, "for_s": 60, "free_mb": 3},
        {"do": "step_clock", "on": "c", "at_s": 0, "for_s": 60, "step_s": -2.5},
        {"do": "disconnect", "on": "relay", "at_s": 20, "for_s": 3, "close_code": 1006},
        {"do": "renumber", "on": "relay", "at_s": 20, "first_seq": 7},
        {"do": "error_frame", "on": "relay", "at_s": 20, "error": "FutureCursor"},
    ],
)
def test_what_is_allowed_stands_in_run_json(tmp_path: Path, entry: dict[str, Any]) -> None:
    run = run_with(entry)
    path = tmp_path / "run.json"
    path.write_text(run.to_json())
    [written] = json.loads(path.read_text())["faults"]
    assert written.items() >= entry.items()
    assert None not in written.values()
    read = spec.RunSpec.load(path)
    assert read == run
    spec.check_run(read, str(path))


def test_json_as_the_command_line_gives_it_is_read() -> None:
    read = spec.read_variables({"bench_faults": json.dumps([PAUSE])})
    assert read["bench_faults"] == [PAUSE]


def test_on_is_read_as_yaml_has_it() -> None:
    text = "[{do: pause, on: nats, at_s: 20, for_s: 5}]"
    [entry] = yaml.safe_load(text)
    assert True in entry
    for value in ([entry], json.dumps([entry])):
        assert spec.read_variables({"bench_faults": value})["bench_faults"] == [PAUSE]


def test_a_run_json_from_before_there_were_faults_has_none(tmp_path: Path) -> None:
    content = json.loads(run_with().to_json())
    del content["faults"], content["variables"]["bench_faults"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    run = spec.RunSpec.load(path)
    assert run.faults == []
    spec.check_run(run, str(path))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nonsense", "bench_faults: 'nonsense' is not allowed; allowed: a list like"),
        (PAUSE, "bench_faults: .* is not allowed; allowed: a list like"),
        ([3], r"bench_faults\[0\]: 3 is not allowed"),
        ([PAUSE, {"do": "pause"}], r"bench_faults\[1\]: on: is missing"),
        ([{**PAUSE, "do": "puase"}], r"bench_faults\[0\]: do: 'puase' .* did you mean pause\?"),
        ([{**PAUSE, "do": ["pause"]}], r"bench_faults\[0\]: do: "),
        ([{**PAUSE, "for": 5}], r"bench_faults\[0\]: for: pause has no such .* did you mean for_s"),
        ([{**PAUSE, "mbit_per_s": 5}], r"bench_faults\[0\]: mbit_per_s: pause has no such"),
        ([{**PAUSE, "do": "restart"}], r"bench_faults\[0\]: for_s: restart has no such"),
        ([{**PAUSE, "for_s": 0}], r"bench_faults\[0\]: for_s: pause needs it"),
        ([{**PAUSE, "at_s": -1}], r"bench_faults\[0\]: at_s: -1 is not allowed; allowed: "),
        ([{**PAUSE, "at_s": "nan"}], r"bench_faults\[0\]: at_s: 'nan' is not allowed"),
        ([{**PAUSE, "on": 3}], r"bench_faults\[0\]: on: 3 is not allowed"),
        ([{**PAUSE, "on": "worker:x"}], r"bench_faults\[0\]: on: 'worker:x' .* worker:N"),
        ([{**PAUSE, "on": "worker:01"}], r"bench_faults\[0\]: on: 'worker:01'"),
        ([{**PAUSE, "on": "worker:" + "9" * 5000}], r"bench_faults\[0\]: on: 'worker:9"),
        ([{**PAUSE, "do": "limit"}], r"bench_faults\[0\]: mbit_per_s: limit needs it; allowed: "),
        ([{**PAUSE, "do": "stall"}], r"bench_faults\[0\]: on: 'nats' .* relay's own"),
        ([{"do": "disconnect", "on": "relay", "at_s": 1, "close_code": 1005}], "close_code: 1005"),
        ([{**PAUSE, "do": "step_clock", "step_s": 0}], r"bench_faults\[0\]: step_s: 0"),
        ([{**PAUSE, "do": "partition", "peer": "b"}], r"bench_faults\[0\]: peer: 'b' is not"),
    ],
)
def test_an_entry_that_is_wrong_is_refused_by_its_number(value: object, said: str) -> None:
    with pytest.raises(spec.SpecError, match=said):
        spec.read_variables({"bench_faults": value})


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{**PAUSE, "on": "natz"}], r"\[0\] \(pause on natz at 20 s\): on: .* did you mean nats"),
        ([{**PAUSE, "at_s": 388}], r"\[0\] .*: ends at 393 s, and the run does at 390 s"),
        ([{**PAUSE, "on": "nats:leader"}], r"\[0\] .*: a single NATS server has no leader"),
        ([{**PAUSE, "do": "partition", "peer": "shuffler"}], r"\[0\] .*: shuffler is on the same"),
        ([PAUSE, {**PAUSE, "at_s": 23}], r"\[1\] .* as bench_faults\[0\]"),
        ([PAUSE, {**PAUSE, "do": "kill", "on": "a"}], r"\[1\] .* as bench_faults\[0\]"),
        (
            [{**PAUSE, "on": "worker:1"}, {**PAUSE, "on": "consumers"}],
            r"\[1\] .* as bench_faults\[0\]",
        ),
    ],
)
def test_a_fault_on_what_there_is_not_is_refused(entries: list[object], said: str) -> None:
    with pytest.raises(spec.SpecError, match="bench_faults" + said):
        run_with(*entries)


def test_what_does_not_collide_is_allowed() -> None:
    run_with(PAUSE, {**PAUSE, "at_s": 26}, {**PAUSE, "on": "worker:0"}, {**PAUSE, "on": "worker:1"})


def test_a_relay_that_is_not_ours_is_not_broken() -> None:
    entry = {"do": "kill", "on": "relay", "at_s": 1}
    with pytest.raises(spec.SpecError, match="not ours to break"):
        run_with(entry, bench_firehose_source="wss://bsky.network")


def test_a_worker_that_there_is_not_is_refused_if_their_number_is_known() -> None:
    entry = {**PAUSE, "on": "worker:2"}
    run_with(entry, bench_workers="auto")
    run_with(entry, bench_workers=3)
    with pytest.raises(spec.SpecError, match="no such worker; bench_workers=2"):
        run_with(entry, bench_workers=2)


def test_targets_are_the_parts_of_hosts() -> None:
    hosts = {"nats": ["n1", "n2", "n3"], "shuffler": ["s"], "consumers": ["s", "c"]}
    topology = replace(TOPOLOGY, hosts=hosts)

    def of(on: str) -> set[tuple[str, str]]:
        [fault] = run_with({**PAUSE, "on": on}, topology=topology).faults
        return {(target.host, target.group) for target in faults.targets(fault, hosts)}

    assert of("nats:leader") == of("nats") == {("n1", "nats"), ("n2", "nats"), ("n3", "nats")}
    assert of("n2") == {("n2", "nats")}
    assert of("s") == {("s", "shuffler"), ("s", "consumers")}
    assert of("worker:1") == {("s", "consumers"), ("c", "consumers")}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_rubbish_is_refused_and_never_anything_else(value: object) -> None:
    for entry in (value, {**PAUSE, "do": value}, {**PAUSE, "on": value}, {**PAUSE, "at_s": value}):
        said = "bench_faults"
        try:
            run_with(entry)
        except spec.SpecError as error:
            said = str(error)
        assert said.startswith("bench_faults")


@pytest.mark.parametrize("faults", [3, [3], [{**PAUSE, "do": "sing"}]])
def test_a_run_json_that_was_changed_is_refused(tmp_path: Path, faults: object) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**json.loads(run_with().to_json()), "faults": faults}))
    with pytest.raises(spec.SpecError, match=rf"{path}: faults"):
        spec.RunSpec.load(path)
