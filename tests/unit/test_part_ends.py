"""How often parts ended in a run, and how often no fault was to do that: lives against faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fpaas.bundle import restarts, server_ends
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.bundle.restarts import PartEnds
from fpaas.probe import seal
from fpaas.records import files
from fpaas.records.consumers import WorkerResult
from fpaas.records.events import (
    AGENT_RESTARTED,
    FAULT,
    NATS_RESTARTED,
    PROCESS_ENDED,
    EventLog,
    EventRecord,
    Value,
)
from fpaas.spec import NS_PER_S, Fault
from fpaas.summary import summary
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun


def at(seconds: float) -> int:
    return T0_UNIX_NS + round(seconds * NS_PER_S)


def load(
    tmp_path: Path, faults: Sequence[Fault], spoil: Callable[[Path], None], workers: int = 1
) -> Bundle:
    """Load a run in which faults happened as planned."""
    directory = RawRun(workers=workers).write(tmp_path / "run", sealed=False)
    host = directory / "hosts" / HOST
    spoil(host)
    seal.seal(host, HOST)
    bundle = load_bundle(directory)
    bundle.spec = replace(bundle.spec, faults=list(faults))
    bundle.hosts[HOST].events["faults"] = [
        EventRecord(
            kind=FAULT,
            begin_unix_ns=at(fault.at_s),
            end_unix_ns=at(fault.until_s),
            parameters={"number": number, **fault.to_dict(), "begin_took_ms": 40.0},
        )
        for number, fault in enumerate(faults)
    ]
    return bundle


def note(log: EventLog, kind: str, begin_s: float, end_s: float, **told: Value) -> None:
    log.begin(kind, at(begin_s), told, end_unix_ns=at(end_s))


def restarted(agent: str, *times_s: float) -> Callable[[Path], None]:
    def spoil(host: Path) -> None:
        with EventLog(host / f"{agent}.events.jsonl") as log:
            for again_s in times_s:
                note(log, AGENT_RESTARTED, again_s, again_s + 0.2)

    return spoil


KILL = Fault("kill", "shuffler", at_s=12.3, for_s=0.5)


@pytest.mark.parametrize(
    ("faults", "again_s", "times", "by_itself"),
    [
        ([KILL], [13.2], 1, 0),
        # Somebody kills it once more, later or at once.
        ([KILL], [13.2, 20.5], 2, 1),
        ([KILL], [12.9, 13.2], 2, 1),
        ([KILL, replace(KILL, at_s=20.1)], [13.2, 20.8], 2, 0),
        ([KILL, replace(KILL, at_s=20.1)], [13.2, 20.8, 25.5], 3, 1),
        # It ended before the fault, or long after it.
        ([KILL], [11.2], 1, 1),
        ([KILL], [17.2], 1, 1),
        ([replace(KILL, on="relay")], [13.2], 1, 1),
        ([replace(KILL, do="pause")], [13.2], 1, 1),
        ([replace(KILL, on=HOST)], [13.2], 1, 0),
    ],
)
def test_each_fault_explains_one_end_of_an_agent(
    tmp_path: Path, faults: list[Fault], again_s: list[float], times: int, by_itself: int
) -> None:
    bundle = load(tmp_path, faults, restarted("shuffler", *again_s))
    found = [one for one in restarts.ends(bundle) if one.part == "shuffler"]
    assert sum(one.times for one in found) == times
    assert sum(one.by_itself for one in found) == by_itself


def test_who_is_asked_to_end_may_give_signs_of_life_for_a_while(tmp_path: Path) -> None:
    """Its last sample is younger than the fault."""
    restart = Fault("restart", "relay", at_s=11.8)
    bundle = load(tmp_path, [restart], restarted("relay", 12.5))
    took = bundle.hosts[HOST].events["faults"]
    took[0] = msgspec.structs.replace(
        took[0], parameters={**took[0].parameters, "begin_took_ms": 500.0}
    )
    assert list(restarts.ends(bundle)) == [PartEnds(HOST, "relay", 1, 0)]


@pytest.mark.parametrize(
    ("on", "by_itself"), [("consumers", 0), (HOST, 0), ("worker:0", 1), ("worker:1", 1)]
)
def test_a_fault_on_one_worker_explains_no_other(tmp_path: Path, on: str, by_itself: int) -> None:
    def spoil(host: Path) -> None:
        for worker in (0, 1):
            result = files.read(host / f"consumers-{worker}.json", WorkerResult)
            for later in host.glob(f"consumers-{worker}.*"):
                name = later.name.replace(f"consumers-{worker}.", f"consumers-{worker + 2}.")
                (host / name).write_bytes(later.read_bytes())
            cut = msgspec.structs.replace(result, complete=False)
            files.write(host / f"consumers-{worker}.json", cut)
            goes_on = {"polls_from_unix_ns": at(13), "started_unix_ns": at(13)}
            again = msgspec.structs.replace(result, worker=worker + 2, **goes_on)
            files.write(host / f"consumers-{worker + 2}.json", again)
            path = host / f"consumers-{worker}.samples.jsonl"
            kept = [
                line
                for line in path.read_text().splitlines()
                if msgspec.json.decode(line)["unix_ns"] < at(12.1)
            ]
            path.write_text("".join(f"{line}\n" for line in kept))

    bundle = load(tmp_path, [Fault("kill", on, at_s=12.3, for_s=0.5)], spoil, workers=2)
    assert list(restarts.ends(bundle)) == [PartEnds(HOST, "consumers", 2, by_itself)]


def change_server(host: Path, *at_s: float) -> None:
    """Have the samples from each of these times on be of another server."""
    for name in ("probe.nats.jsonl", "probe.final.json"):
        path = host / name
        lines = path.read_text().splitlines() if name.endswith("l") else [path.read_text()]
        changed = []
        for line in lines:
            content = msgspec.json.decode(line)
            life = content.get("varz") or content.get("server")
            life["server_id"] = f"S{sum(content['unix_ns'] >= at(one) for one in at_s)}"
            changed.append(msgspec.json.encode(content).decode())
        path.write_text("".join(f"{line}\n" for line in changed))


NATS_KILL = Fault("kill", "nats", at_s=12.3, for_s=0.5)


def of_server(*, ended_s: Sequence[float], up_s: Sequence[float]) -> Callable[[Path], None]:
    """Have the probe note ends of processes, and that other servers are there."""

    def spoil(host: Path) -> None:
        with EventLog(host / "probe.events.jsonl") as log:
            for one in ended_s:
                note(log, PROCESS_ENDED, one, one, process="nats", pid=7)
            for one in up_s:
                note(log, NATS_RESTARTED, one - 0.2, one)
        change_server(host, *up_s)

    return spoil


@pytest.mark.parametrize("sees", ["processes", "servers", "both"])
@pytest.mark.parametrize(
    ("faults", "ended_s", "times", "by_itself"),
    [
        ([NATS_KILL], [12.31], 1, 0),
        ([NATS_KILL], [12.31, 20.4], 2, 1),
        ([NATS_KILL], [8.2, 12.31], 2, 1),
        ([NATS_KILL], [20.4], 1, 1),
        ([NATS_KILL, replace(NATS_KILL, at_s=20.3)], [12.31, 20.4], 2, 0),
        ([NATS_KILL, replace(NATS_KILL, at_s=20.3)], [12.31, 20.4, 29.0], 3, 1),
        ([replace(NATS_KILL, do="pause")], [12.31], 1, 1),
        ([replace(NATS_KILL, on="shuffler")], [12.31], 1, 1),
        ([], [12.31, 20.4], 2, 2),
        ([NATS_KILL], [], 0, 0),
    ],
)
def test_each_fault_explains_one_end_of_a_server(
    tmp_path: Path,
    *,
    sees: str,
    faults: list[Fault],
    ended_s: list[float],
    times: int,
    by_itself: int,
) -> None:
    up_s = [one + 0.6 for one in ended_s]
    spoil = of_server(
        ended_s=ended_s if sees != "servers" else [], up_s=up_s if sees != "processes" else []
    )
    found = list(server_ends.find(load(tmp_path, faults, spoil), {}))
    assert found == ([PartEnds(HOST, "nats", times, by_itself)] if times else [])


def test_a_server_that_ends_again_at_once_did_so_by_itself(tmp_path: Path) -> None:
    spoil = of_server(ended_s=[12.31, 13.1], up_s=[12.9, 13.6])
    found = list(server_ends.find(load(tmp_path, [NATS_KILL], spoil), {}))
    assert found == [PartEnds(HOST, "nats", 2, 1)]


def test_a_change_that_only_samples_show_counts(tmp_path: Path) -> None:
    bundle = load(tmp_path, [], lambda host: change_server(host, 12.5))
    assert list(server_ends.find(bundle, {})) == [PartEnds(HOST, "nats", 1, 1)]


def test_a_change_that_only_the_last_look_shows_counts(tmp_path: Path) -> None:
    bundle = load(tmp_path, [], of_server(ended_s=[], up_s=[]))
    part = bundle.hosts[HOST]
    part.nats_samples = [one for one in part.nats_samples if one.unix_ns < at(38)]
    final = part.server_final
    assert final is not None
    assert final.server is not None
    another = msgspec.structs.replace(final.server, server_id="another")
    part.server_final = replace(final, server=another)
    assert list(server_ends.find(bundle, {})) == [PartEnds(HOST, "nats", 1, 1)]


def test_a_server_that_stays_away_has_ended(tmp_path: Path) -> None:
    bundle = load(tmp_path, [NATS_KILL], of_server(ended_s=[12.31], up_s=[12.9]))
    part = bundle.hosts[HOST]
    part.nats_samples = [one for one in part.nats_samples if one.unix_ns < at(30)]
    part.server_final = None
    assert list(server_ends.find(bundle, {HOST: 39.5})) == [PartEnds(HOST, "nats", 2, 1)]


def test_what_was_over_before_the_run_or_came_after_it_is_none_of_its_ends(tmp_path: Path) -> None:
    bundle = load(tmp_path, [], of_server(ended_s=[-3.0, 999.0], up_s=[]))
    assert list(server_ends.find(bundle, {})) == []


@pytest.mark.parametrize("gone", ["shuffler.json", "probe.nats.jsonl", "probe.host.jsonl"])
def test_failures_that_nobody_was_there_to_see_are_not_measured(tmp_path: Path, gone: str) -> None:
    directory = RawRun().write(tmp_path / "run")
    (directory / "hosts" / HOST / gone).unlink()
    goals = {one["name"]: one for one in summary.analyse(load_bundle(directory))["goals"]}
    assert goals["failures_max"]["measured"] is None
