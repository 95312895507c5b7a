"""Which events of a relay were never read, as far as its sequence numbers tell. Pure.

Relays may leave gaps in their numbering. One that numbers densely tells exactly what is missing,
one that does not only that something is: then a gap has no size. Events may come late, too: a gap
that they fill was none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fpaas.records.shuffler import RelayGap

#: Why events are missing: the relay does not reach back so far; or it goes on further ahead, on one
#: connection or on the next; or it renumbers, said so or did not; or it was away at the run's end.
OUTDATED_CURSOR = "outdated_cursor"
SEQ_JUMP = "seq_jump"
AFTER_RECONNECT = "after_reconnect"
FUTURE_CURSOR = "future_cursor"
RENUMBERED = "renumbered"
AWAY_AT_END = "away_at_end"

#: If more than one event in this many leaves out numbers, the relay numbers sparsely. If none of
#: its first ones did, it never does, and what it leaves out later is missing.
DENSE_EVENTS = 100
#: After this many events without a gap, a relay is known to number densely.
DENSE_FROM = 10
#: Numbers were left out in this many places, and did not come late: it was not by chance.
SPARSE_JUMPS = 2
#: If a sparse relay leaves out this many times more than before, something is missing.
UNUSUAL_TIMES = 10
GAPS_MAX = 1000
#: In how many places with left-out numbers late events are recognised.
AWAITED_MAX = 1000


@dataclass(slots=True)
class _LeftOut:
    """Numbers between two events, `missing` of which were not there; `gap` if it is one."""

    after_seq: int
    until_seq: int
    missing: int
    is_jump: bool
    gap: RelayGap | None


class RelayGaps:
    """The gaps of one relay; `is_dense` if it is known to leave out no number.

    `found` has at most GAPS_MAX, `count` is of all. `jumps` are the places at which numbers were
    left out on one connection, whether that is a gap or this relay's way; `jumped_seqs`, how many.
    """

    def __init__(self, *, is_dense: bool = False) -> None:
        self.found: list[RelayGap] = []
        self.count = 0
        self._is_dense = is_dense
        self.jumps = 0
        self.jumped_seqs = 0
        #: Gaps were found while the numbers seemed to be dense.
        self._has_sized = False
        self._widest = 0
        #: Those of the current numbering, in the order of its seqs.
        self._left_out: deque[_LeftOut] = deque(maxlen=AWAITED_MAX)

    def is_dense(self, events: int) -> bool:
        """Whether the relay leaves out no numbers, after `read` events."""
        if self._is_dense:
            return True
        return events >= DENSE_FROM and self.jumps * DENSE_EVENTS <= events

    def _learn(self, events: int) -> bool:
        self._is_dense |= not self.jumps and events >= DENSE_EVENTS
        return self.is_dense(events)

    def note_jump(self, gap: RelayGap, until_seq: int, events: int) -> None:
        """Take in that seqs were left out on one connection, and how many events came before."""
        missing = gap.missing or 0
        added = None
        if self._learn(events):
            added = self._add(gap)
            self._has_sized = True
        elif self._has_sized and self.jumps >= SPARSE_JUMPS:
            self._withdraw(UNUSUAL_TIMES * missing)
            self._has_sized = False
        if added is None and self._widest and missing > UNUSUAL_TIMES * self._widest:
            added = self._add_without_size(gap)
        self._await(gap, until_seq, added, is_jump=True)
        self.jumps += 1
        self.jumped_seqs += missing
        self._widest = max(self._widest, missing)

    def note_outage(self, gap: RelayGap, until_seq: int, events: int) -> None:
        """Take in that seqs were left out between two connections."""
        is_dense = self._learn(events)
        is_told = gap.cause == OUTDATED_CURSOR
        added = None
        if is_dense:
            added = self._add(gap)
        elif is_told or (gap.missing or 0) > UNUSUAL_TIMES * max(self._widest, 1):
            added = self._add_without_size(gap)
        self._await(gap, until_seq, added, is_jump=False)

    def note_unknown(self, gap: RelayGap) -> None:
        """Take in that something may be missing, nobody knows how much."""
        self._add_without_size(gap)

    def begin_numbering(self) -> None:
        """Take in that the relay renumbers: what comes late was not left out before."""
        self._left_out.clear()

    def fill(self, seq: int) -> None:
        """Take in that an event came late: it is not missing."""
        for left_out in reversed(self._left_out):
            if left_out.until_seq <= seq:
                return
            if left_out.after_seq < seq:
                self._fill(left_out)
                return

    def take_back(self, after_seq: int) -> None:
        """Forget the last gap if it was one bad seq after this one."""
        if self.found and (self.found[-1].after_seq, self.found[-1].cause) == (after_seq, SEQ_JUMP):
            self.found.pop()
            self.count -= 1

    def _withdraw(self, usual_most: int) -> None:
        """Take back gaps of usual sizes that were found before the numbers were known as sparse."""
        for left_out in self._left_out:
            gap = left_out.gap
            if left_out.is_jump and gap is not None and (gap.missing or usual_most) < usual_most:
                self.count -= 1
                self._replace(gap, [])
                left_out.gap = None

    def _await(
        self, gap: RelayGap, until_seq: int, added: RelayGap | None, *, is_jump: bool
    ) -> None:
        if gap.after_seq is not None and gap.missing:
            self._left_out.append(
                _LeftOut(gap.after_seq, until_seq, gap.missing, is_jump=is_jump, gap=added)
            )

    def _fill(self, left_out: _LeftOut) -> None:
        left_out.missing -= 1
        self.jumped_seqs -= left_out.is_jump
        gap = left_out.gap
        if gap is not None and gap.missing is not None and left_out.missing:
            left_out.gap = RelayGap(gap.after_seq, left_out.missing, gap.at_unix_ns, gap.cause)
            self._replace(gap, [left_out.gap])
        if left_out.missing:
            return
        self._left_out.remove(left_out)
        self.jumps -= left_out.is_jump
        if gap is not None:
            self.count -= 1
            self._replace(gap, [])

    def _replace(self, gap: RelayGap, by: list[RelayGap]) -> None:
        """Replace a gap, if it is among those that are kept."""
        for place in reversed(range(len(self.found))):
            if self.found[place] is gap:
                self.found[place : place + 1] = by
                return

    def _add_without_size(self, gap: RelayGap) -> RelayGap:
        return self._add(RelayGap(gap.after_seq, None, gap.at_unix_ns, gap.cause))

    def _add(self, gap: RelayGap) -> RelayGap:
        self.count += 1
        if len(self.found) < GAPS_MAX:
            self.found.append(gap)
        return gap
