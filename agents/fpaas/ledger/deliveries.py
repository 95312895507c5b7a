"""One durable's deliveries in the order the server made them, and what they are held against."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fpaas.bundle.parts import ServerFinal
from fpaas.ledger.removals import Removals
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.nats import DurableState
from fpaas.spec import acks
from fpaas.spec.answers import Answer

#: (server's life, consumer sequence, stream sequence, count, number of the delivery)
Run = tuple[int, int, int, int, int]


class OwedSeqs:
    """The stream sequences that one durable is owed: all up to `last`, or the listed ones.

    `first` is the one from which on it is served.
    """

    def __init__(self, last: int, listed: Sequence[int] | None = None, first: int = 1) -> None:
        self._first = first
        self._last = last
        self._listed = listed

    def served_from(self, first: int) -> OwedSeqs:
        """Return what of them a durable is owed that is served from a sequence on."""
        return OwedSeqs(self._last, self._listed, first)

    def count(self, first: int, last: int) -> int:
        """How many of them lie in [first, last]."""
        first = max(first, self._first)
        if last < first:
            return 0
        if self._listed is None:
            return max(0, min(last, self._last) - first + 1)
        return bisect_right(self._listed, last) - bisect_left(self._listed, first)

    def count_in(self, seqs: IntervalSet, first: int, last: int) -> int:
        """How many of them lie in [first, last] and in a set."""
        if last < first or not seqs:
            return 0
        return sum(
            self.count(max(first, start), min(last, end)) for start, end in seqs.within(first, last)
        )

    def nth(self, first: int, number: int) -> int:
        """Return the last of the next `number` ≥ 1 of them from `first` on."""
        first = max(first, self._first)
        if self._listed is None:
            return first + number - 1
        return self._listed[bisect_left(self._listed, first) + number - 1]


@dataclass(frozen=True)
class Gap:
    """Stream sequences not received at first, and the server's deliveries in that time."""

    first: int
    last: int
    holes: int


@dataclass
class Walk:
    """A durable's deliveries, taken apart.

    `new` were received at first delivery, up to `frontier`; `late` are the other sequences
    received: as repeats, so that a first delivery went before. `made_again` of them were called
    first deliveries by a server that was killed and had forgotten that it had made them.
    """

    gaps: list[Gap] = field(default_factory=list)
    late: IntervalSet = field(default_factory=IntervalSet)
    new: int = 0
    received: int = 0
    overlapping: int = 0
    made_again: int = 0
    life: int = 0
    frontier: int = 0
    next_consumer_seq: int = 1
    holes: int = 0

    def take(
        self, life: int, consumer_seq: int, stream_seq: int, count: int, *, repeated: bool
    ) -> None:
        """Go on by one run; in a life of the server they come in the order of consumer sequences.

        The next life may begin with sequences that were there in the one before.
        """
        self.received += count
        if life != self.life:
            self.life = life
            self.next_consumer_seq = min(self.next_consumer_seq, consumer_seq)
        if consumer_seq < self.next_consumer_seq:
            self.overlapping += min(count, self.next_consumer_seq - consumer_seq)
        else:
            self.holes += consumer_seq - self.next_consumer_seq
        self.next_consumer_seq = max(self.next_consumer_seq, consumer_seq + count)
        last = stream_seq + count - 1
        if life and not repeated:
            self.made_again += max(0, min(last, self.frontier) + 1 - stream_seq)
        if repeated or last <= self.frontier:
            self.late.add_range(stream_seq, last)
            return
        if stream_seq <= self.frontier:
            self.late.add_range(stream_seq, self.frontier)
            stream_seq = self.frontier + 1
        self.advance(stream_seq)
        self.new += last - stream_seq + 1
        self.frontier = last

    def advance(self, stream_seq: int) -> None:
        """Close the gap before a stream sequence that is delivered for the first time."""
        if stream_seq > self.frontier + 1 or self.holes:
            self.gaps.append(Gap(self.frontier + 1, stream_seq - 1, self.holes))
            self.holes = 0

    @property
    def reached(self) -> int:
        """The highest stream sequence received."""
        return max(self.frontier, self.late.last or 0)

    def skips(self, owed: OwedSeqs) -> int:
        """How often the server passed over what was owed to deliver what came after it."""
        return sum(owed.count(gap.first, gap.last) > gap.holes for gap in self.gaps)

    @property
    def is_plain(self) -> bool:
        """Whether every delivery that the server made so far was received, once."""
        return not self.late and not self.holes and not any(gap.holes for gap in self.gaps)

    def distinct(self) -> int:
        """How many messages were received, before the last gap is closed."""
        filled = sum(self.late.count_within(gap.first, gap.last) for gap in self.gaps)
        return self.new + filled + self.late.count_within(self.frontier + 1, self.reached)


def split_repeats(log: ConsumerDeliveries, restarts_ms: Sequence[int] = ()) -> Iterator[Run]:
    """Iterate over a log's runs; the server's lives are parted by its restarts, in ms since T0."""
    for runs, repeats in log.lives():
        for at_ms, stream_seq, consumer_seq, count in runs:
            life = bisect_right(restarts_ms, at_ms)
            ahead = stream_seq - consumer_seq
            first, end = consumer_seq, consumer_seq + count
            within = slice(bisect_left(repeats, (first, 0)), bisect_left(repeats, (end, 0)))
            for repeat, number in repeats[within]:
                if repeat > first:
                    yield life, first, first + ahead, repeat - first, 1
                yield life, repeat, repeat + ahead, 1, max(2, number)
                first = repeat + 1
            if end > first:
                yield life, first, first + ahead, end - first, 1


@dataclass
class Answered:
    """Answers of one durable's consumers.

    `failed` is what they received, failed each time, and never acked: stream sequence → number of
    its latest delivery; `in_process` the same for what they were still working on.
    """

    counts: Counter[Answer] = field(default_factory=Counter)
    failed: dict[int, int] = field(default_factory=dict)
    in_process: dict[int, int] = field(default_factory=dict)


def received_of(deliveries: Iterable[ConsumerDeliveries]) -> dict[str, IntervalSet]:
    """Return by durable the stream sequences that it received."""
    received: dict[str, IntervalSet] = {}
    for log in deliveries:
        seqs = received.setdefault(log.durable, IntervalSet())
        for _, first, _, count in log.runs:
            seqs.add_range(first, first + count - 1)
    return received


@dataclass(frozen=True)
class DurableCase:
    """What is known of one durable.

    `had_trouble`: connections broke, or pulls went unanswered, so repeats may have been lost too.
    `may_forget`: the server's part is replicated, and a new leader may be behind the one before; or
    the server was killed, and what it came back with is behind.
    `was_killed`: a process that received for this durable.
    `answered`: what its consumers failed, or were still at work on; None if they ack all that they
    receive. `max_deliver` is how often the server delivers a message; 0: no limit. `ack` is one of
    the run's ACKS.
    """

    walk: Walk
    owed: OwedSeqs
    state: DurableState
    server: ServerFinal
    had_trouble: bool = False
    may_forget: bool = False
    was_killed: bool = False
    removals: Removals = field(default_factory=Removals)
    answered: Answered | None = None
    max_deliver: int = 0
    ack: str = acks.EXPLICIT

    @property
    def first_stored(self) -> int:
        """The first sequence that was still stored at the end."""
        return max(1, self.server.stream_before.first_seq)
