"""When a probe samples: on a fixed schedule, however long a sample takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Ticks:
    """Due times start + k * interval (k = 1, 2, …); what is overslept is skipped and counted."""

    def __init__(self, start_s: float, interval_s: float) -> None:
        self._start_s = start_s
        self._interval_s = interval_s
        self._index = 0
        self.missed = 0

    def next_after(self, now_s: float) -> float:
        """Return the next due time: in the future, or the latest that has just passed."""
        self._index += 1
        overslept = int((now_s - self._start_s) / self._interval_s) - self._index
        if overslept > 0:
            self.missed += overslept
            self._index += overslept
        return self._start_s + self._index * self._interval_s


async def on_schedule(ticks: Ticks) -> AsyncIterator[None]:
    """Yield at each tick, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        now_s = loop.time()
        await asyncio.sleep(max(0.0, ticks.next_after(now_s) - now_s))
        yield
