"""Agents that ended in a run and were started again: events, causes, figures that are not sure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fpaas.bundle import restarts
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.bundle.restarts import PartEnds
from fpaas.latency.processes import process_of
from fpaas.probe import seal
from fpaas.reason import Reason
from fpaas.records import files
from fpaas.records.consumers import WorkerResult
from fpaas.records.events import (
    AGENT_RESTARTED,
    FAULT,
    PROCESS_ENDED,
    RELAY_SILENT,
    EventLog,
    EventRecord,
    Value,
)
from fpaas.records.summary import Event
from fpaas.report import time_charts
from fpaas.report.series import RunSeries
from fpaas.spec import NS_PER_S, Fault
from fpaas.summary import summary
from fpaas.verdict import codes, verdict
from fpaas.verdict.facts import Facts, renumbered_unsaved_s
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun


def at(seconds: float) -> int:
    return T0_UNIX_NS + round(seconds * NS_PER_S)


def note(host: Path, agent: str, begin_s: float, end_s: float | None) -> None:
    with EventLog(host / f"{agent}.events.jsonl") as log:
        end = None if end_s is None else at(end_s)
        log.begin(AGENT_RESTARTED, at(begin_s), {}, end_unix_ns=end)


def load(tmp_path: Path, spoil: Callable[[Path], None], workers: int = 1) -> Bundle:
    directory = RawRun(workers=workers).write(tmp_path / "run", sealed=False)
    spoil(directory / "hosts" / HOST)
    seal.seal(directory / "hosts" / HOST, HOST)
    return load_bundle(directory)


def without_samples(host: Path, agent: str, from_s: float, until_s: float) -> None:
    """Take away what an agent could not write while it was gone."""
    path = host / f"{agent}.samples.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [line for line in lines if not at(from_s) < line["unix_ns"] < at(until_s)]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))


def ended(host: Path, process: str, *at_s: float) -> None:
    with EventLog(host / "probe.events.jsonl") as log:
        for one in at_s:
            parameters: dict[str, Value] = {"process": process, "pid": 7}
            log.begin(PROCESS_ENDED, at(one), parameters, end_unix_ns=at(one))


def test_the_end_that_a_probe_saw_is_exact(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        without_samples(host, "relay", 12, 14)
        note(host, "relay", 13.2, 13.9)
        # The last one is at the run's end, as it should be.
        ended(host, "relay", 12.7, 41.0)
        ended(host, "shuffler", 41.0)

    content = summary.analyse(load(tmp_path, spoil))
    (event,) = content["events"]
    assert (event["kind"], event["begin_s"], event["end_s"]) == (AGENT_RESTARTED, 12.7, 13.9)
    assert event["parameters"]["exact"]


def test_a_death_is_when_the_probe_saw_it(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        status_path = host / "relay.status.json"
        content = json.loads(status_path.read_text())
        content |= {"state": "running", "unix_ns": at(12)}
        status_path.write_text(json.dumps(content))
        without_samples(host, "relay", 12, 100)
        ended(host, "relay", 12.9)

    content = summary.analyse(load(tmp_path, spoil))
    (event,) = [one for one in content["events"] if one["kind"] == "agent_died"]
    assert event["begin_s"] == 12.9
    first = content["verdict"]["reason_codes"][0]
    assert (first["code"], first["parameters"]["ended_s"]) == ("relay_died", 12.9)


def worker_ended(worker: int, at_s: float) -> EventRecord:
    told: dict[str, Value] = {"process": "consumers", "pid": 7, "worker": worker}
    return EventRecord(
        kind=PROCESS_ENDED, begin_unix_ns=at(at_s), end_unix_ns=at(at_s), parameters=told
    )


def test_which_worker_died_when_is_known_from_its_agent(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        for worker, died_s in ((0, 12.9), (1, 12.4)):
            path = host / f"consumers-{worker}.json"
            result = files.read(path, WorkerResult)
            files.write(path, msgspec.structs.replace(result, complete=False))
            without_samples(host, f"consumers-{worker}", 12, 100)
            one = worker_ended(worker, died_s)
            with EventLog(host / "consumers.events.jsonl") as log:
                end_unix_ns = one.end_unix_ns
                log.begin(one.kind, one.begin_unix_ns, one.parameters, end_unix_ns=end_unix_ns)
        # To the probe all are consumers.
        ended(host, "consumers", 12.4, 12.9)

    content = summary.analyse(load(tmp_path, spoil, workers=2))
    died = {
        one["parameters"]["workers"][0]: one["begin_s"]
        for one in content["events"]
        if one["kind"] == "worker_died"
    }
    assert died == {0: 12.9, 1: 12.4}


def test_who_stood_still_before_it_died_is_told_with_both_times() -> None:
    died = {"at_s": 12.0, "ended_s": 14.4, "worker": 1}
    assert codes.sentence(Reason("worker_died", None, died)) == (
        "consumers worker 1 died 14.4 s after the run's start, 2.4 s after its last sign of life"
    )


@pytest.mark.parametrize("agent", ["relay", "shuffler"])
def test_an_agent_that_was_started_again_is_an_event(tmp_path: Path, agent: str) -> None:
    def spoil(host: Path) -> None:
        without_samples(host, agent, 12, 14)
        note(host, agent, 13.2, 13.9)
        # Over before anything was due.
        note(host, agent, -2, -1)

    bundle = load(tmp_path, spoil)
    content = summary.analyse(bundle)
    (event,) = content["events"]
    assert (event["kind"], event["begin_s"], event["end_s"]) == (AGENT_RESTARTED, 12.0, 13.9)
    assert event["parameters"] == {"agent": agent, "exact": False}
    happened = msgspec.convert(content["events"], list[Event])
    run = RunSeries(bundle, 5)
    chart = time_charts.time_chart({"x": ([0.0, 40.0], [1.0, 2.0])}, "/s", run, happened)
    assert chart is not None
    spans = [one for one in chart["layout"]["shapes"] if (one["type"], one["name"]) == RECT]
    assert [(one["x0"], one["x1"]) for one in spans] == [(12.0, 13.9)]
    # Figures are good; that it ended though no fault was to do that costs the goal on errors.
    (reason,) = content["verdict"]["reason_codes"][:1]
    assert (reason["code"], reason["severity"]) == ("goal_missed", "fail")
    assert [one["code"] for one in reason["parameters"]["why"]] == [f"{agent}_restarted"]
    # What made it slow is named.
    assert content["limited_by"]["what"] == "stall"
    assert content["limited_by"]["parameters"]["part"] == agent


RECT = ("rect", "event")


def test_one_that_never_served_again_has_no_end(tmp_path: Path) -> None:
    bundle = load(tmp_path, lambda host: note(host, "shuffler", 20.5, None))
    (event,) = summary.analyse(bundle)["events"]
    assert (event["begin_s"], event["end_s"]) == (20.0, None)


def test_one_that_was_killed_before_it_served_is_not_the_last(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        without_samples(host, "shuffler", 12, 20)
        note(host, "shuffler", 13, None)
        note(host, "shuffler", 16, 19)
        note(host, "shuffler", 30.5, 31)

    found = restarts.find(load(tmp_path, spoil))
    assert [(one.begin_unix_ns, one.end_unix_ns) for one in found] == [
        (at(12), at(19)),
        (at(30), at(31)),
    ]


@pytest.mark.parametrize("agent", ["relay", "shuffler"])
def test_its_calls_are_cut_short(tmp_path: Path, agent: str) -> None:
    bundle = load(tmp_path, lambda host: note(host, agent, 12.5, 13))
    part = bundle.hosts[HOST]
    assert process_of(bundle, part, agent, agent).died
    other = "shuffler" if agent == "relay" else "relay"
    assert not process_of(bundle, part, other, other).died


def test_a_fault_says_to_the_moment_when_it_ended(tmp_path: Path) -> None:
    bundle = load(tmp_path, lambda host: note(host, "shuffler", 14, 15))
    kill = Fault("kill", "shuffler", 13.25, 0.5)
    bundle.spec = replace(bundle.spec, faults=[kill])
    part = bundle.hosts[HOST]
    without = [one for one in part.shuffler_samples if not at(13) < one.unix_ns < at(15)]
    part.shuffler_samples = without
    for do, group, expected in (
        ("kill", "shuffler", (at(13.25), True)),
        ("kill", "relay", (at(13), False)),
        ("pause", "shuffler", (at(13), False)),
    ):
        bundle.spec = replace(bundle.spec, faults=[replace(kill, do=do, on=group)])
        record = EventRecord(
            kind=FAULT,
            begin_unix_ns=at(13.25),
            end_unix_ns=at(13.75),
            parameters={"number": 0, "do": do, "on": group},
        )
        part.events["faults"] = [record]
        (found,) = restarts.find(bundle)
        assert (found.begin_unix_ns, found.is_exact) == expected


def test_workers_that_went_together_are_one(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        for worker in (0, 1):
            path = host / f"consumers-{worker}.json"
            result = files.read(path, WorkerResult)
            for later in host.glob(f"consumers-{worker}.*"):
                name = later.name.replace(f"consumers-{worker}.", f"consumers-{worker + 2}.")
                (host / name).write_bytes(later.read_bytes())
            files.write(path, msgspec.structs.replace(result, complete=False))
            again = msgspec.structs.replace(
                result,
                worker=worker + 2,
                polls_from_unix_ns=at(11.5),
                started_unix_ns=at(12 + worker / 10),
            )
            files.write(host / f"consumers-{worker + 2}.json", again)
            without_samples(host, f"consumers-{worker}", 10, 999)

    bundle = load(tmp_path, spoil, workers=2)
    (found,) = restarts.find(bundle)
    assert (found.agent, found.workers, found.is_exact) == ("consumers", [0, 1], False)
    assert (found.begin_unix_ns, found.end_unix_ns) == (at(10), at(12.1))
    # Nobody but those who go on knew.
    assert found.noticed_unix_ns == at(11.5)
    bundle.hosts[HOST].events["consumers"] = [worker_ended(0, 10.4), worker_ended(1, 10.5)]
    (found,) = restarts.find(bundle)
    assert (found.begin_unix_ns, found.noticed_unix_ns) == (at(10.4), at(10.4))
    assert found.is_exact


def judge(tmp_path: Path, **changes: Any) -> verdict.Verdict:  # noqa: ANN401
    def spoil(host: Path) -> None:
        note(host, "relay", 13.2, 13.9)
        with EventLog(host / "shuffler.events.jsonl") as log:
            log.begin(RELAY_SILENT, at(13.1), {"url": "ws://r"}, end_unix_ns=at(14))

    bundle = load(tmp_path, spoil)
    content = summary.analyse(bundle)
    for name, value in changes.items():
        content["ledger"][name] = value
    facts = Facts(never_fetched=0, ends=[PartEnds(HOST, "relay", 1, 0)])
    return verdict.judge(bundle.spec, content, facts)


def test_the_restart_comes_before_what_follows_from_it(tmp_path: Path) -> None:
    well = judge(tmp_path / "well")
    assert well.status == "pass"
    assert "relay_restarted" in [one.code for one in well.notes]
    judged = judge(tmp_path / "ill", unexplained=3)
    assert [one.code for one in judged.reasons][:2] == ["agent_restarted", "ledger_unbalanced"]
    assert codes.sentence(judged.reasons[0]).endswith(
        "it served nobody from 13.1 s to 13.9 s after the run's start"
    )


@pytest.mark.parametrize(
    ("agent", "reason", "follows"),
    [
        ("relay", Reason("relay_silent"), True),
        ("shuffler", Reason("relay_silent"), False),
        ("shuffler", Reason("goal_undecided", None, {"leg": "publish_ack"}), True),
        ("relay", Reason("goal_undecided", None, {"leg": "publish_ack"}), False),
        ("relay", Reason("ledger_unbalanced", None, {"unexplained": 3}), True),
    ],
)
def test_what_may_follow_from_a_restart(agent: str, reason: Reason, *, follows: bool) -> None:
    event = {"kind": AGENT_RESTARTED, "host": HOST, "begin_s": 5.0, "end_s": 6.0}
    content = {"events": [event | {"parameters": {"agent": agent}}]}
    found = list(verdict._restarted(content, [reason]))
    assert bool(found) is follows


def test_a_single_worker_that_dies_is_named() -> None:
    """It is the process of its agent."""
    died = {"at_s": 12.0, "ended_s": 12.4, "message": "", "workers": [0], "has_log": False}
    assert codes.sentence(Reason("consumers_died", None, died)) == (
        "the consumers' agent (consumers worker 0) died 12.4 s after the run's start"
    )


@pytest.mark.parametrize(
    ("at_s", "for_s", "known_s"),
    # Kept by the one that ended; not kept; undone while nobody was there; read by the one after.
    [(10.0, 0.0, None), (12.0, 0.0, 12.0), (5.0, 8.0, 13.0), (14.5, 0.0, None)],
)
def test_numbers_that_a_shuffler_had_not_kept(
    tmp_path: Path, at_s: float, for_s: float, known_s: float | None
) -> None:
    fault = {"do": "rewind", "on": "relay", "at_s": at_s} | ({"for_s": for_s} if for_s else {})
    directory = RawRun({"bench_faults": [fault]}).write(tmp_path / "run", sealed=False)
    host = directory / "hosts" / HOST
    without_samples(host, "shuffler", 12, 14)
    note(host, "shuffler", 13.2, 13.9)
    ended(host, "shuffler", 12.7, 41.0)
    seal.seal(host, HOST)
    assert renumbered_unsaved_s(load_bundle(directory)) == known_s
