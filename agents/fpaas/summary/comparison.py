"""Compare groups of runs: medians with confidence intervals, and whether a difference is real.

A difference counts as significant if three things agree: the rank test and the noise floor of
`repeats`, and the bound of the clocks that a latency was measured with. All say honestly when there
are too few runs to tell.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fpaas.latency.leg_kinds import headline_legs, legs_by_class
from fpaas.latency.lower_bounds import is_at_least
from fpaas.measures import figures
from fpaas.summary.repeats import SIGNIFICANCE, mann_whitney_p, median_interval, noise_floor

#: Figure (dotted path in summary.json; * is any key) → +1 if more is better, -1 if less is.
FIGURES: dict[str, int] = {
    "throughput.published_per_s": +1,
    "throughput.processed_per_s": +1,
    "throughput.per_consumer_per_s.p50": +1,
    **{f"latency_ms.{leg}.{name}": -1 for leg in headline_legs() for name in ("p50", "p99")},
    "resources.processes.*.cpu_pct.mean": -1,
    "resources.processes.*.rss_mb.max": -1,
    "jetstream.consumer_lag.p50": -1,
    "jetstream.slow_consumers": -1,
    "ledger.lost": -1,
    "ledger.not_read": -1,
    "ledger.publish_failed": -1,
    "ledger.publish_unknown": -1,
    "fetches.client_timeout": -1,
    "fidelity.poll_lateness_ms.p99": -1,
    "classes.*.processed_per_s": +1,
    "classes.*.per_consumer_per_s.p50": +1,
    **{
        f"classes.*.latency_ms.{leg}.{name}": -1
        for leg in headline_legs()
        if leg in legs_by_class()
        for name in ("p50", "p99")
    },
    "classes.*.ledger.lost": -1,
    "classes.*.ledger.redelivered": -1,
}


#: Stands among values for one that nobody noted; `none` is a value.
NOT_RECORDED = "not recorded"
#: How exactly B / A is written.
RATIO_DIGITS = 2

#: A row's `~`, if it has one.
TOO_FEW = "too few runs"
NOT_SIGNIFICANT = "not significant"
BELOW_NOISE = "below the noise floor"
WITHIN_CLOCKS = "within the clocks' bound"
CALLS_OPEN = "calls without answer could change it"


@dataclass(frozen=True)
class Sample:
    """One figure over the runs of a group.

    `low` to `high` holds the median with `confidence`, which few runs keep below 95 %; all None of
    a single run. `noise_floor` is the least difference that repeats of these runs can tell.
    `lower_bounds` counts the runs that only say at least how large the figure is; with any, the
    median is a lower bound, and neither `high` nor `noise_floor` is known.
    """

    median: float
    low: float | None
    high: float | None
    confidence: float | None
    runs: int
    noise_floor: float | None
    lower_bounds: int = 0


@dataclass(frozen=True)
class Row:
    """One figure of two groups.

    `p_value` is None if no test can tell with so few runs; `why_not` says why a difference does
    not count, None if it does. `noise_floor` is the greater one of both groups'. If `after` has
    lower bounds and is worse, it is at least that much worse.
    """

    figure: str
    before: Sample
    after: Sample
    change_pct: float | None
    p_value: float | None
    noise_floor: float | None
    why_not: str | None
    worse: bool

    @property
    def ratio(self) -> float | None:
        """B / A; None if A is 0, or only known to be at least so much."""
        return None if self.before.lower_bounds else self._quotient

    @property
    def _quotient(self) -> float | None:
        return self.after.median / self.before.median if self.before.median else None

    @property
    def changed(self) -> bool:
        """Whether it changed, as far as these runs can tell; too few to tell: if it looks so."""
        if self.why_not != TOO_FEW:
            return self.significant
        if self._quotient is None:
            return self.after.median != 0
        return f"{self._quotient:.{RATIO_DIGITS}f}" != f"{1:.{RATIO_DIGITS}f}"

    @property
    def significant(self) -> bool:
        """Whether the difference counts."""
        return self.why_not is None


@dataclass(frozen=True)
class Comparison:
    """All figures that can be compared, and why others cannot, by figure."""

    rows: list[Row]
    left_out: dict[str, str]


def compare(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> Comparison:
    """Compare two groups of summary.json contents, figure by figure."""
    rows = []
    left_out = _wrong_objects([*before, *after])
    for figure, direction in _figures([*before, *after]):
        old, new = _values(before, figure), _values(after, figure)
        if isinstance(old, str) or isinstance(new, str):
            left_out[figure] = old if isinstance(old, str) else str(new)
            continue
        bound = _clock_error(before, figure) + _clock_error(after, figure)
        samples = (
            _sample(old, _lower_bounds(before, figure)),
            _sample(new, _lower_bounds(after, figure)),
        )
        rows.append(_row(figure, direction, samples, mann_whitney_p(old, new), bound))
    return Comparison(rows, left_out)


def noise(runs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Sample], dict[str, str]]:
    """Return each figure over repeats of one run, and why others have none, by figure."""
    samples = {}
    left_out = _wrong_objects(runs)
    for figure, _ in _figures(runs):
        values = _values(runs, figure)
        if isinstance(values, str):
            left_out[figure] = values
        else:
            samples[figure] = _sample(values, _lower_bounds(runs, figure))
    return samples, left_out


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

    Each run is a flat mapping of names to values; run ids and times are not among them. A name
    that a run lacks is NOT_RECORDED: an older run says nothing of what came later.
    """
    names = sorted({name for run in [*before, *after] for name in run})
    found = {}
    for name in names:
        old, new = (
            sorted({_said(run[name]) if name in run else NOT_RECORDED for run in runs})
            for runs in (before, after)
        )
        if old != new or len(old) > 1:
            found[name] = (old, new)
    return found


def _said(value: object) -> str:
    """Write a parameter's value as its user would.

    >>> [_said(one) for one in (None, [], ["a", "b"], True, 1.5, [{"do": "kill", "at_s": 8}])]
    ['none', 'none', 'a, b', 'true', '1.5', '{do: kill, at_s: 8}']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_said(one)}" for name, one in value.items()) + "}"
    return "none" if value is None else str(value)


def _row(
    figure: str,
    direction: int,
    samples: tuple[Sample, Sample],
    p_value: float | None,
    bound: float,
) -> Row:
    before, after = samples
    change = after.median - before.median
    worse = change * direction < 0
    floors = [one for one in (before.noise_floor, after.noise_floor) if one is not None]
    floor = max(floors, default=None)
    why_not = None
    if p_value is None:
        why_not = TOO_FEW
    elif p_value > SIGNIFICANCE or change == 0:
        why_not = NOT_SIGNIFICANT
    elif floor is not None and abs(change) < floor:
        why_not = BELOW_NOISE
    elif abs(change) <= bound:
        why_not = WITHIN_CLOCKS
    # Lower bounds of A may reach B. Those of B only make a larger figure larger still, so that they
    # do not make up for what is worse already.
    if before.lower_bounds or (after.lower_bounds and (why_not is not None or not worse)):
        why_not = TOO_FEW if p_value is None else CALLS_OPEN
    return Row(
        figure=figure,
        before=before,
        after=after,
        change_pct=100 * change / before.median if before.median else None,
        p_value=p_value,
        noise_floor=floor,
        why_not=why_not,
        worse=worse,
    )


def _sample(values: list[float], lower_bounds: int) -> Sample:
    low, high, confidence = median_interval(values) or (None, None, None)
    floor = noise_floor(values)
    if lower_bounds:
        high = floor = None
    return Sample(
        statistics.median(values), low, high, confidence, len(values), floor, lower_bounds
    )


def _lower_bounds(runs: Sequence[Mapping[str, Any]], figure: str) -> int:
    return sum(is_at_least(run, figure) for run in runs)


def _values(runs: Sequence[Mapping[str, Any]], figure: str) -> list[float] | str:
    """Return a figure of every run, or why not all have it."""
    values = []
    missing = unresolvable = wrong = 0
    for run in runs:
        value = _lookup(run, figure.split("."))
        if value is None:
            missing += 1
        elif isinstance(value, bool) or not isinstance(value, int | float):
            wrong += 1
        elif _is_latency(figure) and not figures.resolvable(value, _error_of(run, figure)):
            unresolvable += 1
        else:
            values.append(float(value))
    if wrong:
        return f"of the wrong type, no number, in {wrong} of {len(runs)} runs"
    if missing:
        return f"not measured in {missing} of {len(runs)} runs"
    if unresolvable:
        return f"not resolvable by the clocks in {unresolvable} of {len(runs)} runs"
    return values


def _is_latency(figure: str) -> bool:
    return "latency_ms" in figure.split(".")


def _error_of(run: Mapping[str, Any], figure: str) -> float | None:
    error = _lookup(run, [*figure.split(".")[:-1], "clock_error_ms"])
    return float(error) if isinstance(error, int | float) else None


def _clock_error(runs: Sequence[Mapping[str, Any]], figure: str) -> float:
    """How far the clocks of a group may have moved a figure; 0 if it is no latency."""
    if not _is_latency(figure):
        return 0.0
    return max((_error_of(run, figure) or 0.0 for run in runs), default=0.0)


def _lookup(content: Any, keys: list[str]) -> Any:  # noqa: ANN401
    """Follow keys; None if one is missing, what is there if it is no object to look into."""
    for key in keys:
        if not isinstance(content, Mapping):
            return content
        content = content.get(key)
        if content is None:
            return None
    return content


def _wrong_objects(runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what is of the wrong type in place of the objects that `*` stands for keys of."""
    found = {}
    for pattern in FIGURES:
        prefix, star, _ = pattern.partition(".*.")
        values = [_lookup(run, prefix.split(".")) for run in runs] if star else []
        wrong = sum(value is not None and not isinstance(value, Mapping) for value in values)
        if wrong:
            found[pattern] = f"of the wrong type, no object, in {wrong} of {len(runs)} runs"
    return found


def _figures(runs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Iterate over (figure, direction), with `*` replaced by its values in any of the runs."""
    for pattern, direction in FIGURES.items():
        prefix, star, suffix = pattern.partition(".*.")
        if not star:
            yield pattern, direction
            continue
        keys: dict[str, None] = {}
        for run in runs:
            found = _lookup(run, prefix.split("."))
            keys |= dict.fromkeys(found if isinstance(found, Mapping) else ())
        for key in keys:
            yield f"{prefix}.{key}.{suffix}", direction
