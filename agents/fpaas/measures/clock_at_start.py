"""How far a host's clock is off the NATS host's before a run, and what follows for the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOW, HIGH = "clock_offset_low_ns", "clock_offset_high_ns"


@dataclass(frozen=True)
class ClockAtStart:
    """The NATS host's clock minus a host's lies in [offset_low_ns, offset_high_ns]."""

    offset_low_ns: int
    offset_high_ns: int

    @property
    def shift_ns(self) -> int:
        """The shift to add to the host's clock; 0 if it may be right already."""
        if self.offset_low_ns <= 0 <= self.offset_high_ns:
            return 0
        return (self.offset_low_ns + self.offset_high_ns) // 2

    def figures(self) -> dict[str, int | float]:
        """As in a probe's status file."""
        return {LOW: self.offset_low_ns, HIGH: self.offset_high_ns}

    @classmethod
    def of(cls, figures: Mapping[str, int | float]) -> ClockAtStart | None:
        """Read what `figures` wrote; None if it has not been measured."""
        if LOW not in figures or HIGH not in figures:
            return None
        return cls(int(figures[LOW]), int(figures[HIGH]))
