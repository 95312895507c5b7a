"""Reduces raw series to figures: rates over a window, percentiles, means; pure arithmetic."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

from fpaas.spec import NS_PER_S

if TYPE_CHECKING:
    # Its library is on the control node only.
    from fpaas.measures.histograms import Leg

N = TypeVar("N", bound=float)

#: If samples cover less of a window than this, it has no rate.
COVERED_MIN_S = 0.5
#: Agents sample each second. If samples are further apart than that, nobody knows when in between
#: an agent counted: it may have been frozen.
SAMPLES_APART_MAX_S = 2.5


@dataclass(frozen=True)
class Window:
    """The stretch of a run that figures are of: [from, until), Unix nanoseconds."""

    from_unix_ns: int
    until_unix_ns: int

    @property
    def from_unix_s(self) -> float:
        """Start in seconds, as histogram logs have it."""
        return self.from_unix_ns / NS_PER_S

    @property
    def until_unix_s(self) -> float:
        """End in seconds, as histogram logs have it."""
        return self.until_unix_ns / NS_PER_S

    @property
    def length_s(self) -> float:
        """Length."""
        return (self.until_unix_ns - self.from_unix_ns) / NS_PER_S

    def __contains__(self, unix_ns: int) -> bool:
        """Whether a time lies in the window."""
        return self.from_unix_ns <= unix_ns < self.until_unix_ns


Counter = Sequence[tuple[int, float]]


def value_at(counter: Counter, unix_ns: int) -> float | None:
    """Interpolate a cumulative counter at a time; None outside its samples."""
    if not counter or not counter[0][0] <= unix_ns <= counter[-1][0]:
        return None
    after = bisect_right(counter, unix_ns, key=lambda sample: sample[0])
    if after == len(counter):
        return counter[-1][1]
    (before_ns, before), (after_ns, later) = counter[after - 1], counter[after]
    return before + (later - before) * (unix_ns - before_ns) / (after_ns - before_ns)


def growth(counter: Counter, window: Window) -> tuple[float, float] | None:
    """Return (growth, seconds) of a counter over that part of a window that its samples cover.

    None if that is next to nothing: the process died early, or came late.
    """
    if not counter:
        return None
    start = max(window.from_unix_ns, counter[0][0])
    end = min(window.until_unix_ns, counter[-1][0])
    if end - start < COVERED_MIN_S * NS_PER_S:
        return None
    first, last = value_at(counter, start), value_at(counter, end)
    if first is None or last is None:
        return None
    return last - first, (end - start) / NS_PER_S


def rate_per_s(counters: Iterable[Counter], window: Window) -> float | None:
    """Return what counters grew by together, over one span, a second.

    The span is the window from the time on when all of them have samples. Counters that ended in it
    do not count from then on.
    None if one of them was not measured, or had no samples about an end of the span.
    """
    series = list(counters)
    if not series or not all(series):
        return None
    start_ns = max([window.from_unix_ns, *(counter[0][0] for counter in series)])
    seconds = (window.until_unix_ns - start_ns) / NS_PER_S
    if seconds < COVERED_MIN_S:
        return None
    grown = 0.0
    for counter in series:
        if counter[-1][0] - start_ns < COVERED_MIN_S * NS_PER_S:
            return None
        first = _counted_by(counter, start_ns)
        last = _counted_by(counter, window.until_unix_ns)
        if first is None or last is None:
            return None
        grown += last - first
    return grown / seconds


def _counted_by(counter: Counter, unix_ns: int) -> float | None:
    """Return a counter's value at a time from its first sample on; None in a gap of its samples."""
    after = bisect_right(counter, unix_ns, key=lambda sample: sample[0])
    before_ns, before = counter[after - 1]
    if after == len(counter) or before_ns == unix_ns:
        return before
    if counter[after][0] - before_ns > SAMPLES_APART_MAX_S * NS_PER_S:
        return None
    return value_at(counter, unix_ns)


def percentile(ordered: Sequence[N], pct: float) -> N:
    """Return the nearest-rank percentile of a sorted, non-empty sequence.

    >>> percentile([1, 2, 3, 4], 50)
    2
    """
    return ordered[max(0, math.ceil(pct / 100 * len(ordered) - 1e-9) - 1)]


def distribution(values: Iterable[N], *names: str) -> dict[str, N | None]:
    """Return the named ones of min, p50, p90, p99, p999, max; None each if there is no value."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(names)
    at = {"min": 0.0, "p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
    return {name: percentile(ordered, at[name]) for name in names}


def weighted(counts: Mapping[int, int]) -> dict[str, Any]:
    """Return count, mean, p50, p99 and max of values that come with how often they occurred."""
    total = sum(counts.values())
    if not total:
        return {"count": 0, "mean": None, "p50": None, "p99": None, "max": None}
    ordered = sorted(counts)
    below = 0
    ranks = []
    for value in ordered:
        below += counts[value]
        ranks.append(below)

    def at(pct: float) -> int:
        rank = max(1, math.ceil(pct / 100 * total - 1e-9))
        return ordered[bisect_right(ranks, rank - 1)]

    return {
        "count": total,
        "mean": sum(value * count for value, count in counts.items()) / total,
        "p50": at(50),
        "p99": at(99),
        "max": ordered[-1],
    }


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def mean_max(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and maximum; None of nothing."""
    return {"mean": mean(values), "max": max(values, default=None)}


PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9}

#: What a leg says of calls without an answer, and of those that it leaves out; see `leg_ms`.
OPEN_FIGURES = (
    "due_count",
    "open_count",
    "open_min_ms",
    "at_least",
    "out_of_range_count",
    "missing_count",
    "missing_min_ms",
)

#: A latency leg that was not measured, or has no sample in the window.
NO_LEG: dict[str, Any] = dict.fromkeys(
    (
        *("count", "min", *PERCENTILES, "max", "negative_count"),
        *("clock_error_ms", "not_resolvable", *OPEN_FIGURES),
    )
)


def resolvable(value_ms: float | None, clock_error_ms: float | None) -> bool:
    """Whether a latency is more than the error of the clocks that it was taken with.

    Nothing is resolvable if it was not measured, or by clocks of unknown error.
    """
    return value_ms is not None and clock_error_ms is not None and abs(value_ms) >= clock_error_ms


def unsure(found: Mapping[str, Any]) -> dict[str, None]:
    """Return `at_least` for figures with samples that are not known at all."""
    columns = (*PERCENTILES, "max")
    return {name: None for name in columns if found.get(name) is not None}


def leg_ms(leg: Leg, clock_error_ms: float | None, due_count: int | None = None) -> dict[str, Any]:
    """Return a latency leg as in summary.json, in milliseconds.

    `at_least` names the values that open calls could change, with the most that each could be
    (None: nothing bounds it). `due_count` is an independent count of calls that fell due; those
    that are neither answered nor open are missing.
    """
    bounds = {
        name: leg.percentile_bounds_us(pct)
        for name, pct in {"min": 0.0, **PERCENTILES, "max": 100.0}.items()
    }
    values = {name: _ms(least) for name, (least, _) in bounds.items()}
    found = _leg(values, leg.count, leg.negative_count, clock_error_ms)
    counted = leg.count + leg.open_count
    return found | {
        "due_count": due_count,
        "open_count": leg.open_count,
        "open_min_ms": _ms(leg.open_min_us),
        "at_least": at_least_ms(bounds),
        "out_of_range_count": leg.out_of_range_count,
        "missing_count": None if due_count is None else due_count - counted,
    }


def at_least_ms(
    bounds: Mapping[str, tuple[int | None, int | None]],
) -> dict[str, float | None]:
    """Return the most that each value could be of those that are not exact, in milliseconds."""
    return {
        name: _ms(most)
        for name, (least, most) in bounds.items()
        if least is not None and least != most
    }


def leg_of_counts_ms(
    counts: Mapping[int, int],
    units_per_ms: int,
    clock_error_ms: float | None,
    *,
    open_counts: Mapping[int, int] | None = None,
) -> dict[str, Any]:
    """Return a latency leg of values, in units, that come with how often they occurred.

    Those of `open_counts` are at least as large; see `leg_ms`.
    """
    with_open = dict(counts)
    for value, count in (open_counts or {}).items():
        with_open[value] = with_open.get(value, 0) + count
    least = _Ranked(with_open)
    known = _Ranked(counts)
    values: dict[str, float | None] = dict.fromkeys(("min", *PERCENTILES, "max"))
    at_least: dict[str, float | None] = {}
    for name, pct in {"min": 0.0, **PERCENTILES, "max": 100.0}.items():
        if least.total:
            rank = max(1, math.ceil(pct / 100 * least.total - 1e-9))
            value = least.at(rank)
            most = known.at(rank) if rank <= known.total else None
            values[name] = value / units_per_ms
            if most != value:
                at_least[name] = None if most is None else most / units_per_ms
    negative_count = sum(count for value, count in counts.items() if value < 0)
    found = _leg(values, known.total, negative_count, clock_error_ms)
    return found | ({"at_least": at_least} if open_counts is not None else {})


class _Ranked:
    """Values in order."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._values = sorted(counts)
        self._ranks = list(accumulate(counts[value] for value in self._values))
        self.total = self._ranks[-1] if self._ranks else 0

    def at(self, rank: int) -> int:
        """Return the value of a rank from 1 on."""
        return self._values[bisect_left(self._ranks, rank)]


def _leg(
    values: dict[str, float | None],
    count: int,
    negative_count: int,
    clock_error_ms: float | None,
) -> dict[str, Any]:
    return {
        "count": count,
        **values,
        "negative_count": negative_count,
        "clock_error_ms": clock_error_ms,
        "not_resolvable": [
            name
            for name, value in values.items()
            if value is not None and not resolvable(value, clock_error_ms)
        ],
        **dict.fromkeys(OPEN_FIGURES),
    }


def tail_ms(leg: Leg | None, *names: str, due_count: int | None = None) -> dict[str, Any]:
    """Return the named ones of p50, p99 and max of a leg, in milliseconds, and its counts."""
    at = {"p50": 50.0, "p99": 99.0, "max": 100.0}
    if leg is None:
        keys = (*names, "count", "due_count", "open_count", "open_min_ms", "at_least")
        return dict.fromkeys(keys)
    bounds = {name: leg.percentile_bounds_us(at[name]) for name in names}
    return {
        **{name: _ms(least) for name, (least, _) in bounds.items()},
        "count": leg.count,
        "due_count": due_count,
        "open_count": leg.open_count,
        "open_min_ms": _ms(leg.open_min_us),
        "at_least": at_least_ms(bounds),
    }


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1000


def sum_over_processes(
    samples: Iterable[tuple[tuple[str, int], int, float]],
) -> list[float]:
    """Add a figure up over processes, second by second.

    `samples` are ((host, pid), unix_ns, value). Probes of several hosts do not tick together, and
    a tick may be missed: a process counts with its latest value of each second, or of the last one
    that has any, until its samples end.
    """
    series: dict[tuple[str, int], dict[int, float]] = {}
    for process, unix_ns, value in samples:
        series.setdefault(process, {})[unix_ns // NS_PER_S] = value
    totals: dict[int, float] = {}
    for by_second in series.values():
        value = 0.0
        for second in range(min(by_second), max(by_second) + 1):
            value = by_second.get(second, value)
            totals[second] = totals.get(second, 0.0) + value
    return list(totals.values())
