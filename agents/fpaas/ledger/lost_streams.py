"""Streams that were lost in a run and made again: what became of each event over all of them.

A stream in memory goes with its server. Another one is made, the shuffler publishes again what not
every consumer had, and both count from 1. So each stream has its own account, and an event
that several had is counted in one: the one that first delivered it to a durable, else the last one
that had it. Further deliveries to a durable, from other streams, count as repeats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fpaas.ledger.deliveries import OwedSeqs
from fpaas.ledger.durable_account import (
    AGENT_DIED,
    NOT_RECEIVED,
    NOT_REPEATED,
    REMOVED,
    STREAM_LOST,
    DurableAccount,
)
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.nats import StreamState
from fpaas.records.shuffler import LostStream

#: Why what a stream took with it was not published again: it had reached the maximum age …
MAX_AGE = "max_age"
#: … the relay did not have it any more, or the run was over …
NOT_REPLAYED = "not_replayed"
#: … or its consumer was taken to have it: it was on its way.
IN_DELIVERY = "in_delivery"
CAUSES = (MAX_AGE, NOT_REPLAYED, IN_DELIVERY)

#: (relay seq, stream seq, count): both go up by one.
Run = tuple[int, int, int]


@dataclass(frozen=True)
class LostEvidence:
    """A lost stream: the shuffler's record, how it was seen last, what was delivered of it."""

    record: LostStream
    state: StreamState
    deliveries: list[ConsumerDeliveries] | None
    dids: Sequence[int] | None = None
    classes: Sequence[int] | None = None
    #: From which sequence on durables are served that joined late; see Evidence.
    starts: Mapping[str, int] = field(default_factory=dict)

    def runs(self) -> list[Run]:
        """Return where it had what; of what was in flight, as much as it is known to have had."""
        return [
            *self.record.stream_seqs,
            *(
                (seq, at, min(count, self.state.last_seq + 1 - at))
                for seq, at, count in self.record.presumed_seqs
                if at <= self.state.last_seq
            ),
        ]


class Overlap:
    """Events that two streams both had: their places in the first (`earlier`) and the other."""

    def __init__(self, first: Iterable[Run], second: Iterable[Run]) -> None:
        pairs = sorted(_common(sorted(first), sorted(second)))
        self._pairs = pairs
        self.earlier = IntervalSet((at, at + count - 1) for at, _, count in pairs)
        self.later = IntervalSet(sorted((there, there + count - 1) for _, there, count in pairs))

    def translate(self, received: IntervalSet) -> IntervalSet:
        """Return the places in the other stream of what was received from the first."""
        inside = sum(received.count_within(first, last) for first, last in self.earlier)
        if inside in (0, self.earlier.total):
            return self.later if inside else IntervalSet()
        found = IntervalSet()
        for at, there, count in self._pairs:
            for first, last in received.within(at, at + count - 1):
                begin, end = max(first, at), min(last, at + count - 1)
                found.add_range(there + begin - at, there + end - at)
        return found


def _common(first: Sequence[Run], second: Sequence[Run]) -> Iterable[tuple[int, int, int]]:
    """Iterate over (place in the first, place in the second, count); runs are in order of relay."""
    i = j = 0
    while i < len(first) and j < len(second):
        (seq, at, count), (other_seq, other_at, other_count) = first[i], second[j]
        begin = max(seq, other_seq)
        end = min(seq + count, other_seq + other_count)
        if begin < end:
            yield at + begin - seq, other_at + begin - other_seq, end - begin
        if seq + count <= other_seq + other_count:
            i += 1
        else:
            j += 1


class Streams:
    """All streams of a run, in order; the last is the one that is there at the end."""

    def __init__(self, lost: Sequence[LostEvidence], runs: Sequence[Run]) -> None:
        self.lost = lost
        self._runs = [*(one.runs() for one in lost), list(runs)]
        numbers = range(len(self._runs))
        self._overlaps = {
            (i, j): Overlap(self._runs[i], self._runs[j]) for i in numbers for j in numbers[i + 1 :]
        }

    @property
    def stored_again(self) -> int:
        """How many of the messages stored repeat what an earlier stream had."""
        again = 0
        for number in range(1, len(self._runs)):
            places = IntervalSet()
            for earlier in range(number):
                places = places.union(self._overlaps[earlier, number].later)
            again += places.total
        return again

    def had_before(self, number: int, received: Sequence[IntervalSet]) -> IntervalSet:
        """Return the places in a stream of what a durable had received from earlier ones."""
        had = IntervalSet()
        for earlier in range(number):
            had = had.union(self._overlaps[earlier, number].translate(received[earlier]))
        return had

    def stored_later(self, number: int) -> IntervalSet:
        """Return the places in a stream of what later ones have as well."""
        later = IntervalSet()
        for other in range(number + 1, len(self._runs)):
            later = later.union(self._overlaps[number, other].earlier)
        return later

    def causes(self, number: int) -> dict[str, IntervalSet]:
        """Return the places of a lost stream by why they were not stored again, if they were not.

        What the shuffler had no part in is on nobody's account: it was in delivery.
        """
        record = self.lost[number].record
        oldest, rewound_to = record.oldest_seq, record.rewound_to_seq
        found = {cause: IntervalSet() for cause in CAUSES}
        for seq, at, count in sorted(self._runs[number], key=lambda run: run[1]):
            old = 0 if oldest is None else min(count, max(0, oldest - seq))
            if old:
                found[MAX_AGE].add_range(at, at + old - 1)
            young = count - old
            before = young if rewound_to is None else min(young, max(0, rewound_to - seq - old))
            if before:
                found[IN_DELIVERY].add_range(at + old, at + old + before - 1)
            if before < young:
                found[NOT_REPLAYED].add_range(at + old + before, at + count - 1)
        return found


def leave_out(
    account: DurableAccount,
    owed: OwedSeqs,
    received: IntervalSet,
    *,
    elsewhere: IntervalSet,
    had: IntervalSet,
    first_stored: int,
) -> None:
    """Take out of a durable's account of one stream what is on another stream's account.

    `elsewhere` is what later streams have, `had` what it received of earlier ones; `first_stored`
    was stored first when the account was made.
    """
    repeated = _count(owed, had.intersection(received))
    missed = had.union(elsewhere).difference(received)
    alive = IntervalSet(
        (max(first, first_stored), last) for first, last in missed if last >= first_stored
    )
    alive_count = _count(owed, alive)
    gone_count = _count(owed, missed) - alive_count
    account.owed -= repeated + alive_count + gone_count
    account.delivered -= repeated
    left = _take(account, alive_count, (STREAM_LOST,))
    taken = min(left, account.pending_at_end)
    account.pending_at_end -= taken
    left -= taken + _removed(account, left - taken)
    gone_count += left
    taken = min(gone_count, account.expired_unread)
    account.expired_unread -= taken
    account.expired_by_size = min(account.expired_by_size, account.expired_unread)
    _take(
        account, gone_count - taken, (NOT_RECEIVED, NOT_REPEATED, AGENT_DIED, REMOVED, STREAM_LOST)
    )


def _removed(account: DurableAccount, count: int) -> int:
    return count - _take(account, count, (REMOVED,))


def _take(account: DurableAccount, count: int, causes: Sequence[str]) -> int:
    """Take from those that count as lost; returns how many are left over."""
    for cause in causes:
        taken = min(count, account.lost[cause])
        account.lost[cause] -= taken
        count -= taken
    return count


def why_lost(
    owed: OwedSeqs,
    received: IntervalSet,
    *,
    elsewhere: IntervalSet,
    had: IntervalSet,
    state: StreamState,
    causes: dict[str, IntervalSet],
) -> Counter[str]:
    """Count what a lost stream took with it of a durable's, by why it was not stored again."""
    first = max(1, state.first_seq)
    if first > state.last_seq:
        return Counter()
    missed = IntervalSet([(first, state.last_seq)]).difference(received)
    missed = missed.difference(elsewhere.union(had))
    found: Counter[str] = Counter()
    for cause, places in causes.items():
        found[cause] = _count(owed, missed.intersection(places))
    found[IN_DELIVERY] += _count(owed, missed) - found.total()
    return found


def _count(owed: OwedSeqs, seqs: IntervalSet) -> int:
    return sum(owed.count(first, last) for first, last in seqs)
