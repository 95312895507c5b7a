"""Freezes of real parts are seen by those connected with them, and blamed on nobody else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fpaas.records import events
from fpaas.records.events import EventRecord
from fpaas.spec import NS_PER_S
from tests.support import verdict_codes
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import LOAD_HOST, ProcessesLab

pytestmark = pytest.mark.integration

LOAD: dict[str, Any] = {
    "bench_consumers": 4,
    "bench_workers": 2,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_firehose_rate_per_s": 200,
    "bench_warmup_s": 1,
    "bench_drain_s": 2,
}
#: A quiet peer is pinged after a quarter of a second; looks are 50 or 100 ms apart.
TOLERANCE_NS = round(0.6 * NS_PER_S)
#: Where others have the processors, whoever looks may come to it late.
CROWDED_NS = 2 * NS_PER_S
BUSY_PROCESSES = 4


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep a number of processes computing."""
    command = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


#: Shorter pauses explain lateness, and are no freeze.
MOMENT_NS = 900_000_000


def freeze(pid: int, seconds: float) -> tuple[int, int]:
    """Stop a process for a while; returns from when to when, in Unix nanoseconds."""
    os.kill(pid, signal.SIGSTOP)
    began = time.time_ns()
    try:
        time.sleep(seconds)
    finally:
        ended = time.time_ns()
        os.kill(pid, signal.SIGCONT)
    return began, ended


def noted(lab: ProcessesLab, host: str, stem: str) -> list[EventRecord]:
    """Return what an agent saw stand still from T0 on."""
    found, wrong = events.read(lab.bundle / "hosts" / host / f"{stem}.{events.SUFFIX}")
    assert wrong is None
    return [one for one in lasting(found) if (one.end_unix_ns or 0) >= lab.spec.t0_unix_ns]


def lasting(found: list[EventRecord]) -> list[EventRecord]:
    """Leave out moments, which are a busy machine's doing, and that processes ended as they do."""
    return [
        event
        for event in found
        if event.end_unix_ns is None or event.end_unix_ns - event.begin_unix_ns >= MOMENT_NS
    ]


def around(found: list[EventRecord], truth: tuple[int, int]) -> list[EventRecord]:
    """Return the events that overlap a time."""
    began, ended = truth
    return [
        event
        for event in found
        if event.begin_unix_ns <= ended and (event.end_unix_ns or ended) >= began
    ]


def assert_one(
    found: list[EventRecord], kind: str, truth: tuple[int, int], tolerance_ns: int
) -> None:
    """Check that one event is of a freeze, and no other unless the machine is crowded."""
    began, ended = truth
    if tolerance_ns > TOLERANCE_NS:
        found = [event for event in found if event.kind == kind]
    assert [event.kind for event in found] == [kind]
    assert abs(found[0].begin_unix_ns - began) < tolerance_ns
    assert found[0].end_unix_ns is not None
    assert abs(found[0].end_unix_ns - ended) < tolerance_ns


def test_each_freeze_is_seen_by_those_it_concerns(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    lab = ProcessesLab(tmp_path, {"nats": nats_server}, **LOAD, bench_measure_s=19)
    labs.append(lab)
    lab.start()
    lab.sleep_until(2)
    of_nats = freeze(nats_server.pid, 2)
    lab.sleep_until(7)
    of_shuffler = freeze(lab.pids("shuffler")[0], 2)
    lab.sleep_until(12)
    of_relay = freeze(lab.pids("relay")[0], 2)
    lab.sleep_until(16)
    of_worker = freeze(lab.pids("consumers")[1], 1)
    lab.wait()
    summary = lab.report()
    is_crowded = verdict_codes.is_crowded(summary)
    tolerance_ns = CROWDED_NS if is_crowded else TOLERANCE_NS

    shuffler = noted(lab, LOAD_HOST, "shuffler")
    relay = noted(lab, LOAD_HOST, "relay")
    workers = [noted(lab, LOAD_HOST, f"consumers-{number}") for number in (0, 1)]
    probe = noted(lab, "nats", "probe")
    for seen in (shuffler, *workers, probe):
        assert_one(around(seen, of_nats), events.NATS_SILENT, of_nats, tolerance_ns)
    assert all(
        event.parameters == {"server": f"127.0.0.1:{nats_server.port}", "connected": True}
        for event in around(shuffler, of_nats)
    )
    assert_one(around(shuffler, of_shuffler), events.AGENT_PAUSED, of_shuffler, tolerance_ns)
    assert_one(around(shuffler, of_relay), events.RELAY_SILENT, of_relay, tolerance_ns)
    assert_one(around(relay, of_relay), events.AGENT_PAUSED, of_relay, tolerance_ns)
    paused = [event for worker in workers for event in around(worker, of_worker)]
    assert_one(paused, events.AGENT_PAUSED, of_worker, tolerance_ns)
    assert {event.kind for event in relay} <= {events.AGENT_PAUSED, events.READER_BLOCKED}
    if is_crowded:
        return
    # And nobody saw anything else.
    assert len(shuffler) == 3
    assert sorted(map(len, workers)) == [1, 2]
    assert len(probe) == 1

    told = [(event["kind"], event["parameters"].get("agent")) for event in summary["events"]]
    assert told.count((events.NATS_SILENT, "consumers")) == 1
    assert told.count((events.NATS_SILENT, "probe")) == 1
    by_kind = {event["kind"]: event for event in summary["events"]}
    assert by_kind[events.RELAY_SILENT]["begin_s"] == pytest.approx(12, abs=0.5)
    assert by_kind[events.RELAY_SILENT]["end_s"] == pytest.approx(14, abs=0.5)


def test_a_server_that_is_killed_is_silent_until_it_is_back(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    lab = ProcessesLab(tmp_path, {"nats": nats_server}, **LOAD, bench_measure_s=8)
    labs.append(lab)
    lab.start()
    lab.sleep_until(2)
    nats_server.kill()
    killed = time.time_ns()
    lab.sleep_until(5)
    launched = time.time_ns()
    nats_server.launch()
    lab.wait()
    is_crowded = verdict_codes.is_crowded(lab.report())
    tolerance_ns = CROWDED_NS if is_crowded else TOLERANCE_NS
    for host, stem in ((LOAD_HOST, "shuffler"), (LOAD_HOST, "consumers-0"), ("nats", "probe")):
        # What else they say is of the stream that was lost with it.
        (silent,) = (one for one in noted(lab, host, stem) if one.kind == events.NATS_SILENT)
        assert silent.parameters["connected"] is False
        assert abs(silent.begin_unix_ns - killed) < tolerance_ns
        assert silent.end_unix_ns is not None
        # They try again every two seconds.
        assert launched <= silent.end_unix_ns < launched + 8 * NS_PER_S + tolerance_ns


def test_nobody_is_blamed_where_nothing_froze_however_busy_the_machine_is(
    tmp_path: Path, nats_server: NatsServer, labs: list[ProcessesLab]
) -> None:
    lab = ProcessesLab(tmp_path, {"nats": nats_server}, **LOAD, bench_measure_s=10)
    labs.append(lab)
    lab.start()
    with busy(BUSY_PROCESSES):
        lab.wait()
    for path in lab.bundle.glob(f"hosts/*/*.{events.SUFFIX}"):
        found, wrong = events.read(path)
        # That it waited for a processor itself, an agent may say.
        blamed = [one for one in lasting(found) if one.kind != events.AGENT_PAUSED]
        assert (path.name, blamed, wrong) == (path.name, [], None)
    stems = {path.name.split(".")[0] for path in lab.bundle.glob(f"hosts/*/*.{events.SUFFIX}")}
    assert stems == {"relay", "shuffler", "consumers", "consumers-0", "consumers-1", "probe"}
