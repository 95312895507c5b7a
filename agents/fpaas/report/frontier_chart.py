"""The frontier of the points that hold, drawn over both variables."""

from __future__ import annotations

from typing import Any

from fpaas.records.sweep import Sweep
from fpaas.report import axes, chart_style
from fpaas.report.chart_style import Figure
from fpaas.report.document import Chart
from fpaas.search import frontier_played
from fpaas.search.frontier import Row


def chart(sweep: Sweep) -> Chart:
    """Draw it; without a figure as long as there is none."""
    return Chart(
        "frontier",
        "Frontier",
        "Loads on the solid line and on its lighter side hold; those on the dashed line and beyond "
        "do not.",
        _figure(sweep),
    )


def _figure(sweep: Sweep) -> Figure | None:
    rows = frontier_played.state(sweep)
    if not isinstance(rows, list):
        return None
    first, second = frontier_played.variables(sweep)
    grid = frontier_played.grid(sweep)
    # Heaviest first: between two rows, what holds at the heavier one does, and what does not at the
    # lighter one does not.
    rows = rows[::-1]
    holding, stopped = [row.holds_at for row in rows], [row.stopped_at for row in rows]
    inside = _trace(
        "inside: holds",
        rows,
        holding,
        {"color": chart_style.COLOURS[2], "shape": "hv", "dash": "solid"},
    )
    traces = [inside]
    if None not in holding:
        lightest: list[float | None] = [min(grid.columns)] * len(rows)
        base = {**inside, "y": lightest, "mode": "lines", "showlegend": False, "hoverinfo": "skip"}
        base["line"] = {**inside["line"], "width": 0}
        traces = [base, {**base, "y": holding, "fill": "tonexty"}, inside]
    if any(value is not None for value in stopped):
        line = {"color": chart_style.COLOURS[1], "shape": "vh", "dash": "dash"}
        traces.append(_trace("outside: does not hold", rows, stopped, line))
    return {
        "unit": axes.title(first),
        "x_unit": axes.title(second),
        "data": traces,
        "layout": {
            **chart_style.layout(axes.title(first)),
            "showlegend": True,
            "xaxis": {"title": {"text": axes.title(second)}, **axes.axis(grid.rows)},
            "yaxis": {"title": {"text": axes.title(first)}, **axes.axis(grid.columns)},
        },
    }


def _trace(
    name: str, rows: list[Row], values: list[float | None], line: dict[str, str]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [row.value for row in rows],
        "y": values,
        "line": {"width": chart_style.LINE_WIDTH, **line},
        "marker": {"symbol": ["circle"] * len(rows)},
    }
