"""A sweep in words: sentences about growth, progress, and the table that a terminal shows. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fpaas.agreement import count_of
from fpaas.latency.lower_bounds import marked
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import PlayedRun, PointFigure, Sweep, SweepPoint
from fpaas.sweep import scaling
from fpaas.sweep.grid import label, written
from fpaas.sweep.sweep_figures import COSTS, FIGURES, Growth

NOT_MEASURED = "-"
#: As much as a terminal has room for.
SHOWN = (
    "processed_per_s",
    "nats_cpu_pct",
    "nats_rss_mb",
    "consumers_cpu_pct",
    "consumers_rss_mb",
    "fetch_call_p99_ms",
)
WORDS = {"bench_consumers": "consumer"}


def figure(value: float | None) -> str:
    """Write a figure with three significant digits; a dash if there is none."""
    if value is None:
        return NOT_MEASURED
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}"


def median(one: PointFigure | None) -> str:
    """Write a point's figure: the median of its runs."""
    if one is None:
        return NOT_MEASURED
    return marked(figure(one.median), at_least=bool(one.at_least))


def interval(fit: scaling.Fit) -> str:
    """Write a fit as `0.12 [0.1, 0.14]`."""
    if fit.low is None or fit.high is None:
        return f"{figure(fit.value)} (no interval: too few runs)"
    return f"{figure(fit.value)} [{figure(fit.low)}, {figure(fit.high)}]"


def cost(one: Growth) -> str:
    """Write what each added consumer costs, with its interval."""
    if one.cost is None:
        return "not measured: fewer than two points can be trusted"
    return f"{interval(one.cost)} {one.figure.unit} for each added {word(one.over)}"


def word(variable: str) -> str:
    """Name one of the things that a variable counts."""
    return WORDS.get(variable, variable)


def growth(one: Growth) -> str:
    """Say in one sentence whether growth is sub-linear, and how sure that is."""
    total, beyond = one.exponent, one.exponent_beyond_least
    if total is None:
        return "Not measured: there is too little to fit."
    ten = (
        f"ten times the {word(one.over)}s need {figure(10**total.value)} times as much"
        if one.over in WORDS
        else f"at ten times {one.over} it is {figure(10**total.value)} times as much"
    )
    sentence = f"{_judged(total)} (exponent {interval(total)}): {ten}"
    if beyond is None:
        return f"{sentence}."
    means = {
        scaling.SUB_LINEAR: "each further one costs less than the one before",
        scaling.SUPER_LINEAR: "each further one costs more than the one before",
        scaling.UNDECIDED: "a constant cost of each further one cannot be ruled out",
    }[beyond.judgement]
    mark = "~ " if beyond.judgement == scaling.UNDECIDED else ""
    return f"{sentence}. Beyond the smallest point: {mark}exponent {interval(beyond)}, {means}."


def _judged(fit: scaling.Fit) -> str:
    return {
        scaling.SUB_LINEAR: "Sub-linear",
        scaling.SUPER_LINEAR: "Super-linear",
        scaling.UNDECIDED: "~ Cannot be told from linear",
    }[fit.judgement]


def progress(sweep: Sweep, point: SweepPoint, repetition: int, left: str) -> str:
    """Write `point 3 of 20: bench_consumers=100 bench_poll_interval_s=5, about 41 min left`."""
    of = f"point {point.number} of {len(sweep.points)}"
    again = f" (run {repetition + 1} of {sweep.repeats})" if sweep.repeats > 1 else ""
    return f"{of}{again}: {label(point.variables)}, about {left} left"


def duration(seconds: float) -> str:
    """Write a duration as a person would: 40 s, 41 min, 2 h 5 min."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def state(point: SweepPoint, repeats: int) -> str:
    """Say whether a point's figures hold, and why not."""
    if point.status == "missing":
        return "missing: not run yet"
    ended = [run for run in point.runs if run.status is not None]
    if point.status == "invalid":
        return f"invalid: {ended[-1].reason or 'see its report'}"
    finished = len({run.repetition for run in point.trusted})
    runs = f" ({finished} of {repeats} runs)" if repeats > 1 else ""
    failed = [run for run in point.trusted if run.status == "fail"]
    return f"{'fail' if failed else 'pass'}{runs}" + (f": {failed[-1].reason}" if failed else "")


def outcome(run: PlayedRun, point: SweepPoint) -> str:
    """Say how a run ended, in a line."""
    if run.status not in sweep_record.FINISHED:
        return f"{run.status}: {run.reason}"
    titles = {one.name: one for one in FIGURES}
    shown = []
    for name in SHOWN:
        one = (point.figures or {}).get(name)
        value = median(one)
        shown.append(f"{titles[name].title} {value} {titles[name].unit}".rstrip())
    reason = f" ({run.reason})" if run.reason else ""
    return f"{run.status}{reason}: {', '.join(shown)}"


def trimmed(sweep: Sweep) -> str:
    """Say which runs' figures are of another window than their own; nothing if none are."""
    runs = [run for point in sweep.points for run in point.runs]
    found = [run.trimmed for run in runs if run.trimmed]
    if not found:
        return ""
    of_all = count_of(len(runs), "run|runs")
    return f"Of {of_all}, {count_of(len(found), 'is|are')} {', '.join(dict.fromkeys(found))}."


def lines(sweep: Sweep, growths: list[Growth]) -> Iterator[str]:
    """Iterate over the lines of a sweep's result: a table of points, then growth."""
    done = sum(point.status == "done" for point in sweep.points)
    yield f"Sweep {sweep.sweep_id}: {done} of {len(sweep.shown)} points"
    if trimmed(sweep):
        yield trimmed(sweep)
    yield ""
    titles = {one.name: f"{one.title} ({one.unit})" for one in FIGURES}
    heads = [*sweep.grid, *SHOWN, ""]
    rows = [heads]
    for point in sweep.shown:
        cells = [written(value) for value in point.variables.values()]
        for name in SHOWN:
            one = (point.figures or {}).get(name)
            cells.append(median(one))
        rows.append([*cells, state(point, sweep.repeats)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        cells = [
            cell.rjust(width) if column < len(row) - 1 else cell
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    for figure in COSTS:
        along = [g for g in growths if g.figure is figure and g.exponent is not None]
        if along:
            yield ""
            yield titles[figure.name]
        for each in along:
            yield f"  {each.line or 'all'}: {cost(each)}"
            yield f"    {growth(each)}"
