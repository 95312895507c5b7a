"""Where to resume a relay's stream after a disconnect, and when to step over what cannot be read.

The event stream specification wants the connection dropped on a frame that cannot be decoded. The
same frame would come again, so after its second failure the cursor steps beyond it: by 1, then 2,
4, … until a frame is read, because relays may leave gaps and replay from or after the cursor. Where
the relay leaves no gaps it steps by 1, 2, 3, … and what it steps over are bad frames, every one.
"""

from __future__ import annotations


class ResumePoint:
    """The seq last read; None reads the live tail. The reader sets `last_read` as it goes on."""

    __slots__ = ("_contiguous", "_failed_at", "_failures", "last_read")

    def __init__(self, last_read: int | None, *, contiguous: bool = False) -> None:
        self.last_read = last_read
        self._contiguous = contiguous
        self._failed_at: int | None = None
        self._failures = 0

    def frame_failed(self, seq: int | None) -> bool:
        """Note that the frame after `last_read` could not be decoded; `seq` is its own if known.

        Returns whether it is given up: it failed before, or will not be sent again.
        """
        if self.last_read is None:
            return True
        if not self._failures or self._failed_at != self.last_read:
            self._failed_at = self.last_read
            self._failures = 0
        self._failures += 1
        given_up = self._failures == 2
        if given_up and seq is not None:
            self.last_read = seq
        return given_up

    @property
    def in_doubt(self) -> bool:
        """Whether a frame failed once here and has not been seen since."""
        return self._failures == 1 and self._failed_at == self.last_read

    @property
    def cursor(self) -> int | None:
        """What to ask the relay for next; None for the live tail."""
        if self.last_read is None:
            return None
        if not self.stepping:
            return self.last_read
        steps = self._failures - 1 if self._contiguous else 1 << (self._failures - 2)
        return self.last_read + steps

    @property
    def stepping(self) -> bool:
        """Whether a frame was given up, and none has been read since."""
        return self._failures >= 2 and self._failed_at == self.last_read

    def step_back(self) -> None:
        """Note that the relay has nothing yet where the cursor stepped to; it may have it later."""
        self._failures = max(2, self._failures - 1)

    def start_anew(self) -> None:
        """Forget the position: the relay numbers its events anew."""
        self.last_read = None
        self._failures = 0
