"""Why messages left the stream: their age, the stream's size, or somebody's doing. Pure.

The server counts none of this. Known are: where the stream began at each sample; what was stored by
when, from the shuffler's samples; and which sequences inside the stream are gone. Messages that
left the stream before their maximum age did not expire by age. Their reason was the size if the
stream was nearly full; otherwise somebody removed them, which the lab never does. Times are a
second apart at best, so if it could have been age, it counts as age.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from fpaas.measures.intervals import IntervalSet
from fpaas.records.nats import StreamState
from fpaas.spec import NS_PER_S, Stream

#: A stream this full is at its limit: the next message may not have fitted.
FULL_SHARE = 0.9
#: Clocks of hosts, and the server's own timer.
TOLERANCE_S = 1.0


@dataclass(frozen=True)
class StreamSample:
    """The stream at a time; `deleted` are the sequences inside it that are gone."""

    unix_ns: int
    first_seq: int
    bytes: int
    deleted: tuple[int, ...] = ()

    @classmethod
    def of(cls, unix_ns: int, stream: StreamState) -> StreamSample:
        """Take what matters from a stream as the server described it at a time."""
        return cls(unix_ns, stream.first_seq, stream.bytes, tuple(stream.deleted))


@dataclass(frozen=True)
class Removals:
    """Stream sequences that left the stream otherwise than by their age."""

    by_size: IntervalSet = field(default_factory=IntervalSet)
    by_hand: IntervalSet = field(default_factory=IntervalSet)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.by_size or self.by_hand)


def classify(
    samples: Sequence[StreamSample], stored_by: Sequence[tuple[int, int]], stream: Stream
) -> Removals:
    """Tell removals apart; `stored_by` are (time, last stream sequence then), both rising."""
    times = [unix_ns for unix_ns, _ in stored_by]
    max_age_ns = round((stream.max_age_s - TOLERANCE_S) * NS_PER_S)
    removals = Removals()
    first, bytes_before = 1, 0
    for sample in sorted(samples, key=lambda sample: sample.unix_ns):
        for seq in sample.deleted:
            removals.by_hand.add(seq)
        before = bisect_right(times, sample.unix_ns - max_age_ns)
        # All that was stored by then may have expired by its age.
        aged = stored_by[before][1] if before < len(times) else sample.first_seq
        young = max(first, aged + 1)
        if young < sample.first_seq:
            fullest = max(bytes_before, sample.bytes)
            is_full = fullest >= FULL_SHARE * stream.max_bytes
            cause = removals.by_size if is_full else removals.by_hand
            cause.add_range(young, sample.first_seq - 1)
        first = max(first, sample.first_seq)
        bytes_before = sample.bytes
    return removals
