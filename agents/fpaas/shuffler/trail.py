"""How far into the relay's events the stream was when, to tell which are young enough. Pure.

One entry a second is kept for as long as the stream keeps messages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque


class Trail:
    """Entries of (time in s, relay seq up to which everything had its outcome by then)."""

    def __init__(self, max_age_s: float) -> None:
        self.max_age_s = max_age_s
        #: The first relay seq of all; None before any was read.
        self.first: int | None = None
        self._entries: deque[tuple[float, int]] = deque()

    def note(self, now_s: float, cursor: int | None) -> None:
        """Note where the shuffler is; drops entries that are too old to matter."""
        if cursor is None:
            return
        if self.first is None:
            self.first = cursor + 1
        entries = self._entries
        entries.append((now_s, cursor))
        # The last that is too old says where what is young enough begins.
        while len(entries) > 1 and entries[1][0] <= now_s - self.max_age_s:
            entries.popleft()

    def oldest_kept(self, now_s: float) -> int | None:
        """Return the first relay seq that the stream would still have; None if it would have all.

        A second's events more than that may still be there.
        """
        at = bisect_right(self._entries, now_s - self.max_age_s, key=lambda entry: entry[0])
        return self._entries[at - 1][1] + 1 if at else None
