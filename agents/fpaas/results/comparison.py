"""Compare groups of runs: medians with confidence intervals, and whether a difference is real.

A difference counts as significant by an exact Mann-Whitney U test (no assumption about the shape of
the noise, as in benchstat); intervals of a median come from order statistics. Both say honestly
when there are too few runs to tell.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

SIGNIFICANCE = 0.05
CONFIDENCE = 0.95
#: Exact ranks get expensive above this; a group of runs is never that large.
RUNS_MAX = 20

#: Figure (dotted path in summary.json; * is any key) → +1 where more is better, -1 where less is.
FIGURES: dict[str, int] = {
    "throughput.published_per_s": +1,
    "throughput.processed_per_s": +1,
    "throughput.per_consumer_per_s.p50": +1,
    "latency_ms.publish_ack.p50": -1,
    "latency_ms.publish_ack.p99": -1,
    "latency_ms.publish_to_first_fetch.p50": -1,
    "latency_ms.publish_to_first_fetch.p99": -1,
    "latency_ms.end_to_end.p50": -1,
    "latency_ms.end_to_end.p99": -1,
    "latency_ms.fetch_call.p50": -1,
    "latency_ms.fetch_call.p99": -1,
    "resources.processes.*.cpu_pct.mean": -1,
    "resources.processes.*.rss_mb.max": -1,
    "jetstream.consumer_lag.p50": -1,
    "ledger.lost": -1,
    "ledger.not_read": -1,
    "ledger.publish_failed": -1,
    "ledger.publish_unknown": -1,
    "fetches.client_timeout": -1,
    "fidelity.poll_lateness_ms.p99": -1,
}


@dataclass(frozen=True)
class Sample:
    """One figure over the runs of a group; `low` and `high` are None where runs are too few."""

    median: float
    low: float | None
    high: float | None
    runs: int


@dataclass(frozen=True)
class Row:
    """One figure of two groups; `p_value` is None where no test can tell with so few runs."""

    figure: str
    before: Sample
    after: Sample
    change_pct: float | None
    p_value: float | None
    significant: bool
    worse: bool


def compare(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Compare two groups of summary.json contents, figure by figure.

    A figure that was not measured (null) in some run of either group is left out.
    """
    rows = []
    for pattern, direction in FIGURES.items():
        for figure in _paths([*before, *after], pattern):
            old, new = _values(before, figure), _values(after, figure)
            if old is None or new is None:
                continue
            rows.append(_row(figure, direction, old, new))
    return rows


def regressions(rows: Sequence[Row], threshold_pct: float) -> list[Row]:
    """Rows that are significantly worse by more than the threshold."""
    return [
        row
        for row in rows
        if row.significant
        and row.worse
        and (row.change_pct is None or abs(row.change_pct) > threshold_pct)
    ]


def differences(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[list[str], list[str]]]:
    """Find what differs in parameters, versions or machines between two groups, by name.

    Each run is a flat mapping of names to values; run ids and times are not among them.
    """
    names = sorted({name for run in [*before, *after] for name in run})
    found = {}
    for name in names:
        old = sorted({str(run.get(name)) for run in before})
        new = sorted({str(run.get(name)) for run in after})
        if old != new or len(old) > 1:
            found[name] = (old, new)
    return found


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Interval of the median by order statistics at CONFIDENCE; None with fewer than 6 values."""
    ordered = sorted(values)
    count = len(ordered)
    for cut in range(count // 2, 0, -1):
        outside = 2 * sum(math.comb(count, i) for i in range(cut)) / 2**count
        if 1 - outside >= CONFIDENCE:
            return ordered[cut - 1], ordered[count - cut]
    return None


def mann_whitney_p(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Two-sided exact p-value; None where even perfect separation would not be significant.

    With ties the exact distribution is conservative: p is an upper bound.
    """
    m, n = len(before), len(after)
    if 2 / math.comb(m + n, m) > SIGNIFICANCE:
        return None
    twice_u = sum(2 * (new > old) + (new == old) for old in before for new in after)
    # Distance from the middle, rounded towards it where ties leave half a rank.
    extreme = min(twice_u, 2 * m * n - twice_u)
    tail = sum(_arrangements(m, n, u) for u in range((extreme + 1) // 2 + 1))
    return min(1.0, 2 * tail / math.comb(m + n, m))


@cache
def _arrangements(m: int, n: int, u: int) -> int:
    """How many interleavings of m and n values have U = u."""
    if u < 0:
        return 0
    if m == 0 or n == 0:
        return int(u == 0)
    return _arrangements(m - 1, n, u - n) + _arrangements(m, n - 1, u)


def _row(figure: str, direction: int, old: list[float], new: list[float]) -> Row:
    before, after = _sample(old), _sample(new)
    change = after.median - before.median
    p_value = mann_whitney_p(old, new)
    return Row(
        figure=figure,
        before=before,
        after=after,
        change_pct=100 * change / before.median if before.median else None,
        p_value=p_value,
        significant=p_value is not None and p_value <= SIGNIFICANCE and change != 0,
        worse=change * direction < 0,
    )


def _sample(values: list[float]) -> Sample:
    interval = median_interval(values)
    low, high = interval or (None, None)
    return Sample(statistics.median(values), low, high, len(values))


def _values(runs: Sequence[Mapping[str, Any]], figure: str) -> list[float] | None:
    values = []
    for run in runs:
        value = _lookup(run, figure.split("."))
        if not isinstance(value, (int, float)):
            return None
        values.append(float(value))
    return values


def _lookup(content: Any, keys: list[str]) -> Any:  # noqa: ANN401
    for key in keys:
        if not isinstance(content, Mapping) or key not in content:
            return None
        content = content[key]
    return content


def _paths(runs: Sequence[Mapping[str, Any]], pattern: str) -> Iterator[str]:
    prefix, star, suffix = pattern.partition(".*.")
    if not star:
        yield pattern
        return
    keys: dict[str, None] = {}
    for run in runs:
        for key in _lookup(run, prefix.split(".")) or {}:
            keys.setdefault(key)
    for key in keys:
        yield f"{prefix}.{key}.{suffix}"
