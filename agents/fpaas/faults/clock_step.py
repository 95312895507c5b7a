"""A wall clock that is set, and set back by the monotonic one. As root."""

from __future__ import annotations

import time

from fpaas.faults.injection import InjectionError
from fpaas.faults.undo import SetClock, Undo
from fpaas.records.events import Value
from fpaas.spec import NS_PER_S


class StepClock:
    """The clock of this host is ahead, or behind, all at once."""

    def __init__(self, step_s: float) -> None:
        self._step_ns = round(step_s * NS_PER_S)
        self._ahead_ns = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()
        self.undo: list[Undo] = [SetClock(self._ahead_ns)]

    def begin(self) -> None:
        """Set it. Raises InjectionError."""
        due_ns = time.monotonic_ns() + self._ahead_ns + self._step_ns
        try:
            time.clock_settime_ns(time.CLOCK_REALTIME, due_ns)
        except OSError as error:
            raise InjectionError(f"the clock cannot be set: {error.strerror}") from error

    def parameters(self) -> dict[str, Value]:
        """Return nothing beside the fault's own."""
        return {}
