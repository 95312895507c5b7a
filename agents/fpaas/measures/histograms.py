"""Latency histograms: recorded cheaply, logged per second, merged exactly.

Values are integer microseconds in HdrHistogram V2 (1 µs … 1 h, three significant digits). Recorders
take nanoseconds, buffer them in a list and sort them into buckets once per interval, so that the
hot path pays one `list.append`. Negative samples (clocks that disagree) keep a histogram of their
own, tagged `<leg>.negative` and holding magnitudes: they are counted, never dropped or clamped.

The `.hlog` files follow the HistogramLog format 1.3 (http://hdrhistogram.org), tags included.
"""

from __future__ import annotations

import base64
import ctypes
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyhdrh
from hdrh.histogram import HdrHistogram

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3
NEGATIVE_SUFFIX = ".negative"

# Layout of an HdrHistogram with three digits: 2048 sub-buckets, then 1024 per power of two.
_SUB_BUCKET_BITS = 11
_SUB_BUCKET_COUNT = 1 << _SUB_BUCKET_BITS
_HALF_COUNT_BITS = 10


def new_histogram() -> HdrHistogram:
    """Return an empty histogram with the project's range and precision."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)


def counts_indices(values_us: Iterable[int]) -> list[int]:
    """Return where values lie in an HdrHistogram's counts array (unit magnitude 0).

    This is the histogram's own arithmetic for a whole list at once: every sample of a run comes
    through here, and a function call a sample would cost more than the sum.
    """
    return [
        value
        if value < _SUB_BUCKET_COUNT
        else ((shift := value.bit_length() - _SUB_BUCKET_BITS) << _HALF_COUNT_BITS)
        + (value >> shift)
        for value in values_us
    ]


# An encoded histogram: cookie and length; then, compressed, a header and the counts.
_OUTER_HEADER_BYTES = 8
_HEADER_BYTES = 40
_WORD_BYTES = 8
#: Of the header: cookie, length, an offset that we do not use, and the layout.
_SETTINGS_END = 32
_COMPRESSED_COOKIE, _COOKIE = 0x1C849314, 0x1C849313


def _outer_header(length: int) -> bytes:
    return struct.pack(">II", _COMPRESSED_COOKIE, length)


def _inner_header(length: int) -> bytes:
    return struct.pack(
        ">IIIIQQ", _COOKIE, max(0, length), 0, SIGNIFICANT_DIGITS, LOWEST_US, HIGHEST_US
    )


_HIGHEST_INDEX = counts_indices([HIGHEST_US])[0]


def record_all(histogram: HdrHistogram, values_us: Iterable[int]) -> int:
    """Record non-negative values; those over one hour count as one hour. Returns how many."""
    return _record_indices(histogram, Counter(counts_indices(values_us)))


def record_counts(histogram: HdrHistogram, counts: Mapping[int, int]) -> int:
    """Record non-negative values that come with how often they occurred, as `record_all` does."""
    by_index: Counter[int] = Counter()
    for index, count in zip(counts_indices(counts), counts.values(), strict=True):
        by_index[index] += count
    return _record_indices(histogram, by_index)


def _record_indices(histogram: HdrHistogram, by_index: Counter[int]) -> int:
    if not by_index:
        return 0
    counts = histogram.counts
    for index, count in by_index.items():
        counts[min(index, _HIGHEST_INDEX)] += count
    total = by_index.total()
    smallest_us, largest_us = (
        histogram.get_value_from_index(min(index, _HIGHEST_INDEX))
        for index in (min(by_index), max(by_index))
    )
    histogram.total_count += total
    histogram.min_value = min(histogram.min_value, smallest_us)
    histogram.max_value = max(histogram.max_value, largest_us)
    return total


class Recorder:
    """Collects one leg's samples of the current interval; `samples_ns.append` is the hot path."""

    __slots__ = ("leg", "samples_ns")

    def __init__(self, leg: str) -> None:
        self.leg = leg
        self.samples_ns: list[int] = []

    def take(self) -> tuple[HdrHistogram | None, HdrHistogram | None]:
        """Return (histogram, histogram of negative magnitudes) of the interval and start anew.

        Either is None where it has no samples.
        """
        samples_ns = self.samples_ns
        if not samples_ns:
            return None, None
        self.samples_ns = []
        negatives = [-value // 1000 for value in samples_ns if value < 0]
        positives = samples_ns if not negatives else [v for v in samples_ns if v >= 0]
        positive_histogram = negative_histogram = None
        if positives:
            positive_histogram = new_histogram()
            record_all(positive_histogram, [value // 1000 for value in positives])
        if negatives:
            negative_histogram = new_histogram()
            record_all(negative_histogram, negatives)
        return positive_histogram, negative_histogram


class HistogramLog:
    """Writes interval histograms of several recorders to one `.hlog` file."""

    def __init__(self, path: Path, recorders: list[Recorder], start_unix_s: float) -> None:
        self._recorders = recorders
        self._interval_start_unix_s = start_unix_s
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._file.write("#[Histogram log format version 1.3]\n")
        self._file.write(f"#[StartTime: {start_unix_s:.3f} (seconds since epoch)]\n")
        self._file.write("#[unit: microseconds]\n")
        self._file.write(
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        )

    def end_interval(self, now_unix_s: float) -> None:
        """Write what was recorded since the last call, one line for each leg that has samples."""
        for recorder in self._recorders:
            positive, negative = recorder.take()
            if positive is not None:
                self._write(recorder.leg, positive, now_unix_s)
            if negative is not None:
                self._write(recorder.leg + NEGATIVE_SUFFIX, negative, now_unix_s)
        self._file.flush()
        self._interval_start_unix_s = now_unix_s

    def close(self, now_unix_s: float) -> None:
        """Write the last interval and close the file."""
        self.end_interval(now_unix_s)
        self._file.close()

    def _write(self, tag: str, histogram: HdrHistogram, now_unix_s: float) -> None:
        payload = histogram.encode().decode("ascii")
        length_s = max(now_unix_s - self._interval_start_unix_s, 0.0)
        self._file.write(
            f"Tag={tag},{self._interval_start_unix_s:.3f},{length_s:.3f},"
            f"{histogram.get_max_value():.3f},{payload}\n"
        )


@dataclass(frozen=True)
class Interval:
    """One line of a histogram log; `payload` is still encoded."""

    leg: str
    start_unix_s: float
    length_s: float
    payload: str

    @property
    def middle_unix_s(self) -> float:
        """Decides on which side of a cut the interval falls."""
        return self.start_unix_s + self.length_s / 2


def read_log(path: Path) -> Iterator[Interval]:
    """Iterate over a log's intervals. A torn last line (a killed writer) is passed by."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("Tag=") or not line.endswith("\n"):
                continue
            tag, start, length, _, payload = line[4:].rstrip("\n").split(",", 4)
            yield Interval(tag, float(start), float(length), payload)


@dataclass
class Leg:
    """All samples of one leg, merged; negatives as magnitudes."""

    positive: HdrHistogram
    negative: HdrHistogram

    @property
    def count(self) -> int:
        """How many samples, negative ones included."""
        return int(self.positive.get_total_count() + self.negative.get_total_count())

    @property
    def negative_count(self) -> int:
        """How many samples were below zero."""
        return int(self.negative.get_total_count())

    def percentile_us(self, percentile: float) -> int | None:
        """Value at a percentile over negative and positive samples; None where there are none."""
        count = self.count
        if not count:
            return None
        rank = max(1, round(percentile / 100 * count + 0.5 - 1e-9))
        rank = min(rank, count)
        negatives = self.negative_count
        if rank <= negatives:
            # The smallest samples are the largest magnitudes.
            return -_value_at_rank(self.negative, negatives - rank + 1)
        return _value_at_rank(self.positive, rank - negatives)

    def shifted(self, shift_us: int) -> Leg:
        """Return the leg with every sample moved, to the precision of where it was recorded."""
        moved: Counter[int] = Counter()
        for histogram, sign in ((self.positive, 1), (self.negative, -1)):
            for value_us, count in _middles(histogram):
                moved[sign * value_us + shift_us] += count
        leg = new_leg()
        record_counts(leg.positive, {v: n for v, n in moved.items() if v >= 0})
        record_counts(leg.negative, {-v: n for v, n in moved.items() if v < 0})
        return leg

    def add(self, other: Leg) -> None:
        """Take in another's samples."""
        self.positive.add(other.positive)
        self.negative.add(other.negative)

    @property
    def min_us(self) -> int | None:
        """Smallest sample, to the histogram's precision."""
        return self.percentile_us(0) if self.count else None

    @property
    def max_us(self) -> int | None:
        """Largest sample, to the histogram's precision."""
        return self.percentile_us(100) if self.count else None


def new_leg() -> Leg:
    """Return a leg without samples."""
    return Leg(new_histogram(), new_histogram())


def _middles(histogram: HdrHistogram) -> Iterator[tuple[int, int]]:
    """Iterate over (middle of a bucket, samples in it) of the buckets that have some."""
    for index, count in enumerate(histogram.counts):
        if count:
            shift = max(0, (index >> _HALF_COUNT_BITS) - 1)
            yield histogram.get_value_from_index(index) + (1 << shift >> 1), count


def _value_at_rank(histogram: HdrHistogram, rank: int) -> int:
    total = histogram.get_total_count()
    # Half a rank below: percentile arithmetic in floats must not round up to the next sample.
    return int(histogram.get_value_at_percentile(100 * (rank - 0.25) / total))


def merge_logs(
    paths: Iterable[Path],
    *,
    from_unix_s: float = 0.0,
    until_unix_s: float = float("inf"),
    shift_us: Callable[[str, float], int] = lambda _leg, _unix_s: 0,
) -> dict[str, Leg]:
    """Merge the intervals whose middle lies in [from, until) into one histogram a leg.

    `shift_us(leg, middle of the interval)` is added to each of its samples.
    """
    adder = _Adder()
    by_shift: dict[str, dict[int, Leg]] = {}
    for path in paths:
        for interval in read_log(path):
            if not from_unix_s <= interval.middle_unix_s < until_unix_s:
                continue
            name = interval.leg.removesuffix(NEGATIVE_SUFFIX)
            legs = by_shift.setdefault(name, {})
            shift = shift_us(name, interval.middle_unix_s)
            leg = legs.get(shift)
            if leg is None:
                leg = legs[shift] = new_leg()
            target = leg.negative if interval.leg.endswith(NEGATIVE_SUFFIX) else leg.positive
            adder.add(target, interval.payload)
    return {name: _together(legs) for name, legs in by_shift.items()}


class _Adder:
    """Adds encoded histograms of our own layout to others.

    HdrHistogram's own way makes a histogram of each, mostly of zeros: an hour's report would spend
    most of its time on that. This one keeps a single array, and touches what is in use of it.
    """

    def __init__(self) -> None:
        self._length = new_histogram().counts_len
        self._counts = (ctypes.c_uint64 * self._length)()

    def add(self, target: HdrHistogram, payload: str) -> None:
        """Decode and add; what is not of our layout, or damaged, goes the histogram's own way."""
        encoded = base64.b64decode(payload, validate=True)
        content = b""
        if encoded[:_OUTER_HEADER_BYTES] == _outer_header(len(encoded) - _OUTER_HEADER_BYTES):
            content = zlib.decompress(encoded[_OUTER_HEADER_BYTES:])
        if content[:_SETTINGS_END] != _inner_header(len(content) - _HEADER_BYTES):
            target.decode_and_add(payload)
            return
        address = ctypes.addressof(self._counts)
        found = pyhdrh.decode(content, _HEADER_BYTES, address, self._length, _WORD_BYTES)
        if not found["total"]:
            return
        smallest, largest = found["min_nonzero_index"], found["max_nonzero_index"]
        in_use = largest + 1
        pyhdrh.add_array(ctypes.addressof(target.counts), address, in_use, _WORD_BYTES)
        ctypes.memset(address, 0, in_use * _WORD_BYTES)
        target.total_count += found["total"]
        target.min_value = min(target.min_value, target.get_value_from_index(smallest))
        highest = target.get_highest_equivalent_value(target.get_value_from_index(largest))
        target.max_value = max(target.max_value, highest)


def _together(by_shift: Mapping[int, Leg]) -> Leg:
    total: Leg | None = None
    for shift, leg in by_shift.items():
        moved = leg.shifted(shift) if shift else leg
        if total is None:
            total = moved
        else:
            total.add(moved)
    return total or new_leg()
