"""Shared by all agents: files in the run directory, life cycle, event loop.

An agent waits for T0 by itself, ends by itself, and on SIGTERM or SIGINT writes what it measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from fpaas import common_time
from fpaas.errors import RunInvalid
from fpaas.measures.calls import CallRecorder
from fpaas.measures.wake_ups import WAKE_UP_INTERVAL_NS
from fpaas.records import status
from fpaas.records.fields import Number
from fpaas.records.files import UnreadableError
from fpaas.records.status import State
from fpaas.spec import NS_PER_S, RunSpec

#: Streams are prepared and networks measured before a run is armed.
ARMED_WITHIN_S = 600.0
ARMED_LOOK_INTERVAL_S = 0.05
#: How often one looks whether others have ended.
ENDED_LOOK_INTERVAL_NS = 50_000_000
#: Threshold of new objects that were not freed; Python's own is 700.
COLLECT_AFTER = 50_000

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop."""
    return uvloop.run(main)


class Status:
    """`<agent>.status.json`: what the control node and the probe read while a run goes on."""

    def __init__(self, directory: Path | None, agent: str) -> None:
        self._directory = directory
        self.agent = agent
        self.state = State.STARTING
        self.message = ""
        self.pids = [os.getpid()]
        self.figures: dict[str, Number] = {}

    def set(self, state: State, message: str = "") -> None:
        """Change the state and write it at once."""
        self.state = state
        self.message = message
        self.write()

    def write(self) -> None:
        """Write the file; a disk that is full costs the status, not the run."""
        if self._directory is None:
            return
        now = status.AgentStatus(
            agent=self.agent,
            state=self.state,
            message=self.message,
            pid=os.getpid(),
            pids=self.pids,
            unix_ns=common_time.now_ns(),
            figures=self.figures,
        )
        with contextlib.suppress(OSError):
            status.write(self._directory, now)


class Arming:
    """Waits until run.json has its T0; `planned` is its content when it was read.

    Starting takes long where processors are few. Agents start before T0 is chosen, so it need not
    allow for that. From then on this process goes by the common time; `host` is the one it is on,
    None if the run does not say.
    """

    def __init__(self, path: Path, planned: RunSpec, own: Status, host: str | None) -> None:
        self.run = planned
        self._path = path
        self._own = own
        self.host = host
        self._deadline = time.monotonic() + ARMED_WITHIN_S
        own.set(State.STARTING, "waiting until the run is armed")

    def is_over(self) -> bool:
        """Whether it is armed. Raises RunInvalid if nobody arms it."""
        if not self.run.is_armed:
            self.run = RunSpec.load(self._path)
        if not self.run.is_armed:
            if time.monotonic() > self._deadline:
                message = (
                    f"{self._path}: got no T0 within {ARMED_WITHIN_S:g} s; is its playbook gone?"
                )
                self._own.set(State.FAILED, message)
                raise RunInvalid(message)
            return False
        common_time.shift(self.run.clock_shift_ns(self.host))
        return True


def armed(path: Path, planned: RunSpec, own: Status, host: str | None) -> RunSpec:
    """Wait as `Arming` does, and return the run with its T0."""
    arming = Arming(path, planned, own, host)
    while not arming.is_over():
        # Not time.sleep, which fails where libfaketime shifts the wall clock alone.
        select.select([], [], [], ARMED_LOOK_INTERVAL_S)
    return arming.run


def keep_what_is_here() -> None:
    """Take whatever exists now for permanent, so that no collection walks through it again.

    Thousands of calls wait for their answers at any time, and none of them is garbage: the
    collector looks for that more rarely from now on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event


async def sleep_until_unix_ns(due_unix_ns: int, stop: asyncio.Event) -> bool:
    """Sleep until a wall-clock time; returns False if `stop` came first."""
    while not stop.is_set():
        left_s = (due_unix_ns - common_time.now_ns()) / 1e9
        if left_s <= 0:
            return True
        # Long sleeps in steps: the wall clock may be corrected in between.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(left_s, 1.0))
    return False


async def sleep_until_settled(
    spec: RunSpec, directory: Path, awaited: Collection[str], stop: asyncio.Event
) -> bool:
    """Sleep until a run is over and agents of this host have ended; returns False if `stop` did.

    `awaited` are names of agents. One that is not here, or does not end, is waited for until the
    run has settled without it.
    """
    if not await sleep_until_unix_ns(spec.end_unix_ns, stop):
        return False
    while common_time.now_ns() < spec.settled_unix_ns:
        if all(_has_ended(directory, name) for name in awaited):
            break
        if not await sleep_until_unix_ns(common_time.now_ns() + ENDED_LOOK_INTERVAL_NS, stop):
            return False
    return not stop.is_set()


def _has_ended(directory: Path, name: str) -> bool:
    try:
        return status.read(directory, name).state in status.ENDED
    except (OSError, UnreadableError):
        return False


def seconds_to_next_tick(origin_unix_ns: int, cuts_unix_ns: tuple[int, ...] = ()) -> float:
    """Return how long to sleep to the next whole second from `origin_unix_ns`, or the next cut.

    Counters that are sampled at the edges of the measuring window need no interpolation there,
    where rates change.
    """
    now_unix_ns = common_time.now_ns()
    whole = now_unix_ns + NS_PER_S - (now_unix_ns - origin_unix_ns) % NS_PER_S
    due_unix_ns = min([whole, *(cut for cut in cuts_unix_ns if cut > now_unix_ns)])
    return (due_unix_ns - now_unix_ns) / NS_PER_S


async def measure_loop_lag(
    recorder: CallRecorder, t0_unix_ns: int, on_wake: Callable[[int], None] = lambda _: None
) -> None:
    """Record forever how late the event loop wakes up, from T0 on.

    Wake-ups are due on a grid, and a loop that sleeps over several is late for each of them: one
    long stall weighs as much as it lasted. By the monotonic clock, for the other one may be set.
    `on_wake` is called with its time in ns: to wake costs more than most of what is done then.
    """
    # Not loop.time(): uvloop's has a resolution of a millisecond.
    unix_to_monotonic_ns = time.monotonic_ns() - common_time.now_ns()
    due_unix_ns = t0_unix_ns

    def now() -> int:
        return time.monotonic_ns() - unix_to_monotonic_ns

    def overdue(unix_ns: int) -> range:
        return range(due_unix_ns, unix_ns + 1, WAKE_UP_INTERVAL_NS)

    recorder.still_open = lambda: overdue(now())
    try:
        while True:
            now_unix_ns = now()
            for due in overdue(now_unix_ns):
                recorder.end(due, now_unix_ns)
                due_unix_ns = due + WAKE_UP_INTERVAL_NS
            # Before T0 it sleeps at one stretch, which is no pause.
            if now_unix_ns >= t0_unix_ns:
                on_wake(time.monotonic_ns())
            await asyncio.sleep((due_unix_ns - now()) / NS_PER_S)
    finally:
        now_unix_ns = now()
        for due in overdue(now_unix_ns):
            recorder.give_up(due, now_unix_ns)


def wakes_from(t0_unix_ns: int) -> int:
    """Return from when on an event loop's wake-ups are due, Unix ns: T0, or now if that is over."""
    passed = -((t0_unix_ns - common_time.now_ns()) // WAKE_UP_INTERVAL_NS)
    return t0_unix_ns + max(0, passed) * WAKE_UP_INTERVAL_NS
