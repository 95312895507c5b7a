"""Latencies as agents record and log them, second by second.

Values are integer microseconds in HdrHistogram V2 (1 µs … 1 h, three significant digits). Recorders
take nanoseconds, buffer them in a list and sort them into buckets once per interval, so that the
hot path pays one `list.append`. What does not fit into a leg's own histogram has one beside it, by
the tag's suffix, so that nothing is dropped or clamped:

- `.negative`: magnitudes of samples below zero (clocks that disagree);
- `.open`: ages of calls that were given up unanswered; their latency is at least that;
- `.beyond`, `.negative.beyond`: samples of more than an hour; only their number counts.

Before the suffix, `@` and a name say that it is of one class of consumers, beside the leg of all.

The `.hlog` files follow the HistogramLog format 1.3 (http://hdrhistogram.org), tags included. They
are written without its library, which is not to be had for every machine that agents run on.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from fpaas.measures.growing_file import GrowingFile

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3
NEGATIVE_SUFFIX = ".negative"
OPEN_SUFFIX = ".open"
BEYOND_SUFFIX = ".beyond"
#: Separates a leg's name from its class of consumers.
OF_CLASS = "@"
#: Marks logs whose lines are of when calls began; older ones are of when they ended.
BY_BEGINNING = "#[Calls are filed under the time they began]"

# Layout of an HdrHistogram with three digits: 2048 sub-buckets, then 1024 per power of two.
_SUB_BUCKET_BITS = 11
_SUB_BUCKET_COUNT = 1 << _SUB_BUCKET_BITS
_HALF_COUNT_BITS = 10


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


def index_shift(index: int) -> int:
    """Return the power of two that is the width of an index's bucket, in µs."""
    return max(0, (index >> _HALF_COUNT_BITS) - 1)


HIGHEST_INDEX = counts_indices([HIGHEST_US])[0]

# An encoded histogram: cookie and length; then, compressed, a header and the counts.
OUTER_HEADER_BYTES = 8
HEADER_BYTES = 40
#: Fields of the header: cookie, length, an offset that we do not use, and the layout.
SETTINGS_END = 32
_COMPRESSED_COOKIE, _COOKIE = 0x1C849314, 0x1C849313
_CONVERSION_RATIO = struct.pack(">d", 1.0)


def outer_header(length: int) -> bytes:
    """Return what comes before `length` bytes that are compressed."""
    return struct.pack(">II", _COMPRESSED_COOKIE, length)


def inner_header(length: int) -> bytes:
    """Return what comes before `length` bytes of counts, less the conversion ratio."""
    return struct.pack(
        ">IIIIQQ", _COOKIE, max(0, length), 0, SIGNIFICANT_DIGITS, LOWEST_US, HIGHEST_US
    )


def encode(by_index: Mapping[int, int]) -> str:
    """Encode counts by their index, as HdrHistogram's own `encode` would."""
    numbers = []
    following = 0
    for index, count in sorted(by_index.items()):
        if index > following:
            numbers.append(following - index)
        numbers.append(count)
        following = index + 1
    counts = bytearray()
    for number in numbers:
        # LEB128 (seven bits a byte), ZigZag: how many zeros follow is below zero, a count above.
        rest = (number << 1) ^ (number >> 63)
        while rest > 0x7F:
            counts.append(rest & 0x7F | 0x80)
            rest >>= 7
        counts.append(rest)
    compressed = zlib.compress(inner_header(len(counts)) + _CONVERSION_RATIO + counts)
    return base64.b64encode(outer_header(len(compressed)) + compressed).decode("ascii")


def of_class(leg: str, name: str) -> str:
    """Return the tag of a leg for one class of consumers; without a name, that for all."""
    return f"{leg}{OF_CLASS}{name}" if name else leg


def leg_of(tag: str) -> str:
    """Return the leg of a tag, without its class."""
    return tag.partition(OF_CLASS)[0]


class Line(NamedTuple):
    """One line of a log: samples of one tag and one stretch of time.

    `counts` has at least one, by its index in an HdrHistogram's array.
    """

    tag: str
    start_unix_s: float
    length_s: float
    counts: Counter[int]

    @property
    def max_us(self) -> int:
        """Largest sample, to the histogram's precision."""
        index = max(self.counts)
        shift = index_shift(index)
        return ((index - (shift << _HALF_COUNT_BITS) + 1) << shift) - 1


class LoggedRecorder(Protocol):
    """Anything that a `HistogramLog` can write."""

    def take(self, start_unix_s: float, until_unix_s: float) -> Iterator[Line]:
        """Return what was recorded in the interval, and forget it."""


class Recorder:
    """Collects the samples of a leg that is filed under when it was recorded: an age.

    `samples_ns.append` is the hot path. For calls there is `calls.CallRecorder`.
    """

    __slots__ = ("leg", "samples_ns")

    def __init__(self, leg: str) -> None:
        self.leg = leg
        self.samples_ns: list[int] = []

    def take(self, start_unix_s: float, until_unix_s: float) -> Iterator[Line]:
        """Return what was recorded in the interval, and forget it."""
        samples_ns, self.samples_ns = self.samples_ns, []
        return lines_of(self.leg, samples_ns, start_unix_s, until_unix_s)


def lines_of(
    tag: str, samples_ns: Sequence[int], start_unix_s: float, until_unix_s: float
) -> Iterator[Line]:
    """Sort samples into histograms, a line for each that has some."""
    length_s = max(until_unix_s - start_unix_s, 0.0)
    magnitudes_us = {tag: samples_ns, tag + NEGATIVE_SUFFIX: ()}
    if samples_ns and min(samples_ns) < 0:
        magnitudes_us = {
            tag: [value for value in samples_ns if value >= 0],
            tag + NEGATIVE_SUFFIX: [-value for value in samples_ns if value < 0],
        }
    for name, values_ns in magnitudes_us.items():
        if not values_ns:
            continue
        counts = Counter(counts_indices([value // 1000 for value in values_ns]))
        beyond = take_beyond(counts)
        if counts:
            yield Line(name, start_unix_s, length_s, counts)
        if beyond:
            at_highest = Counter({HIGHEST_INDEX: beyond})
            yield Line(name + BEYOND_SUFFIX, start_unix_s, length_s, at_highest)


def take_beyond(counts: Counter[int]) -> int:
    """Take out what is beyond the range; returns how many samples that were."""
    if not counts or max(counts) <= HIGHEST_INDEX:
        return 0
    return sum(counts.pop(index) for index in list(counts) if index > HIGHEST_INDEX)


class HistogramLog:
    """Writes what several recorders took to one `.hlog` file, interval by interval.

    `by_beginning` tells readers that calls are filed under the time they began. If it `goes_on`,
    it adds to the file of a process that was killed.
    """

    def __init__(
        self,
        path: Path,
        recorders: Sequence[LoggedRecorder],
        start_unix_s: float,
        *,
        by_beginning: bool = False,
        goes_on: bool = False,
    ) -> None:
        self._recorders = recorders
        self._interval_start_unix_s = start_unix_s
        is_there = goes_on and path.exists() and path.stat().st_size > 0
        self._file = GrowingFile(path, goes_on=is_there)
        if is_there:
            return
        header = [
            "#[Histogram log format version 1.3]",
            f"#[StartTime: {start_unix_s:.3f} (seconds since epoch)]",
            "#[unit: microseconds]",
            *([BY_BEGINNING] if by_beginning else []),
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
        ]
        self._append(header)

    def end_interval(self, now_unix_s: float) -> None:
        """Write what was recorded since the last call. Raises OSError; it is kept then."""
        since_unix_s, self._interval_start_unix_s = self._interval_start_unix_s, now_unix_s
        self._append(
            f"Tag={line.tag},{line.start_unix_s:.3f},{line.length_s:.3f},"
            f"{line.max_us:.3f},{encode(line.counts)}"
            for recorder in self._recorders
            for line in recorder.take(since_unix_s, now_unix_s)
        )

    def close(self, now_unix_s: float) -> None:
        """Write the last interval and close the file. Raises OSError."""
        try:
            self.end_interval(now_unix_s)
        finally:
            self._file.close()

    def _append(self, lines: Iterable[str]) -> None:
        self._file.append("".join(f"{line}\n" for line in lines).encode())
