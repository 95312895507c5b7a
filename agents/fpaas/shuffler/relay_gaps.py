"""Which events of a relay were never read, as far as its sequence numbers tell. Pure.

Relays may leave gaps in their numbering. One that numbers densely tells exactly what is missing,
one that does not only that something is: then a gap has no size.
"""

from __future__ import annotations

from fpaas.records.shuffler import RelayGap

#: Why events are missing: the relay does not reach back so far; or it goes on further ahead, on one
#: connection or on the next; or it renumbers, said so or did not.
OUTDATED_CURSOR = "outdated_cursor"
SEQ_JUMP = "seq_jump"
AFTER_RECONNECT = "after_reconnect"
FUTURE_CURSOR = "future_cursor"
RENUMBERED = "renumbered"

#: A relay of which more than one event in this many leaves out numbers numbers sparsely.
DENSE_EVENTS = 100
#: After this many events without a gap, a relay is known to number densely.
DENSE_FROM = 10
#: Of a sparse relay, something is missing if it leaves out this many times what it did before.
UNUSUAL_TIMES = 10
GAPS_MAX = 1000


class RelayGaps:
    """The gaps of one relay; `is_dense` if it is known to leave out no number.

    `found` has at most GAPS_MAX, `count` is of all.
    """

    def __init__(self, *, is_dense: bool = False) -> None:
        self.found: list[RelayGap] = []
        self.count = 0
        self._is_dense = is_dense
        self._jumps = 0
        self._widest = 0

    def is_dense(self, events: int) -> bool:
        """Whether the relay leaves out no numbers, after `read` events."""
        if self._is_dense:
            return True
        return events >= DENSE_FROM and self._jumps * DENSE_EVENTS <= events

    def note_jump(self, gap: RelayGap, events: int) -> None:
        """Take in that seqs were left out on one connection, after so many events."""
        missing = gap.missing or 0
        if self.is_dense(events):
            self._add(gap)
        elif self._widest and missing > UNUSUAL_TIMES * self._widest:
            self._add_without_size(gap)
        self._jumps += 1
        self._widest = max(self._widest, missing)

    def note_outage(self, gap: RelayGap, events: int) -> None:
        """Take in that seqs were left out between two connections."""
        is_dense = self.is_dense(events)
        is_told = gap.cause == OUTDATED_CURSOR
        if is_dense:
            self._add(gap)
        elif is_told or (gap.missing or 0) > UNUSUAL_TIMES * max(self._widest, 1):
            self._add_without_size(gap)

    def note_unknown(self, gap: RelayGap) -> None:
        """Take in that something may be missing, nobody knows how much."""
        self._add_without_size(gap)

    def take_back(self, after_seq: int) -> None:
        """Forget the last gap if it was one bad seq after this one."""
        if self.found and (self.found[-1].after_seq, self.found[-1].cause) == (after_seq, SEQ_JUMP):
            self.found.pop()
            self.count -= 1

    def _add_without_size(self, gap: RelayGap) -> None:
        self._add(RelayGap(gap.after_seq, None, gap.at_unix_ns, gap.cause))

    def _add(self, gap: RelayGap) -> None:
        self.count += 1
        if len(self.found) < GAPS_MAX:
            self.found.append(gap)
