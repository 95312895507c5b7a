"""The relay's bad manners, on a run's own timeline: begun, undone, and noted as events.

Faults that lie in the frames themselves, their numbers and their damage, are in fpaas.relay.wire;
here they are only noted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

from fpaas import agent, common_time
from fpaas.common_time import NS_PER_MS
from fpaas.firehose import renumbering
from fpaas.records import events
from fpaas.records.events import FAULT, EventLog, EventRecord, Value
from fpaas.relay import wire
from fpaas.relay.audience import Audience
from fpaas.spec import NS_PER_S, Fault

log = logging.getLogger(__name__)

IN_FRAMES = (renumbering.REWIND, renumbering.RENUMBER, wire.GARBAGE, wire.HALF_FRAME)
#: A fault that should have begun longer ago, and does not last, was for an earlier relay.
LATE_S = 1.0


class Manners:
    """Plays those of a run's `faults` that are the relay's own; `number` is a fault's place there.

    Events go to the file `log_path`, where a relay that ran before this one may have begun them.
    """

    def __init__(
        self,
        audience: Audience,
        faults: Sequence[Fault],
        t0_unix_ns: int,
        log_path: Path | None,
    ) -> None:
        self._audience = audience
        self._own = {number: fault for number, fault in enumerate(faults) if fault.is_by_relay}
        self._t0_unix_ns = t0_unix_ns
        self._noted = _noted(log_path) if self._own else {}
        self._log = EventLog(log_path) if self._own and log_path is not None else None
        now_unix_ns = common_time.now_ns()
        self._overdue: set[int | None] = {
            n for n in self._own if self._begin_unix_ns(n) <= now_unix_ns
        }
        self._caught_up = asyncio.Event()
        self._caught_up_with(None)

    async def caught_up(self) -> None:
        """Wait until `play` has begun what was due when this was made."""
        await self._caught_up.wait()

    async def play(self) -> None:
        """Play them all; whatever has begun is undone if it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, fault in self._own.items():
                    tasks.create_task(self._play(number, fault))
        finally:
            # Whoever waits to send must not wait for what failed: the run says what was not played.
            self._caught_up.set()
            if self._log is not None:
                self._log.close()

    async def _play(self, number: int, fault: Fault) -> None:
        never = asyncio.Event()
        begin_unix_ns = self._begin_unix_ns(number)
        end_unix_ns = self._t0_unix_ns + round(fault.until_s * NS_PER_S)
        await agent.sleep_until_unix_ns(begin_unix_ns, never)
        late_s = (common_time.now_ns() - begin_unix_ns) / NS_PER_S
        is_over = late_s > max(fault.for_s, LATE_S)
        is_done = number in self._noted and not fault.for_s
        if is_done or (is_over and fault.do not in IN_FRAMES):
            self._caught_up_with(number)
            return
        event = self._noted.get(number) or self._begin_event(number, fault, begin_unix_ns)
        try:
            if not is_over:
                self._begin(fault)
            self._caught_up_with(number)
            await agent.sleep_until_unix_ns(end_unix_ns, never)
        finally:
            late_ms = _late_ms(end_unix_ns)
            if fault.for_s and not is_over:
                self._end(fault)
            self._end_event(event, {} if fault.do in IN_FRAMES else {"end_late_ms": late_ms})

    def _begin_unix_ns(self, number: int) -> int:
        return self._t0_unix_ns + round(self._own[number].at_s * NS_PER_S)

    def _caught_up_with(self, number: int | None) -> None:
        self._overdue.discard(number)
        if not self._overdue:
            self._caught_up.set()

    def _begin(self, fault: Fault) -> None:
        said = "; ".join(f"{name} {value}" for name, value in fault.to_dict().items())
        log.warning("bad manners: %s", said)
        if fault.do in IN_FRAMES:
            return
        if fault.for_s:
            self._audience.hold(fault)
        else:
            self._audience.suffer(fault)

    def _end(self, fault: Fault) -> None:
        log.warning("bad manners: %s is undone", fault.do)
        if fault.do not in IN_FRAMES:
            self._audience.release()

    def _begin_event(self, number: int, fault: Fault, due_unix_ns: int) -> EventRecord | None:
        if self._log is None:
            return None
        parameters: dict[str, Value] = {"number": number, **fault.to_dict()}
        # Damaged frames are the first that are due then, whenever they are sent.
        if fault.do in IN_FRAMES:
            return self._log.begin(FAULT, due_unix_ns, parameters)
        parameters["begin_late_ms"] = _late_ms(due_unix_ns)
        return self._log.begin(FAULT, common_time.now_ns(), parameters)

    def _end_event(self, event: EventRecord | None, more: dict[str, Value]) -> None:
        if self._log is not None and event is not None and event.end_unix_ns is None:
            end_unix_ns = max(common_time.now_ns(), event.begin_unix_ns)
            self._log.end(event, end_unix_ns, {**event.parameters, **more})


def _late_ms(due_unix_ns: int) -> float:
    return round((common_time.now_ns() - due_unix_ns) / NS_PER_MS, 3)


def _noted(log_path: Path | None) -> dict[int, EventRecord]:
    """Read which faults a relay that ran before this one has noted, by their numbers."""
    found: list[EventRecord] = []
    if log_path is not None:
        with contextlib.suppress(OSError):
            found, _ = events.read(log_path)
    numbered = ((event.parameters.get("number"), event) for event in found if event.kind == FAULT)
    return {number: event for number, event in numbered if isinstance(number, int)}
