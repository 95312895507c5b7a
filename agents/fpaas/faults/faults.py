"""The faults agent of one host: injects its part of a run's faults on time, and undoes it.

It goes by the monotonic clock: setting the other one, by a fault or by others, moves no fault.
Whatever it begins, the dead man's timer knows before.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fpaas import agent, common_time
from fpaas.agent import Status
from fpaas.common_time import NS_PER_MS
from fpaas.errors import RunInvalid
from fpaas.faults.dead_man import Begun, DeadMan, Ended, TimerGoneError
from fpaas.faults.injection import Injection, InjectionError
from fpaas.faults.processes import NoProcessError
from fpaas.faults.undo import UndoError, perform_all
from fpaas.records import events
from fpaas.records.events import FAULT, EventLog, EventRecord, Value
from fpaas.records.status import State
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.spec.faults import AGENT, OfHost, label, of_host

log = logging.getLogger(__name__)

STATUS_INTERVAL_S = 5.0
#: A fault's targets are looked up this long before it begins.
PREPARE_S = 0.2

#: Prepares a fault on this host; None if it turns out not to be on this one.
Prepare = Callable[[OfHost], Injection | None]


@dataclass(frozen=True)
class Options:
    """The faults to execute, and the means."""

    spec: RunSpec
    directory: Path
    host: str
    prepare: Prepare
    #: The command that takes the dead man's timer out of this agent's own service; may be empty.
    apart: list[str]


class _Timing(NamedTuple):
    """When something was due and done, by the monotonic clock."""

    due_ns: int
    begin_ns: int
    done_ns: int

    @property
    def late_ms(self) -> float:
        """How long after it was due it was begun; negative if before."""
        return round((self.begin_ns - self.due_ns) / NS_PER_MS, 3)

    @property
    def took_ms(self) -> float:
        """How long it took from there."""
        return round((self.done_ns - self.begin_ns) / NS_PER_MS, 3)


class _Injected(NamedTuple):
    """A fault that was injected, and when that was done."""

    event: EventRecord
    done_ns: int


def _timed(action: Callable[[], None], due_ns: int) -> _Timing:
    """Do something that was due."""
    begin_ns = time.monotonic_ns()
    action()
    return _Timing(due_ns, begin_ns, time.monotonic_ns())


async def run(options: Options, status: Status) -> None:
    """Inject this host's faults; returns when all are undone.

    On SIGTERM it undoes at once what it began. Raises RunInvalid if a fault could not be injected
    or undone; `faults.status.json` says the same.
    """
    stop = agent.stop_event()
    path = options.directory / f"{AGENT}.{events.SUFFIX}"
    with EventLog(path) as event_log:
        try:
            dead_man = await asyncio.to_thread(DeadMan, path, options.apart)
        except (TimerGoneError, OSError) as error:
            status.set(State.FAILED, f"the dead man's timer does not start: {error}")
            raise RunInvalid(status.message) from error
        status.pids.append(dead_man.pid)
        status.set(State.READY)
        schedule = _Schedule(options, stop, event_log, dead_man)
        beating = asyncio.create_task(_beat(status))
        try:
            await schedule.play()
        finally:
            beating.cancel()
            await asyncio.to_thread(dead_man.release)
    if event_log.loss:
        schedule.problems.append(event_log.loss)
    if schedule.problems:
        status.set(State.FAILED, "; ".join(schedule.problems))
        raise RunInvalid(status.message)
    status.set(State.STOPPED if stop.is_set() else State.DONE)


async def _beat(status: Status) -> None:
    while True:
        await asyncio.sleep(STATUS_INTERVAL_S)
        status.write()


class _Schedule:
    """All faults of a host, each in its own task."""

    def __init__(
        self, options: Options, stop: asyncio.Event, event_log: EventLog, dead_man: DeadMan
    ) -> None:
        self._options = options
        self._stop = stop
        self._event_log = event_log
        self._dead_man = dead_man
        self._telling = asyncio.Lock()
        self._unix_to_monotonic_ns = time.monotonic_ns() - common_time.now_ns()
        self.problems: list[str] = []

    async def play(self) -> None:
        """Play all of them."""
        spec = self._options.spec
        mine = of_host(spec.faults, spec.hosts, self._options.host)
        await asyncio.gather(*(self._play(one) for one in mine))

    async def _play(self, one: OfHost) -> None:
        fault = one.fault
        begin_ns, end_ns = self._monotonic_ns(fault.at_s), self._monotonic_ns(fault.until_s)
        if not await self._sleep_until(begin_ns - round(PREPARE_S * NS_PER_S)):
            return
        try:
            injection = await asyncio.to_thread(self._options.prepare, one)
        except (NoProcessError, InjectionError) as error:
            self._problem(one, f"could not be injected: {error}")
            return
        if injection is None:
            return
        try:
            async with self._telling:
                until_s = max(end_ns, time.monotonic_ns()) / NS_PER_S
                begun = Begun(one.number, until_s, -self._unix_to_monotonic_ns, injection.undo)
                await asyncio.to_thread(self._dead_man.tell, begun)
        except TimerGoneError as error:
            self._problem(one, f"was not injected: {error}")
            return
        injected = None
        if await self._sleep_until(begin_ns):
            injected = await self._begin(one, injection, begin_ns)
        await self._sleep_until(end_ns)
        # A fault that does not last ends as soon as it is done.
        due_ns = injected.done_ns if injected is not None and not fault.for_s else end_ns
        await self._end(one, injection, injected, due_ns)

    async def _begin(self, one: OfHost, injection: Injection, due_ns: int) -> _Injected | None:
        try:
            timing = await asyncio.to_thread(_timed, injection.begin, due_ns)
        except InjectionError as error:
            self._problem(one, f"could not be injected: {error}")
            return None
        parameters: dict[str, Value] = {
            "number": one.number,
            **one.fault.to_dict(),
            **injection.parameters(),
            "begin_late_ms": timing.late_ms,
            "begin_took_ms": timing.took_ms,
        }
        log.info("injected %s", label(one.number, one.fault))
        event = self._event_log.begin(FAULT, self._unix_ns(timing.begin_ns), parameters)
        return _Injected(event, timing.done_ns)

    async def _end(
        self, one: OfHost, injection: Injection, injected: _Injected | None, due_ns: int
    ) -> None:
        undo = functools.partial(perform_all, injection.undo, is_ending=self._stop.is_set())
        try:
            timing = await asyncio.to_thread(_timed, undo, due_ns)
        except UndoError as error:
            self._problem(one, f"could not be undone: {error}")
            return
        if injected is not None:
            event = injected.event
            parameters: dict[str, Value] = {
                **event.parameters,
                "end_late_ms": timing.late_ms,
                "end_took_ms": timing.took_ms,
                "undone_by": AGENT,
            }
            end_unix_ns = max(self._unix_ns(timing.done_ns), event.begin_unix_ns)
            self._event_log.end(event, end_unix_ns, parameters)
        log.info("undid %s", label(one.number, one.fault))
        # If it is gone, there is nothing left for it to do.
        with contextlib.suppress(TimerGoneError):
            async with self._telling:
                await asyncio.to_thread(self._dead_man.tell, Ended(one.number))

    def _problem(self, one: OfHost, what: str) -> None:
        said = f"{label(one.number, one.fault)} {what}"
        log.error("%s", said)
        self.problems.append(said)

    def _monotonic_ns(self, at_s: float) -> int:
        unix_ns = self._options.spec.t0_unix_ns + round(at_s * NS_PER_S)
        return unix_ns + self._unix_to_monotonic_ns

    def _unix_ns(self, monotonic_ns: int) -> int:
        """Return the common time as if nobody had set this clock since the start."""
        return monotonic_ns - self._unix_to_monotonic_ns

    async def _sleep_until(self, due_ns: int) -> bool:
        """Sleep until a time of the monotonic clock; returns False if `stop` came first."""
        left_s = (due_ns - time.monotonic_ns()) / NS_PER_S
        if left_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), left_s)
        return not self._stop.is_set()
