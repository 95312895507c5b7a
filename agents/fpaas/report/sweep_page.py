"""report.html of a sweep: how cost and latency grow over a variable, point by point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fpaas.latency.lower_bounds import marked
from fpaas.records.sweep import PointFigure, Sweep, SweepPoint
from fpaas.report import axes, chart_style, document, frontier_chart, written
from fpaas.report.chart_style import Figure
from fpaas.report.document import Chart
from fpaas.search.sizing import Size
from fpaas.sweep import grid, scaling, sweep_figures
from fpaas.sweep.sweep_figures import COSTS, FIGURES, LATENCIES, Growth
from fpaas.text import capacity_text, expected, frontier_text, size_text, sweep_text
from fpaas.text.expected import Expectation

TABLE = (
    "processed_per_s",
    "nats_cpu_pct",
    "consumers_cpu_pct",
    "nats_rss_mb",
    "consumers_rss_mb",
    "publish_ack_p99_ms",
    "fetch_call_p99_ms",
    "publish_to_first_fetch_p99_ms",
)
#: Marks a point whose figure is a lower bound.
AT_LEAST_SYMBOL = "triangle-up-open"
STATUS_TONE = {"done": "", "invalid": "unbalanced", "missing": "absent"}


def render(
    sweep: Sweep,
    growths: list[Growth],
    expectations: list[Expectation],
    sizes: Sequence[Size] = (),
) -> str:
    """Return the page's HTML. A point without a run that can be trusted is said to be so."""
    over = sweep_figures.variable(sweep)
    lines = sweep_figures.lines(sweep, over)
    figures = {one.name: one for one in FIGURES}
    done = sum(point.status == "done" for point in sweep.points)
    return document.render(
        "sweep.html.j2",
        {
            "cost": [_chart(one, sweep, lines) for one in COSTS],
            "latency": [_chart(one, sweep, lines) for one in LATENCIES],
            "frontier": [frontier_chart.chart(sweep)] if sweep.frontier else [],
        },
        sweep=sweep,
        done=done,
        trimmed=sweep_text.trimmed(sweep),
        incomplete=[
            (point.number, grid.label(point.variables), sweep_text.state(point, sweep.repeats))
            for point in ([] if sweep.is_search else sweep.incomplete)
        ],
        capacity=list(capacity_text.lines(sweep)) if sweep.search else [],
        frontier=list(frontier_text.lines(sweep)) if sweep.frontier else [],
        shown=sweep.shown,
        sizes=[size_text.row(one) for one in sizes],
        size_heads=size_text.HEADS,
        over=axes.title(over),
        is_logarithmic=sweep_figures.is_numeric(sweep, over)
        and axes.is_logarithmic(sweep.grid[over]),
        answers=_answers(growths),
        growth=_growth_rows(growths),
        columns=[f"{figures[name].title}, {figures[name].unit}" for name in TABLE],
        rows=[_row(point, sweep.repeats) for point in sweep.shown],
        shared=_shared(sweep),
        expectations=expectations,
        expected_heads=expected.HEADS,
    )


def _answers(growths: list[Growth]) -> dict[str, str]:
    """Return, for the figure that matters most, a sentence for each line."""
    return {
        one.line or "all points": sweep_text.growth(one)
        for one in growths
        if one.figure is sweep_figures.LAB_CPU
    }


def _growth_rows(growths: list[Growth]) -> list[dict[str, str]]:
    return [
        {
            "figure": one.figure.title,
            "line": one.line or "all points",
            "cost": "not measured" if one.cost is None else sweep_text.interval(one.cost),
            "unit": one.figure.unit,
            "exponent": _exponent(one.exponent),
            "beyond": _exponent(one.exponent_beyond_least),
            "steps": "; ".join(
                f"{start:g} to {end:g}: {sweep_text.figure(cost)}"
                for start, end, cost in one.increments
            ),
        }
        for one in growths
    ]


def _exponent(fit: scaling.Fit | None) -> str:
    return "not measured" if fit is None else f"{fit.judgement} {sweep_text.interval(fit)}"


def _row(point: SweepPoint, repeats: int) -> dict[str, Any]:
    cells = []
    for name in TABLE:
        one = (point.figures or {}).get(name)
        cells.append(
            marked(written.number(one.median), at_least=bool(one.at_least))
            if one
            else written.NOT_MEASURED
        )
    return {
        "number": point.number,
        "label": grid.label(point.variables),
        "state": sweep_text.state(point, repeats),
        "tone": STATUS_TONE[point.status],
        "cells": cells,
        "runs": [run.run_id for run in point.runs if run.status not in (None, "no run")],
    }


def _shared(sweep: Sweep) -> dict[str, str]:
    hosts = {
        f"inventory group {group}": ", ".join(names)
        for group, names in sweep.hosts.items()
        if names
    }
    return {name: grid.written(value) for name, value in sweep.variables.items()} | hosts


def _chart(figure: sweep_figures.Figure, sweep: Sweep, lines: dict[str, list[SweepPoint]]) -> Chart:
    title = figure.title[0].upper() + figure.title[1:]
    return Chart(figure.name, title, "", curves(figure, sweep, lines))


def curves(
    figure: sweep_figures.Figure, sweep: Sweep, lines: dict[str, list[SweepPoint]]
) -> Figure | None:
    """Draw a figure over a variable, a line for each value of the others; None without any.

    A point that has no figure is a gap, never drawn across; the spread of repeats is a bar.
    """
    over = sweep_figures.variable(sweep)
    is_numeric = sweep_figures.is_numeric(sweep, over)
    traces: list[dict[str, Any]] = []
    for position, (name, points) in enumerate(lines.items()):
        found = [(point.figures or {}).get(figure.name) for point in points]
        if not any(found):
            continue
        colour = chart_style.COLOURS[position % len(chart_style.COLOURS)]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers" if is_numeric else "markers",
            "name": name or figure.title,
            "x": [
                point.variables[over] if is_numeric else grid.written(point.variables[over])
                for point in points
            ],
            "y": [chart_style.rounded(one.median) if one else None for one in found],
            "line": {"width": chart_style.LINE_WIDTH, "color": colour},
            "marker": {
                "symbol": [AT_LEAST_SYMBOL if _is_at_least(one) else "circle" for one in found],
            },
            "before": ["at least " if _is_at_least(one) else "" for one in found],
        }
        if any(one and one.runs > 1 for one in found):
            trace["error_y"] = {
                "array": [one.max - one.median if one else 0 for one in found],
                "arrayminus": [one.median - one.min if one else 0 for one in found],
            }
        traces.append(trace)
    if not traces:
        return None
    return {
        "unit": figure.unit,
        "x_unit": axes.title(over),
        "data": traces,
        "layout": {
            **chart_style.layout(figure.unit),
            "showlegend": len(lines) > 1,
            "xaxis": {
                "title": {"text": axes.title(over)},
                **(axes.axis(sweep.grid[over]) if is_numeric else {"type": "category"}),
            },
        },
    }


def _is_at_least(one: PointFigure | None) -> bool:
    return bool(one and one.at_least)
