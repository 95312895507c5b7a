"""Which ends of a part the faults of a run were to bring about: each fault explains one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fpaas.bundle.bundle import Bundle
from fpaas.common_time import NS_PER_MS
from fpaas.records.events import FAULT, EventRecord
from fpaas.spec import NS_PER_S
from fpaas.spec.faults import AGENT, targets

#: Faults that end a process which is started again.
ENDING = ("kill", "restart")
#: Whoever saw a process end may say so this much later.
SEEN_WITHIN_NS = NS_PER_S
#: An older agent did not say how long it took until the process had ended; it waited no longer.
TOOK_MAX_NS = 15 * NS_PER_S


@dataclass(frozen=True)
class Part:
    """What can end on a host; `worker`: of a host's consumers, the place among them, else None."""

    host: str
    group: str
    worker: int | None = None


class FaultClaims:
    """Gives away the faults that ended parts. Ask for a part's ends in the order of time."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._given: set[tuple[Part, int]] = set()

    def claim(self, part: Part, since_unix_ns: int, until_unix_ns: int) -> EventRecord | None:
        """Return the fault that ended a part between two times; None if it ended by itself.

        A fault that another end of this part was given is not given again.
        """
        for number, record in self._on(part):
            took_ms = record.parameters.get("begin_took_ms")
            took_ns = (
                round(took_ms * NS_PER_MS) if isinstance(took_ms, int | float) else TOOK_MAX_NS
            )
            has_done_by_unix_ns = record.begin_unix_ns + took_ns + SEEN_WITHIN_NS
            was_at_it = (
                record.begin_unix_ns <= until_unix_ns and has_done_by_unix_ns >= since_unix_ns
            )
            if was_at_it and (part, number) not in self._given:
                self._given.add((part, number))
                return record
        return None

    def _on(self, part: Part) -> Iterator[tuple[int, EventRecord]]:
        """Iterate over the faults that happened and ended a part, with their numbers."""
        spec = self._bundle.spec
        for record in self._bundle.hosts[part.host].events.get(AGENT, ()):
            number = record.parameters.get("number")
            if (
                record.kind != FAULT
                or record.parameters.get("do") not in ENDING
                or not isinstance(number, int)
                or not 0 <= number < len(spec.faults)
            ):
                continue
            fault = spec.faults[number]
            is_on_it = any(
                (target.host, target.group) == (part.host, part.group)
                for target in targets(fault, spec.hosts)
            )
            if is_on_it and fault.worker in (None, part.worker):
                yield number, record
