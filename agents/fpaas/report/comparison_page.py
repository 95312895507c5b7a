"""Two groups of runs on one page: what differs, the table, and their curves over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpaas.bundle.loader import load_bundle
from fpaas.errors import SpecError
from fpaas.latency.leg_kinds import LEGS
from fpaas.report import chart_style, document, percentile_charts, run_charts, time_charts
from fpaas.report.document import Chart
from fpaas.report.series import RunSeries, Series
from fpaas.summary.comparison import Comparison, Row
from fpaas.text import comparison_text
from fpaas.text.comparison_text import Caution

#: A run's directory, and its summary.json.
Reported = tuple[Path, Mapping[str, Any]]
PROCESS_FIGURES = {
    "cpu_pct": ("CPU of {}", "%", "100 % is one core."),
    "rss_mb": ("Memory of {}", "MB", "Resident set."),
}
#: Figures of the stream that are drawn.
LAG = {"p50": "Consumer lag, median", "p99": "Consumer lag, p99"}


@dataclass(frozen=True)
class _Run:
    """A run that was read back, and what its lines are called."""

    name: str
    series: RunSeries
    curves: Mapping[str, percentile_charts.Curve]


def render(
    before: Sequence[Reported], after: Sequence[Reported], compared: Comparison, caution: Caution
) -> str:
    """Return the page's HTML. Reads the runs' raw data; a run without any has no lines."""
    runs: list[_Run] = []
    unread: list[str] = []
    for letter, group in (("A", before), ("B", after)):
        for number, (directory, summary) in enumerate(group, 1):
            name = f"{letter} {number}" if len(group) > 1 else letter
            try:
                runs.append(_read(name, directory, summary))
            except (OSError, SpecError) as error:
                unread.append(f"{name}, {directory}, has no lines: {error}")
    return document.render(
        "comparison.html.j2",
        {
            "latency": [_curves(leg, runs) for leg in LEGS if any(leg in r.curves for r in runs)],
            "resources": _resources(runs),
            "lag": [_lag(column, title, runs) for column, title in LAG.items()],
        },
        groups={
            "A": [(str(directory), str(one.get("run_id") or "")) for directory, one in before],
            "B": [(str(directory), str(one.get("run_id") or "")) for directory, one in after],
        },
        warnings=[*caution.warnings, *unread],
        differing={
            name: (", ".join(old), ", ".join(new)) for name, (old, new) in caution.differing.items()
        },
        heads=comparison_text.HEADS,
        rows=[
            {"cells": comparison_text.cells(row), "changed": row.changed, "tone": _tone(row)}
            for row in compared.rows
        ],
        left_out=compared.left_out,
    )


def _tone(row: Row) -> str:
    if not row.significant:
        return ""
    return "unbalanced" if row.worse else "balanced"


def _read(name: str, directory: Path, summary: Mapping[str, Any]) -> _Run:
    bundle = load_bundle(directory)
    window = summary.get("window")
    from_s = window.get("from_s") if isinstance(window, Mapping) else None
    warmup_s = from_s if isinstance(from_s, int | float) else bundle.spec.warmup_s
    curves = run_charts.curves(bundle, dict(summary), warmup_s)
    return _Run(name, RunSeries(bundle, warmup_s), curves)


def _curves(leg: str, runs: Sequence[_Run]) -> Chart:
    kind = LEGS[leg]
    return Chart(
        f"percentiles-{leg}",
        kind.title[0].upper() + kind.title[1:],
        "Both axes are logarithmic. Dashed: a lower bound.",
        percentile_charts.percentile_chart(
            {run.name: run.curves[leg] for run in runs if leg in run.curves}
        ),
    )


def _resources(runs: Sequence[_Run]) -> list[Chart]:
    found: list[Chart] = []
    for figure, (title, unit, caption) in PROCESS_FIGURES.items():
        by_run = {run.name: run.series.processes(figure) for run in runs}
        for process in dict.fromkeys(name for series in by_run.values() for name in series):
            lines = {name: series[process] for name, series in by_run.items() if process in series}
            key = f"{figure}-{len(found)}"
            found.append(Chart(key, title.format(process), caption, _over_time(lines, unit, runs)))
    return found


def _lag(column: str, title: str, runs: Sequence[_Run]) -> Chart:
    lines = {run.name: run.series.nats("lag", column) for run in runs}
    caption = "Messages that a consumer is owed and has not been sent yet."
    return Chart(f"lag-{column}", title, caption, _over_time(lines, "messages", runs))


def _over_time(
    lines: Mapping[str, Series], unit: str, runs: Sequence[_Run]
) -> chart_style.Figure | None:
    """Draw runs from their own T0 on; the shading is the longest one's."""
    if not runs:
        return None
    longest = max((run.series for run in runs), key=lambda series: series.end_s)
    return time_charts.time_chart(lines, unit, longest)
