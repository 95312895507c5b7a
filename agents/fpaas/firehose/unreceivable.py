"""Frames that cannot be received at all: when they are stepped over, and where to go on. Pure.

A frame that is too large, or breaks the WebSocket protocol, ends its connection, and nothing after
it is read. If it is the relay's own, it comes again right after the same event. A proxy that is not
well breaks just any frame, so it takes a few tries to tell. Then the relay is resumed further on.
"""

from __future__ import annotations

#: A WebSocket frame that is broken so often, right after the same event, always will be.
BREAKS_MAX = 3


class Unreceivable:
    """The frames right after the event read last that cannot be received.

    `after` is the cursor to begin with. `once` counts the stepped over ones that no number was
    missing for: they were none of the relay's events.
    """

    def __init__(self, after: int | None) -> None:
        self.once = 0
        #: How many tries there were beyond the event read last: the first resumes right after it.
        self._tries = 0
        self._after: int | None = None
        #: How many connections in a row ended in a broken frame, all after one event.
        self._breaks = 0
        self._breaks_after: int | None = None
        #: The last event that came again on this connection, and the last one before it.
        self._reread_to: int | None = None
        self._before = after

    def cursor(self, last_seq: int | None) -> int | None:
        """Return from where to go on, if `last_seq` was read last."""
        if last_seq is None:
            return None
        if self._after != last_seq:
            # Whether it is the next frame that is broken, or all that the relay sends, shows if the
            # event before it comes again.
            is_unsure = self._breaks >= BREAKS_MAX - 1 and self._breaks_after == last_seq
            return max(0, last_seq - 1) if is_unsure else last_seq
        return last_seq + max(0, self._tries - 1)

    def reread(self, seq: int) -> None:
        """Take in that an event came again."""
        self._reread_to = seq

    def connection_lost(self, last_seq: int | None, *, oversized: str, broken: str) -> str:
        """Take in how a connection ended: in a frame that is too large, in a broken one, or not.

        Returns what is wrong with the frame after `last_seq` if it is stepped over; else nothing.
        """
        is_after_last = last_seq != self._before or last_seq == self._reread_to
        self._reread_to, self._before = None, last_seq
        if oversized:
            self._step(last_seq, 1)
            return oversized
        if broken and self._tries and self._after == last_seq:
            self._tries += 1
        elif broken and last_seq is not None:
            if self._breaks_after != last_seq:
                self._breaks, self._breaks_after = 0, last_seq
            self._breaks += 1
            if self._breaks >= BREAKS_MAX and is_after_last:
                self._step(last_seq, 2)
                return f"{broken}, each time"
        return ""

    def is_beyond_last(self, last_seq: int | None) -> bool:
        """Take in that the cursor is in the relay's future; returns whether it went too far."""
        if self._tries > 1 and self._after == last_seq:
            # Events beyond the frame are still to come.
            self._tries -= 1
            return True
        return False

    def passed(self, missing: int) -> int:
        """Take in that the relay went on, with `missing` numbers left out; returns who had them."""
        # The first time it was only resumed.
        count = min(missing, max(0, self._tries - 1))
        if self._tries and not count:
            self.once += 1
        self._tries = 0
        return count

    def left_behind(self, last_seq: int | None) -> None:
        """Take in that `last_seq` was read last: what could not be received before it is over."""
        if self._tries and self._after != last_seq:
            self.passed(0)

    def _step(self, last_seq: int | None, tries: int) -> None:
        if self._after != last_seq:
            self.passed(0)
            self._after = last_seq
        self._tries += tries
