"""Notices when this host's clock is set: the wall clock moves, and the monotonic clock does not.

NTP slews both alike, so that what lies between them changes by steps only. This needs nobody else,
and so it also sees a step on the NATS host, which all others are compared with, and one that was
taken back before the next exchange.
"""

from __future__ import annotations

import asyncio
import time

from fpaas import common_time
from fpaas.records.events import CLOCK_SET, EventLog

#: Readings of the two clocks are closer together than this, but for a process that was interrupted.
STEP_MIN_NS = 1_000_000
READINGS = 3
LOOK_INTERVAL_S = 0.1


class ClockSteps:
    """Writes an event for each step."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._difference_ns: int | None = None

    async def watch(self) -> None:
        """Look at a steady pace, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_INTERVAL_S)

    def look(self) -> None:
        """Compare the clocks now."""
        self.observe(*min((read_clocks() for _ in range(READINGS)), key=lambda pair: pair[2]))

    def observe(self, unix_ns: int, monotonic_ns: int, uncertain_ns: int) -> None:
        """Take in a reading of both clocks, which lie at most `uncertain_ns` apart."""
        difference_ns = unix_ns - monotonic_ns
        before_ns = self._difference_ns
        if before_ns is None:
            self._difference_ns = difference_ns
        elif abs(difference_ns - before_ns) > STEP_MIN_NS + uncertain_ns:
            step_ms = (difference_ns - before_ns) / 1e6
            self._events.begin(CLOCK_SET, unix_ns, {"step_ms": step_ms}, end_unix_ns=unix_ns)
            self._difference_ns = difference_ns


def read_clocks() -> tuple[int, int, int]:
    """Return common time, monotonic clock, and how far apart the two readings can be, in ns."""
    before = time.monotonic_ns()
    unix_ns = common_time.now_ns()
    after = time.monotonic_ns()
    return unix_ns, (before + after) // 2, after - before
