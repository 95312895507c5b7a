"""When the probe samples, and which processes it takes for the lab's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.probe import last_look
from fpaas.probe.host_usage import cpu_shares_pct
from fpaas.probe.process_ends import ProcessEnds
from fpaas.probe.process_usage import ProcessUsage, read_pid_file, read_status_files
from fpaas.probe.ticks import Ticks
from fpaas.records import events, status
from fpaas.records.events import PROCESS_ENDED, EventLog
from fpaas.records.nats import DurableState, FinalSnapshot, StreamState
from fpaas.records.status import AgentStatus, State
from tests.support.patience import PATIENCE_S


@given(st.lists(st.floats(0, 3.5), max_size=50))
def test_ticks_stay_on_schedule_and_count_what_was_overslept(delays_s: list[float]) -> None:
    start_s = 100.0
    ticks = Ticks(start_s, 1.0)
    now_s = start_s
    for taken, delay_s in enumerate(delays_s, start=1):
        due_s = ticks.next_after(now_s)
        assert due_s == start_s + taken + ticks.missed
        # Never more than one interval behind.
        assert due_s > now_s - 1.0
        now_s = max(now_s, due_s) + delay_s


def test_ticks_that_are_kept_are_never_missed() -> None:
    ticks = Ticks(0.0, 5.0)
    assert [ticks.next_after(now_s) for now_s in (0.0, 5.1, 14.9, 15.0)] == [5.0, 10.0, 15.0, 20.0]
    assert ticks.missed == 0


def test_cpu_shares() -> None:
    before = dict.fromkeys(("user", "system", "idle", "iowait", "steal", "guest"), 10.0)
    after = {
        "user": 13.0,
        "system": 11.0,
        "idle": 13.0,
        "iowait": 12.0,
        "steal": 11.0,
        "guest": 13.0,
    }
    assert cpu_shares_pct(before, after) == {"cpu_pct": 40, "steal_pct": 10, "iowait_pct": 20}


def test_cpu_shares_of_no_time_are_unknown() -> None:
    times = {"user": 1.0, "idle": 2.0, "iowait": 0.0, "steal": 0.0}
    assert cpu_shares_pct(times, times) == {"cpu_pct": None, "steal_pct": None, "iowait_pct": None}


counters = st.floats(0, 1e6)


@given(*[st.tuples(counters, counters)] * 4)
def test_cpu_shares_are_shares(
    user: tuple[float, float],
    idle: tuple[float, float],
    iowait: tuple[float, float],
    steal: tuple[float, float],
) -> None:
    columns = {"user": user, "idle": idle, "iowait": iowait, "steal": steal}
    before, after = ({name: pair[i] for name, pair in columns.items()} for i in (0, 1))
    shares = [share for share in cpu_shares_pct(before, after).values() if share is not None]
    assert all(-1e-6 <= share <= 100 + 1e-6 for share in shares)
    assert sum(shares) <= 100 + 1e-6


def write_status(directory: Path, agent: str, pids: list[int], unix_s: float) -> None:
    # Agents of a host may go by another time than its kernel.
    own = AgentStatus(agent=agent, state=State.RUNNING, pid=pids[0], pids=pids, unix_ns=1)
    status.write(directory, own)
    os.utime(directory / f"{agent}.status.json", (unix_s, unix_s))


def test_processes_are_found_by_status_and_pid_files(tmp_path: Path) -> None:
    write_status(tmp_path, "consumers", [7, 8], 2.0)
    (tmp_path / "relay.status.json").write_text("{half")
    (tmp_path / "other.status.json").write_text("[]")
    assert [(e.process, e.pid, e.listed_unix_s) for e in read_status_files(tmp_path)] == [
        ("consumers", 7, 2.0),
        ("consumers", 8, 2.0),
    ]
    pid_file = tmp_path / "nats.pid"
    assert read_pid_file(pid_file, "nats") == []
    pid_file.write_text("")
    assert read_pid_file(pid_file, "nats") == []
    pid_file.write_text("42\n")
    assert [(e.process, e.pid) for e in read_pid_file(pid_file, "nats")] == [("nats", 42)]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_comes_and_goes(tmp_path: Path) -> None:
    usage = ProcessUsage(tmp_path, {})
    assert usage.sample() == []
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        write_status(tmp_path, "relay", [child.pid], time.time())
        (first,) = usage.sample()
        assert first.process == "relay"
        # What it used in no time is unknown.
        assert first.cpu_pct is None
        # A busy machine may let it wait.
        wait_until(lambda: psutil.Process(child.pid).cpu_times().user > (first.cpu_s or 0) + 0.05)
        (second,) = usage.sample()
        assert second.cpu_pct is not None
        assert second.cpu_pct > 0
        assert first.cpu_s is not None
        assert second.cpu_s is not None
        assert second.cpu_s > first.cpu_s
        assert second.rss_mb > 1
        assert second.threads == 1
    finally:
        child.kill()
    # Dead, though not yet waited for.
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert usage.sample() == []
    child.wait()
    assert usage.sample() == []


def test_a_later_process_with_the_same_pid_is_not_taken_for_ours(tmp_path: Path) -> None:
    write_status(tmp_path, "relay", [os.getpid()], time.time() - 3600)
    assert ProcessUsage(tmp_path, {}).sample() == []


def test_the_end_of_a_process_is_known_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "events"
    children = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)]
    children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    killed, left = children

    async def play() -> tuple[int, int]:
        with EventLog(path) as log:
            ends = ProcessEnds(log)
            usage = ProcessUsage(tmp_path, {})
            write_status(tmp_path, "relay", [killed.pid, left.pid, os.getpid()], time.time() + 1)
            ends.watch(usage.sample())
            ends.watch(usage.sample())
            before = time.time_ns()
            killed.kill()
            # Well before any sample.
            while not events.read(path)[0]:
                await asyncio.sleep(0.005)
            after = time.time_ns()
            ends.watch(usage.sample())
            ends.close()
            return before, after

    try:
        before, after = asyncio.run(play())
    finally:
        for child in children:
            child.kill()
            child.communicate()
    ((event,), wrong) = events.read(path)
    assert wrong is None
    assert before <= event.begin_unix_ns <= after
    assert (event.kind, event.parameters) == (
        PROCESS_ENDED,
        {"process": "relay", "pid": killed.pid},
    )


class GrowingStream:
    """A server that still stores what came while it was frozen, for some looks."""

    def __init__(self, *last_seqs: tuple[int, int], acks_owed: int) -> None:
        self.last_seqs = list(last_seqs)
        self.durable = DurableState(
            name="one",
            delivered_consumer_seq=1,
            delivered_stream_seq=1,
            num_pending=0,
            num_ack_pending=acks_owed,
            num_redelivered=0,
        )

    async def final(self) -> FinalSnapshot:
        before, after = (
            StreamState(messages=seq, bytes=0, first_seq=1, last_seq=seq)
            for seq in self.last_seqs.pop(0)
        )
        return FinalSnapshot(
            unix_ns=0,
            stream_before=before,
            stream_after=after,
            consumers=[self.durable],
            server=None,
        )


@pytest.mark.parametrize(
    ("looks", "acks_owed", "last_seq"),
    [
        ([(5, 5)], 0, 5),
        # They may be on their way, or nobody sends them.
        ([(5, 5), (5, 5)], 3, 5),
        ([(5, 9), (9, 9)], 0, 9),
        # Between two looks it went on as well.
        ([(5, 9), (12, 12), (12, 12)], 3, 12),
    ],
)
def test_the_last_look_at_a_stream_is_one_at_which_it_stands_still(
    looks: list[tuple[int, int]], acks_owed: int, last_seq: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_look, "RETRY_PAUSE_S", 0.0)
    stream = GrowingStream(*looks, acks_owed=acks_owed)
    final = asyncio.run(last_look.at_rest(stream.final, 60.0))
    assert final.stream_after.last_seq == last_seq
    assert stream.last_seqs == []
