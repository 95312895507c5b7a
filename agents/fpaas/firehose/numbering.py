"""Where in a relay's stream a reader is, whatever the relay does with its sequence numbers.

Relays renumber their events, jump, go back and repeat, and few say so. What was read is told
apart from what is new by the events themselves, as far as the last ones are remembered, and by
their time beyond that. In doubt an event is new: the stream's duplicate window settles it.

Each event has a `position`, which grows through all of that: a seq as long as the relay numbers as
it began, and going on from the last one when it renumbers. Two events never share one.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple

from fpaas.firehose.frames import Event

#: This many events are remembered, to know them if they come again.
REMEMBERED = 4096
#: A seq further ahead than this begins a new numbering: nobody misses that many events.
LEAP_MAX = 10_000_000
#: After a seq further ahead than this, the one that was due is looked out for.
LEAP_NOTED = 1000
#: A numbering of fewer events than this may be one bad seq; then the one before it goes on.
ESTABLISHED = 64


class Kind(enum.Enum):
    """Kinds of events that do not have the next seq."""

    #: The first one of all.
    FIRST = enum.auto()
    #: Further ahead; the number of seqs left out.
    AHEAD = enum.auto()
    #: Too far ahead to be a gap.
    LEAP = enum.auto()
    #: The one that was due before a leap: that was a bad seq.
    RETURN = enum.auto()
    #: Behind, and never read.
    LATE = enum.auto()
    #: Read before.
    REREAD = enum.auto()
    #: Behind, and another event than the one that had this seq: the relay renumbers.
    RESET = enum.auto()


class Found(NamedTuple):
    """An event's kind, and how many seqs were left out before it; None: not known."""

    kind: Kind
    missing: int | None = 0


class Numbering:
    """The seqs of one relay, read from after `after` on; None is the live tail.

    The reader takes an event with seq `next_seq` as new, adds 1 to that and remembers the event
    in `recent`; of any other event, `place` does both. Its position is its seq + `base`.
    """

    __slots__ = (
        "_index",
        "_index_of",
        "_resumes",
        "_top",
        "base",
        "first_seq",
        "next_seq",
        "recent",
    )

    def __init__(self, after: int | None) -> None:
        self.next_seq = None if after is None else after + 1
        self.base = 0
        #: The first seq of this numbering that may be asked for.
        self.first_seq = self.next_seq
        self.recent: deque[Event] = deque(maxlen=REMEMBERED)
        #: The highest position so far, if that is not the last one's.
        self._top: int | None = None
        #: The next seq before a leap or a reset.
        self._resumes: int | None = None
        self._index: dict[int, Event] = {}
        self._index_of: tuple[int | None, int] | None = None

    @property
    def last_seq(self) -> int | None:
        """The seq of the event read last, as the relay numbers now; what to resume from."""
        return None if self.next_seq is None else self.next_seq - 1

    @property
    def last_position(self) -> int | None:
        """The position of the event read last; None before the first."""
        return self._top if self.next_seq is None else self.next_seq - 1 + self.base

    @property
    def kept(self) -> tuple[int, int] | None:
        """What another reader has to know to go on in this numbering; None before there is one."""
        return None if self.first_seq is None else (self.base, self.first_seq)

    def go_on(self, kept: tuple[int, int], position: int) -> None:
        """Go on after a position of a reader that had a numbering."""
        self.base, self.first_seq = kept
        self.next_seq = max(position - self.base + 1, self.first_seq)

    def seq_before(self, position: int) -> int | None:
        """Return the seq to resume from so that `position` is read again, or its whole numbering.

        Events of an earlier numbering cannot be asked for any more.
        """
        if self.first_seq is None:
            return self.last_seq
        return max(position - self.base, self.first_seq) - 1

    def place(self, event: Event) -> Found:
        """Take in an event that does not have the next seq."""
        seq, next_seq = event.seq, self.next_seq
        if next_seq is None:
            top = self._top
            # A relay that is only behind what it was numbers on as before.
            if top is None or not top < seq + self.base <= top + LEAP_MAX:
                self._begin(seq)
            self.first_seq = seq
            self._take(event)
            return Found(Kind.FIRST if top is None else Kind.AHEAD, None)
        if seq == self._resumes and len(self.recent) < ESTABLISHED:
            self._begin(seq)
            self._take(event)
            return Found(Kind.RETURN)
        if seq > next_seq:
            return self._ahead(event, seq - next_seq)
        kind = self._behind(event)
        if kind is Kind.RESET:
            self._begin(seq, resumes=next_seq)
            self._take(event)
        elif kind is Kind.LATE:
            self.recent.append(event)
            self._index[event.seq] = event
            self._index_of = next_seq, len(self.recent)
        return Found(kind)

    def start_over(self) -> bool:
        """Leave a position that is in the relay's future; returns whether for an earlier one.

        That is tried if the seqs leapt only a few events ago. Otherwise it is the live tail.
        """
        resumes = self._resumes if len(self.recent) < ESTABLISHED else None
        self._top = self._highest()
        self._resumes = None
        self._forget()
        self.next_seq = self.first_seq = None
        if resumes is not None:
            self._begin(resumes)
            self.next_seq = resumes
        return resumes is not None

    # -- inside ----------------------------------------------------------------------------------

    def _ahead(self, event: Event, missing: int) -> Found:
        is_leap = missing > LEAP_MAX
        if is_leap:
            self._begin(event.seq, resumes=self.next_seq)
        elif missing > LEAP_NOTED:
            self._resumes = self.next_seq
            self._forget()
        self._take(event)
        return Found(Kind.LEAP, None) if is_leap else Found(Kind.AHEAD, missing)

    def _behind(self, event: Event) -> Kind:
        known = self._remembered().get(event.seq)
        if known is not None:
            return Kind.REREAD if _is_same(known, event) else Kind.RESET
        if not self.recent:
            # All that is known is the cursor; a relay may repeat the event that it names.
            return Kind.REREAD if event.seq == self.last_seq else Kind.RESET
        if event.seq > min(self._index):
            return Kind.LATE
        oldest = self.recent[0]
        return Kind.REREAD if event.time < oldest.time else Kind.RESET

    def _remembered(self) -> dict[int, Event]:
        """Return the events remembered by their seq; rebuilt only if there are others."""
        index_of = self.next_seq, len(self.recent)
        if self._index_of != index_of:
            self._index_of = index_of
            self._index = {event.seq: event for event in self.recent}
        return self._index

    def _forget(self) -> None:
        self.recent.clear()
        self._index_of = None

    def _highest(self) -> int | None:
        """Return the highest position that an event was read at."""
        if not self.recent:
            return self._top
        known = [top for top in (self._top, self.last_position) if top is not None]
        return max(known, default=None)

    def _begin(self, seq: int, *, resumes: int | None = None) -> None:
        """Begin a numbering at `seq`, with the position after the highest so far."""
        top = self._top = self._highest()
        self.base = 0 if top is None else top + 1 - seq
        self.first_seq = seq
        self._resumes = resumes
        self._forget()

    def _take(self, event: Event) -> None:
        self.next_seq = event.seq + 1
        self.recent.append(event)


def _is_same(one: Event, other: Event) -> bool:
    return (one.did, one.rev, one.digest) == (other.did, other.rev, other.digest)
