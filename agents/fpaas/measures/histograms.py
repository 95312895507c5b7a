"""Latency histograms on the control node: logs that agents wrote, merged exactly.

`histogram_log` has their layout and how they are recorded. This needs HdrHistogram's own library.
"""

from __future__ import annotations

import base64
import ctypes
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyhdrh
from hdrh.histogram import HdrHistogram

from fpaas.measures.histogram_log import (
    BY_BEGINNING,
    HEADER_BYTES,
    HIGHEST_US,
    LOWEST_US,
    OUTER_HEADER_BYTES,
    SETTINGS_END,
    SIGNIFICANT_DIGITS,
    counts_indices,
    index_shift,
    inner_header,
    outer_header,
    take_beyond,
)

_WORD_BYTES = 8
#: Agents write a line for this long, unless they stood still, or a window begins or ends in it.
INTERVAL_S = 1.0


def new_histogram() -> HdrHistogram:
    """Return an empty histogram with the project's range and precision."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)


def record_counts(histogram: HdrHistogram, counts: Mapping[int, int]) -> int:
    """Record non-negative values that come with how often they occurred.

    Returns how many were beyond the range, and were not.
    """
    by_index: Counter[int] = Counter()
    for index, count in zip(counts_indices(counts), counts.values(), strict=True):
        by_index[index] += count
    beyond = take_beyond(by_index)
    if not by_index:
        return beyond
    recorded = histogram.counts
    for index, count in by_index.items():
        recorded[index] += count
    smallest_us, largest_us = (
        histogram.get_value_from_index(index) for index in (min(by_index), max(by_index))
    )
    histogram.total_count += by_index.total()
    histogram.min_value = min(histogram.min_value, smallest_us)
    histogram.max_value = max(histogram.max_value, largest_us)
    return beyond


class Interval(NamedTuple):
    """One line of a histogram log; `payload` is still encoded."""

    tag: str
    start_unix_s: float
    length_s: float
    payload: str

    @property
    def decisive_unix_s(self) -> float:
        """Decides on which side of a cut the interval falls: its middle.

        If it is longer than usual, the middle of its last second: its process stood still,
        and received whatever had waited when it went on.
        """
        return self.start_unix_s + self.length_s - min(self.length_s, INTERVAL_S) / 2


def is_by_beginning(path: Path) -> bool:
    """Whether a log's calls are filed under the time they began. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.startswith("#"):
                return False
            if line.startswith(BY_BEGINNING):
                return True
    return False


def read_log(path: Path) -> Iterator[Interval]:
    """Iterate over a log's intervals. A torn last line (a killed writer) is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("Tag=") or not line.endswith("\n"):
                continue
            tag, start, length, _, payload = line[4:].rstrip("\n").split(",", 4)
            yield Interval(tag, float(start), float(length), payload)


@dataclass
class Leg:
    """All samples of one leg, merged.

    `negative` holds magnitudes. `open` holds the ages of calls that were not answered as long as
    anybody looked: their latency is at least that. `beyond` and `negative_beyond` count samples of
    more than an hour. `by_start` counts calls, open ones too, by the start of their stretch in Unix
    ms.
    """

    positive: HdrHistogram
    negative: HdrHistogram
    open: HdrHistogram | None = None
    beyond: int = 0
    negative_beyond: int = 0
    by_start: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many samples, negative ones and those out of range included; none that is open."""
        return (
            int(self.positive.get_total_count() + self.negative.get_total_count())
            + self.out_of_range_count
        )

    @property
    def out_of_range_count(self) -> int:
        """How many samples were more than an hour."""
        return self.beyond + self.negative_beyond

    @property
    def open_count(self) -> int:
        """How many calls were not answered."""
        return int(self.open.get_total_count()) if self.open is not None else 0

    @property
    def open_min_us(self) -> int | None:
        """Least age of a call that was not answered; None without one."""
        return int(self.open.get_min_value()) if self.open is not None and self.open_count else None

    @property
    def negative_count(self) -> int:
        """How many samples were below zero."""
        return int(self.negative.get_total_count()) + self.negative_beyond

    def percentile_us(self, percentile: float) -> int | None:
        """Return the least that a percentile can be: open calls count with their ages.

        None without samples.
        """
        return self.percentile_bounds_us(percentile)[0]

    def percentile_bounds_us(self, percentile: float) -> tuple[int | None, int | None]:
        """Return the least and the most that a percentile can be, whatever open calls come to.

        The most is None if nothing bounds it; the least is None without samples.
        """
        total = self.count + self.open_count
        if not total:
            return None, None
        rank = max(1, round(percentile / 100 * total + 0.5 - 1e-9))
        rank = min(rank, total)
        return self._at_rank(rank, self._with_open), (
            self._at_rank(rank, self.positive) if rank <= self.count - self.beyond else None
        )

    @property
    def _with_open(self) -> HdrHistogram:
        if self.open is None:
            return self.positive
        both = new_histogram()
        both.add(self.positive)
        both.add(self.open)
        return both

    def _at_rank(self, rank: int, positive: HdrHistogram) -> int:
        """Return the sample of a rank from 1 on; `positive` has those that are not below zero."""
        rank -= self.negative_beyond
        if rank <= 0:
            return -HIGHEST_US
        negatives = int(self.negative.get_total_count())
        if rank <= negatives:
            # The smallest samples are the largest magnitudes.
            return -_value_at_rank(self.negative, negatives - rank + 1)
        if rank - negatives <= positive.get_total_count():
            return _value_at_rank(positive, rank - negatives)
        return HIGHEST_US

    def shifted(self, shift_us: int) -> Leg:
        """Return the leg with every sample moved, with the precision of its recording."""
        moved: Counter[int] = Counter()
        for histogram, sign in ((self.positive, 1), (self.negative, -1)):
            for value_us, count in _middles(histogram):
                moved[sign * value_us + shift_us] += count
        leg = Leg(
            new_histogram(),
            new_histogram(),
            beyond=self.beyond,
            negative_beyond=self.negative_beyond,
            by_start=self.by_start,
        )
        leg.beyond += record_counts(leg.positive, {v: n for v, n in moved.items() if v >= 0})
        leg.negative_beyond += record_counts(
            leg.negative, {-v: n for v, n in moved.items() if v < 0}
        )
        if self.open is not None:
            leg.add_open({max(0, age + shift_us): n for age, n in _middles(self.open)})
        return leg

    def add(self, other: Leg) -> None:
        """Take in another's samples."""
        self.positive.add(other.positive)
        self.negative.add(other.negative)
        if other.open is not None:
            self.open_histogram().add(other.open)
        self.beyond += other.beyond
        self.negative_beyond += other.negative_beyond
        self.by_start.update(other.by_start)

    def add_open(self, ages_us: Mapping[int, int]) -> None:
        """Take in calls that were not answered, by age; over an hour is at least an hour."""
        counts: Counter[int] = Counter()
        for age_us, count in ages_us.items():
            counts[min(age_us, HIGHEST_US)] += count
        record_counts(self.open_histogram(), counts)

    def open_histogram(self) -> HdrHistogram:
        """Return where open calls are kept."""
        if self.open is None:
            self.open = new_histogram()
        return self.open

    @property
    def max_us(self) -> int | None:
        """Largest sample, to the histogram's precision."""
        return self.percentile_us(100) if self.count else None


def start_ms(unix_s: float) -> int:
    """Return a stretch's start in Unix ms as it is in a log, which has three decimals."""
    return round(round(unix_s, 3) * 1000)


def new_leg() -> Leg:
    """Return a leg without samples."""
    return Leg(new_histogram(), new_histogram())


def _middles(histogram: HdrHistogram) -> Iterator[tuple[int, int]]:
    """Iterate over (middle of a bucket, samples in it) of the buckets that have some."""
    for index, count in enumerate(histogram.counts):
        if count:
            yield histogram.get_value_from_index(index) + (1 << index_shift(index) >> 1), count


def _value_at_rank(histogram: HdrHistogram, rank: int) -> int:
    total = histogram.get_total_count()
    # Half a rank below: percentile arithmetic in floats must not round up to the next sample.
    return int(histogram.get_value_at_percentile(100 * (rank - 0.25) / total))


def merge_logs(
    paths: Iterable[Path],
    *,
    from_unix_s: float = 0.0,
    until_unix_s: float = float("inf"),
    endless: Collection[str] = (),
    holes: Sequence[tuple[float, float]] = (),
    shift_us: Callable[[str, float], int] = lambda _leg, _unix_s: 0,
) -> dict[str, Leg]:
    """Merge the intervals that lie in [from, until) into one histogram a leg.

    Legs that are `endless` have no end. Samples in one of the `holes` are left out.
    `shift_us(leg, when the interval was)` is added to each of its samples.
    """
    adder = _Adder()
    by_shift: dict[str, dict[int, Leg]] = {}
    for path in paths:
        lines: dict[tuple[str, str, int], list[Interval]] = defaultdict(list)
        for interval in read_log(path):
            name, _, kind = interval.tag.partition(".")
            at_s = interval.decisive_unix_s
            if at_s < from_unix_s or (at_s >= until_unix_s and name not in endless):
                continue
            if any(since_s <= at_s < end_s for since_s, end_s in holes):
                continue
            lines[name, kind, shift_us(name, at_s)].append(interval)
        for (name, kind, shift), intervals in lines.items():
            leg = by_shift.setdefault(name, {}).setdefault(shift, new_leg())
            counts = _add(leg, kind, [one.payload for one in intervals], adder)
            for interval, count in zip(intervals, counts, strict=True):
                leg.by_start[start_ms(interval.start_unix_s)] += count
    return {name: _together(legs) for name, legs in by_shift.items()}


def _add(leg: Leg, kind: str, payloads: Iterable[str], adder: _Adder) -> list[int]:
    """Add encoded histograms to the part of a leg that a suffix names; returns their sizes."""
    if kind == "beyond":
        counts = adder.add(new_histogram(), payloads)
        leg.beyond += sum(counts)
    elif kind == "negative.beyond":
        counts = adder.add(new_histogram(), payloads)
        leg.negative_beyond += sum(counts)
    elif kind == "open":
        counts = adder.add(leg.open_histogram(), payloads)
    else:
        counts = adder.add(leg.negative if kind == "negative" else leg.positive, payloads)
    return counts


class _Adder:
    """Adds encoded histograms of our own layout to others.

    HdrHistogram's own way makes a histogram of each, mostly of zeros: an hour's report would spend
    most of its time on that. This one keeps a single array, and touches what is in use of it.
    """

    def __init__(self) -> None:
        self._length = new_histogram().counts_len
        self._counts = (ctypes.c_uint64 * self._length)()

    def add(self, target: HdrHistogram, payloads: Iterable[str]) -> list[int]:
        """Decode and add; returns how many samples each had.

        Histograms of another layout, and damaged ones, are decoded by the library.
        """
        address, to = ctypes.addressof(self._counts), ctypes.addressof(target.counts)
        lowest, highest = self._length, -1
        totals = []
        for payload in payloads:
            content = _content(payload)
            if content is None:
                before = target.get_total_count()
                target.decode_and_add(payload)
                totals.append(int(target.get_total_count() - before))
                continue
            found = pyhdrh.decode(content, HEADER_BYTES, address, self._length, _WORD_BYTES)
            total = found["total"]
            totals.append(total)
            if not total:
                continue
            smallest, largest = found["min_nonzero_index"], found["max_nonzero_index"]
            offset, in_use = smallest * _WORD_BYTES, largest - smallest + 1
            pyhdrh.add_array(to + offset, address + offset, in_use, _WORD_BYTES)
            ctypes.memset(address + offset, 0, in_use * _WORD_BYTES)
            target.total_count += total
            lowest, highest = min(lowest, smallest), max(highest, largest)
        if highest >= 0:
            least_us, most_us = map(target.get_value_from_index, (lowest, highest))
            target.min_value = min(target.min_value, least_us)
            most_us = target.get_highest_equivalent_value(most_us)
            target.max_value = max(target.max_value, most_us)
        return totals


def _content(payload: str) -> bytes | None:
    """Return an encoded histogram's header and counts; None if it is not of our own layout."""
    encoded = base64.b64decode(payload, validate=True)
    if encoded[:OUTER_HEADER_BYTES] != outer_header(len(encoded) - OUTER_HEADER_BYTES):
        return None
    content = zlib.decompress(encoded[OUTER_HEADER_BYTES:])
    if content[:SETTINGS_END] != inner_header(len(content) - HEADER_BYTES):
        return None
    return content


def _together(by_shift: Mapping[int, Leg]) -> Leg:
    total: Leg | None = None
    for shift, leg in by_shift.items():
        moved = leg.shifted(shift) if shift else leg
        if total is None:
            total = moved
        else:
            total.add(moved)
    return total or new_leg()
