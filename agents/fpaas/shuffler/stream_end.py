"""Where the stream will end once it has stored everything written. Pure.

NATS takes the writes of one connection in their order, and stores one with the header
Nats-Expected-Last-Sequence only if the stream ends just there. So an event may be written behind an
earlier one of its DID that has no answer yet: if that one is not stored, or anything else that was
written before, the stream ends earlier than expected and refuses the event. Writes are numbered;
how far stream sequences are ahead of these numbers is known from answers.

That holds for one server, whose check and storing are one step, and for a stream that nobody else
writes: another's message could stand in for one that was refused just then.
"""

from __future__ import annotations


class StreamEnd:
    """Follows writes and answers; whatever is not as foreseen ends predictions for a while."""

    __slots__ = ("_answered", "_certain_after", "_lead", "_written")

    def __init__(self) -> None:
        self._written = 0
        #: The write that was answered last.
        self._answered = 0
        #: Nothing is foretold behind writes up to this one, nor until they are answered.
        self._certain_after = 0
        #: How far stream sequences are ahead of writes' numbers; None if that is not known.
        self._lead: int | None = None

    @property
    def is_certain(self) -> bool:
        """Whether it is known where the stream will end."""
        return self._lead is not None and self._answered >= self._certain_after

    def write(self) -> int:
        """Return the number of a write that goes out now."""
        self._written += 1
        return self._written

    def behind(self, place: int) -> int | None:
        """Return where the stream will end if write number `place` is stored, and all after it.

        None if that cannot be told.
        """
        if place <= self._certain_after or self._lead is None:
            return None
        return self._written + self._lead if self._answered >= self._certain_after else None

    def stored(self, place: int, stream_seq: int) -> None:
        """Take in the only answer to a write: it was stored."""
        self._answered = place
        if stream_seq - place != self._lead:
            self._lead = stream_seq - place
            self._certain_after = self._written

    def is_at(self, stream_seq: int) -> None:
        """Take in that the stream ends there, and that nothing is on its way."""
        self._answered = self._certain_after = self._written
        self._lead = stream_seq - self._written

    def doubt(self) -> None:
        """Take in that something is not as foreseen: what is on its way may not be stored."""
        self._lead = None
        self._certain_after = self._written
