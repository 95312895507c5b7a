"""Figures of a sweep's report: of every run, and how they grow along each line. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fpaas.latency.leg_kinds import LEGS, headline_legs
from fpaas.latency.lower_bounds import is_at_least
from fpaas.measures.figures import resolvable
from fpaas.records import paths
from fpaas.records.sweep import Increment, PointFigure, Scaling, SlopeFit, Sweep, SweepPoint
from fpaas.sweep import scaling
from fpaas.sweep.grid import Point, label

CONSUMERS = "bench_consumers"


@dataclass(frozen=True)
class Figure:
    """One figure of a run: where it is in summary.json; several paths are added up."""

    name: str
    title: str
    unit: str
    paths: tuple[str, ...]


def _of_process(process: str, word: str) -> tuple[Figure, Figure]:
    at = f"resources.processes.{process}"
    return (
        Figure(f"{process}_cpu_pct", f"CPU of {word}", "% of a core", (f"{at}.cpu_pct.mean",)),
        Figure(f"{process}_rss_mb", f"memory of {word}, most", "MB", (f"{at}.rss_mb.max",)),
    )


def _latencies() -> Iterator[Figure]:
    for leg in headline_legs():
        for name in ("p50", "p99"):
            path = f"latency_ms.{leg}.{name}"
            yield Figure(f"{leg}_{name}_ms", f"{LEGS[leg].title}, {name}", "ms", (path,))


NATS_CPU, NATS_RSS = _of_process("nats", "NATS")
CONSUMERS_CPU, CONSUMERS_RSS = _of_process("consumers", "the consumers agent")
SHUFFLER_CPU, _ = _of_process("shuffler", "the shuffler")
LAB_CPU = Figure(
    "lab_cpu_pct",
    "CPU of NATS and the consumers agent",
    "% of a core",
    (*NATS_CPU.paths, *CONSUMERS_CPU.paths),
)
#: Figures that are drawn over the variable. Those of COSTS are fitted, too; none of them is a
#: latency, so that nothing is fitted through lower bounds.
COSTS = (NATS_CPU, CONSUMERS_CPU, LAB_CPU, NATS_RSS, CONSUMERS_RSS)
LATENCIES = tuple(_latencies())
FIGURES = (
    Figure("offered_per_s", "offered", "/s", ("throughput.offered_per_s",)),
    Figure("published_per_s", "published", "/s", ("throughput.published_per_s",)),
    Figure("processed_per_s", "processed", "/s", ("throughput.processed_per_s",)),
    *COSTS,
    SHUFFLER_CPU,
    *LATENCIES,
    Figure("message_bytes_mean", "message size, mean", "bytes", ("message_bytes.mean",)),
    Figure("stream_bytes", "stream", "bytes", ("jetstream.bytes",)),
    Figure("consumer_lag_p50", "consumer lag, median", "messages", ("jetstream.consumer_lag.p50",)),
    Figure("slow_consumers", "slow consumers", "", ("jetstream.slow_consumers",)),
    Figure("owed", "owed", "messages", ("ledger.owed",)),
    Figure("delivered", "delivered", "messages", ("ledger.delivered",)),
    Figure("expired_unread", "expired unread", "messages", ("ledger.expired_unread",)),
    Figure("lost", "lost", "messages", ("ledger.lost",)),
    Figure("unexplained", "unexplained", "messages", ("ledger.unexplained",)),
    Figure("poll_lateness_p99_ms", "poll lateness, p99", "ms", ("fidelity.poll_lateness_ms.p99",)),
)


@dataclass(frozen=True)
class Measure:
    """One figure of one run; a lower bound if calls without answer could make it larger."""

    value: float
    is_at_least: bool = False


Values = dict[str, Measure | None]


def of_run(summary: Mapping[str, Any]) -> Values:
    """Return a run's figures; None if not measured, or if its clocks cannot resolve it."""
    return {figure.name: _value(summary, figure) for figure in FIGURES}


def _value(summary: Mapping[str, Any], figure: Figure) -> Measure | None:
    total = 0.0
    for path in figure.paths:
        holder, value = paths.at(summary, path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        is_latency = path.startswith("latency_ms.")
        if is_latency and not resolvable(value, holder.get("clock_error_ms")):
            return None
        total += value
    return Measure(total, any(is_at_least(summary, path) for path in figure.paths))


def variable(sweep: Sweep) -> str:
    """Name the variable that figures are drawn over: consumers, else the first number swept.

    If no number is swept, the first variable.
    """
    numeric = [name for name in sweep.grid if is_numeric(sweep, name)]
    if CONSUMERS in numeric:
        return CONSUMERS
    several = [name for name in numeric if len(sweep.grid[name]) > 1]
    return next(iter([*several, *numeric, *sweep.grid]))


def is_numeric(sweep: Sweep, name: str) -> bool:
    """Whether a variable has numbers for values, so that figures can grow with it."""
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in sweep.grid[name]
    )


def lines(sweep: Sweep, over: str) -> dict[str, list[SweepPoint]]:
    """Return points by the values of all other variables, each line in the variable's order."""
    found: dict[str, list[SweepPoint]] = {}
    for point in sweep.points:
        others: Point = {name: v for name, v in point.variables.items() if name != over}
        found.setdefault(label(others), []).append(point)
    if is_numeric(sweep, over):
        for points in found.values():
            points.sort(key=lambda point: point.variables[over])
    return found


def summarise(runs: list[Values]) -> dict[str, PointFigure | None]:
    """Return each figure's median and range over the runs of a point; None if no run has it.

    With any run whose figure is a lower bound, the median is one.
    """
    content: dict[str, PointFigure | None] = {}
    for figure in FIGURES:
        found = [one for run in runs if (one := run[figure.name]) is not None]
        values = [one.value for one in found]
        content[figure.name] = (
            PointFigure(
                median=statistics.median(values),
                min=min(values),
                max=max(values),
                runs=len(values),
                at_least=sum(one.is_at_least for one in found),
            )
            if values
            else None
        )
    return content


@dataclass(frozen=True)
class Growth:
    """How one figure grows along one line; each fit None if there is too little to fit."""

    figure: Figure
    line: str
    over: str
    cost: scaling.Fit | None
    exponent: scaling.Fit | None
    exponent_beyond_least: scaling.Fit | None
    increments: list[tuple[float, float, float]]

    def record(self, *, cost: str, sentence: str) -> Scaling:
        """Return it as in sweep.json, also in words."""
        return Scaling(
            figure=self.figure.name,
            unit=self.figure.unit,
            line=self.line,
            over=self.over,
            cost_per_added=_slope(self.cost),
            exponent=_exponent(self.exponent),
            exponent_beyond_least=_exponent(self.exponent_beyond_least),
            increments=[
                Increment(start=start, to=end, cost_per_added=cost)
                for start, end, cost in self.increments
            ],
            cost=cost,
            sentence=sentence,
        )


def _slope(fit: scaling.Fit | None) -> SlopeFit | None:
    return None if fit is None else SlopeFit(**asdict(fit))


def _exponent(fit: scaling.Fit | None) -> SlopeFit | None:
    return None if fit is None else SlopeFit(**asdict(fit), judgement=fit.judgement)


def growth(sweep: Sweep, values: Mapping[str, Values]) -> list[Growth]:
    """Fit every cost along every line; `values` are figures by run id, of trusted runs only."""
    over = variable(sweep)
    if not is_numeric(sweep, over) or len(sweep.grid[over]) < 2:
        return []
    found = []
    for figure in COSTS:
        for name, points in lines(sweep, over).items():
            pairs = [
                (float(point.variables[over]), one.value)
                for point in points
                for run in point.trusted
                if run.run_id in values and (one := values[run.run_id][figure.name]) is not None
            ]
            found.append(
                Growth(
                    figure,
                    name,
                    over,
                    scaling.line(pairs),
                    scaling.exponent(pairs),
                    scaling.exponent_beyond_least(pairs),
                    scaling.increments(pairs),
                )
            )
    return found
