"""The leg `publish_to_first_fetch`: from stored to the first fetch by anybody.

When messages were stored is known by the shuffler's samples, so they are gone through from one
sample to the next.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency.clocks import Clocks
from fpaas.latency.stored_times import polled_until_unix_ns, stored_at
from fpaas.measures import figures, first_fetch
from fpaas.measures.figures import Window
from fpaas.measures.first_fetch import NEVER, UNIT_NS, UNITS_PER_MS, Stored
from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import LostStream

NAME = "publish_to_first_fetch"
#: Later than any run.
NEVER_UNIX_NS = 2**63 - 1


def leg_ms(bundle: Bundle, clocks: Clocks, window: Window, *, endless: bool) -> JsonObject:
    """Time from stored to the first fetch by anybody, of the first fetches in a window.

    It may be `endless`, like the windows of other ages: later fetches are in it, too. A stream that
    was lost and made again is two. An event of a lost stream that nobody fetched is missing only if
    it was not stored again.
    """
    by_stream = _kept_by_stream(bundle, clocks)
    if by_stream is None:
        return {**figures.NO_LEG}
    until_unix_ns = NEVER_UNIX_NS if endless else window.until_unix_ns
    found = _Found(Window(window.from_unix_ns, until_unix_ns), polled_until_unix_ns(bundle))
    lost = _lost_streams(bundle)
    for number, kept in enumerate(by_stream):
        samples = stored_at(bundle, number)
        if not samples:
            return {**figures.NO_LEG}
        again = _stored_again(bundle, lost[number]) if number < len(lost) else IntervalSet()
        for stored in _between(samples):
            earliest = first_fetch.earliest_units([one.units(stored) for one in kept])
            found.add(stored, earliest, again)
    leg = figures.leg_of_counts_ms(
        found.counts,
        UNITS_PER_MS,
        clocks.error_ms(NAME),
        open_counts=found.never if endless else {},
    )
    youngest_ms = min(found.never) / UNITS_PER_MS if found.never else None
    return leg | {"missing_count": found.never.total(), "missing_min_ms": youngest_ms}


@dataclass
class _Kept:
    """What one process kept of a stream, and its host's clock."""

    ages: array[int]
    host: str
    clocks: Clocks

    def __post_init__(self) -> None:
        self._shift_us = self.clocks.shift_us(self.host)
        self._is_drifting = self.clocks.is_drifting(NAME, self.host)

    def units(self, stored: Stored) -> list[int]:
        """Return the corrected ages of messages, as first_fetch has them."""
        ages = self.ages[stored.begin : stored.end]
        if self._is_drifting:
            return first_fetch.corrected_by_time(ages, stored, self._shift_at)
        return first_fetch.corrected(ages, self._shift_at(0.0))

    def _shift_at(self, unix_s: float) -> int:
        return round(self._shift_us(NAME, unix_s) * UNITS_PER_MS / 1000)


@dataclass
class _Found:
    """In units: ages at the first fetch in `window`, and at the end if nobody fetched."""

    window: Window
    end_unix_ns: int
    counts: Counter[int] = field(default_factory=Counter)
    never: Counter[int] = field(default_factory=Counter)

    def add(self, stored: Stored, earliest: list[int], again: IntervalSet) -> None:
        """Add what is known of messages; those that were stored `again` are not missing."""
        fetched = earliest
        if NEVER in earliest:
            fetched = [units for units in earliest if units != NEVER]
        if self._all_in_window(stored, fetched):
            self.counts.update(fetched)
        else:
            self.counts.update(self._in_window(stored, earliest))
        if len(fetched) < stored.count:
            self.never.update(self._missing(stored, earliest, again))

    def _in_window(self, stored: Stored, earliest: Iterable[int]) -> Iterator[int]:
        for stored_ns, units in zip(stored.times_ns(), earliest, strict=False):
            if units != NEVER:
                fetched_ns = stored_ns + units * UNIT_NS
                if self.window.from_unix_ns <= fetched_ns < self.window.until_unix_ns:
                    yield units

    def _missing(
        self, stored: Stored, earliest: Iterable[int], again: IntervalSet
    ) -> Iterator[int]:
        seqs = range(stored.begin + 1, stored.end + 1)
        for seq, stored_ns, units in zip_longest(
            seqs, stored.times_ns(), earliest, fillvalue=NEVER
        ):
            # The last message before a sample is put at the sample itself.
            is_in = stored_ns <= self.window.until_unix_ns
            if units == NEVER and is_in and seq not in again:
                yield max(0, int(self.end_unix_ns - stored_ns) // UNIT_NS)

    def _all_in_window(self, stored: Stored, ages: list[int]) -> bool:
        first_ns = stored.before_unix_ns + min(ages, default=0) * UNIT_NS
        last_ns = stored.at_unix_ns + max(ages, default=0) * UNIT_NS
        return self.window.from_unix_ns <= first_ns and last_ns < self.window.until_unix_ns


def _between(samples: list[tuple[int, int]]) -> Iterator[Stored]:
    for (before_ns, before_seq), (at_ns, seq) in pairwise(samples):
        if seq > before_seq:
            yield Stored(before_seq, seq, before_ns, at_ns)


def _kept_by_stream(bundle: Bundle, clocks: Clocks) -> list[list[_Kept]] | None:
    """Return what processes kept of each stream; None if one did not, or there is none.

    Of several streams, those that are there; else those that were lost, and the last one.
    """
    lost = [stream.created for stream in _lost_streams(bundle)]
    count = bundle.spec.stream.count
    kept: list[list[_Kept]] = [[] for _ in range(max(len(lost) + 1, count))]
    for part, worker in bundle.workers:
        created = worker.result.streams if worker.result is not None else [None]
        numbers = [lost.index(one) if one in lost else -1 for one in created]
        if count > 1:
            numbers = list(range(count))
        if len(worker.first_fetches) != len(numbers):
            return None
        for number, ages in zip(numbers, worker.first_fetches, strict=True):
            if ages is None:
                return None
            kept[number].append(_Kept(ages, part.host, clocks))
    return kept if kept[-1] else None


def _lost_streams(bundle: Bundle) -> list[LostStream]:
    return bundle.shuffler.lost_streams if bundle.shuffler is not None else []


def _stored_again(bundle: Bundle, lost: LostStream) -> IntervalSet:
    """Return the sequences of a lost stream whose events were stored again."""
    found = IntervalSet()
    replayed = bundle.shuffler.replayed_seqs if bundle.shuffler is not None else IntervalSet()
    for seq, at, count in lost.stream_seqs:
        for first, last in replayed.within(seq, seq + count - 1):
            begin, end = max(first, seq), min(last, seq + count - 1)
            found.add_range(at + begin - seq, at + end - seq)
    return found
