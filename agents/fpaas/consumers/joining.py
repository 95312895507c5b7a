"""Classes that join a run late: their durables are made when they are due, and no poll before."""

from __future__ import annotations

import asyncio
import logging

from fpaas import agent
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.puller import Gate
from fpaas.consumers.stream_changes import StreamChanges
from fpaas.jetstream.asked import Durable, late_durables_of
from fpaas.spec import NS_PER_S
from fpaas.spec.mix import ConsumerClass

log = logging.getLogger(__name__)


class Joining:
    """The late classes of one worker; their gates are closed until they have joined."""

    def __init__(self, assignment: Assignment, gates: list[Gate], changes: StreamChanges) -> None:
        self._assignment = assignment
        self._changes = changes
        self._gates: dict[str, set[Gate]] = {}
        late = {one.name for one in assignment.spec.consumers.classes if one.is_late}
        for gate in gates:
            name = gate.pullers[0].habit.name
            if name in late:
                self._gates.setdefault(name, set()).add(gate)
                changes.waiting.add(gate)

    async def run(self, stop: asyncio.Event) -> None:
        """Let each class join when it is due, until all have or `stop`."""
        spec = self._assignment.spec
        due = sorted(spec.consumers.classes, key=lambda one: one.joins_at_s)
        for one in due:
            if one.name not in self._gates:
                continue
            at_unix_ns = spec.t0_unix_ns + round(one.joins_at_s * NS_PER_S)
            if not await agent.sleep_until_unix_ns(at_unix_ns, stop):
                return
            durables = self._durables_of(one)
            await self._changes.join(durables, self._gates[one.name])
            log.info("class %s joined with %d durables", one.name, len(durables))

    def _durables_of(self, one: ConsumerClass) -> list[Durable]:
        spec, first = self._assignment.spec, self._assignment.first
        indices = range(first, first + self._assignment.count)
        own = [index for index in indices if spec.consumers.classes[spec.class_of(index)] is one]
        return late_durables_of(spec, own)
