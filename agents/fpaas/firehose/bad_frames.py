"""Frames that cannot be decoded: which of them are given up, and which numbers they had. Pure.

The event stream specification wants the connection dropped on such a frame. The relay is resumed
after the event read last, so the frame comes again. If it was damaged on its way, it is good now.
If not, it is stepped over on that connection, with all bad ones that follow it. So no cursor needs
to be guessed, relays may replay from the cursor or after it, and no good frame is skipped.

One that does not come again, because good ones follow, was damaged on its way or is none of the
relay's. It is no event that is missing, but it is counted.
"""

from __future__ import annotations

#: A relay that sends nothing but bad frames says enough with its first ones.
LOGGED_MAX = 20


class BadFrames:
    """The bad frames after the event read last, on the connection that there is.

    `after` is a position, or None at a live tail without one: what is dropped there never comes
    again, so it is stepped over at once.
    """

    def __init__(self, *, is_dense: bool) -> None:
        #: How many came since the last event was read, on all connections.
        self.in_a_row = 0
        #: How many did not come again.
        self.once = 0
        #: How many came on an earlier connection, and may come again on this one.
        self._awaited = 0
        self._in_a_row_after: int | None = None
        self._is_dense = is_dense
        self._given_up = 0
        self._is_stale = False
        self._failed_after: int | None = None
        self._is_failed = False
        self._skipped: list[int | None] = []
        self._skipped_after: int | None = None

    @property
    def count(self) -> int:
        """How many were stepped over and not yet explained by `passed`."""
        return len(self._skipped)

    def is_stepped_over(self, after: int | None, position: int | None) -> bool:
        """Take in a bad frame; returns whether to read on. If not, the connection must be dropped.

        `position` is its own if that can still be read.
        """
        self._drop_stale()
        if after != self._in_a_row_after:
            self.in_a_row, self._in_a_row_after = 0, after
        self.in_a_row += 1
        if after is None or (self._is_failed and self._failed_after == after):
            self._skipped.append(position)
            self._skipped_after = after
            return True
        self._is_failed = True
        self._failed_after = after
        self._awaited = 1
        return False

    def connection_lost(self) -> None:
        """Note that what was stepped over comes again on the next connection, if there is one."""
        self._is_stale = True

    def left_behind(self, after: int | None) -> list[int | None]:
        """Return the positions of those before `after`: events were read since, in their order."""
        if self._awaited and self._failed_after != after:
            return self.passed(None, None)
        return self.passed(None, None) if self._skipped and self._skipped_after != after else []

    def passed(self, after: int | None, position: int | None) -> list[int | None]:
        """Take in that the event after them was read, at `position`; returns their positions.

        They are known if the relay leaves out no numbers, and exactly theirs are missing.
        """
        self._drop_stale()
        return self._taken(after, position)

    def reread(self) -> tuple[int, list[int | None]]:
        """Take in that an event came that was read before, so they were too.

        Returns how many were; beyond those ever given up none can be, so their positions too.
        """
        self._drop_stale()
        count = min(len(self._skipped), self._given_up)
        self._skipped = self._skipped[count:]
        self._awaited = max(0, self._awaited - count)
        # Frames that failed after this event are still to come.
        return count, self._taken(None, None) if self._skipped else []

    def ended(self, after: int | None) -> list[int | None]:
        """Take in that nothing more is read; returns the positions of those that are given up.

        One that failed once, and did not come again, is among them.
        """
        if not self._skipped and self._awaited and self._failed_after == after:
            self._skipped.append(None)
        return self._taken(after, None if after is None else after + 1 + self.count)

    def _taken(self, after: int | None, position: int | None) -> list[int | None]:
        skipped, self._skipped = self._skipped, []
        self._given_up += len(skipped)
        self.once += max(0, self._awaited - len(skipped))
        self._awaited = 0
        if self._is_dense and after is not None and position == after + 1 + len(skipped):
            return list(range(after + 1, position))
        return skipped

    def _drop_stale(self) -> None:
        if self._is_stale:
            self._is_stale = False
            self._awaited = max(self._awaited, len(self._skipped))
            self._skipped.clear()
