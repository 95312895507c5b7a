"""Charts over a run's time: its phases shaded, its events marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpaas.records.summary import Event
from fpaas.report.chart_style import LINE_WIDTH, LINE_WIDTHS, Figure, colour_of, layout, rounded
from fpaas.report.series import RunSeries, Series, downsample

#: The share of a chart's width that a label takes.
EVENT_ROOM = 0.16


def time_chart(
    lines: Mapping[str, Series], unit: str, run: RunSeries, events: Sequence[Event] = ()
) -> Figure | None:
    """Draw lines over seconds since T0, warm-up and draining shaded; None if all are empty.

    `events` are marked, by a band what lasted; those close together have one label.
    """
    traces: list[dict[str, Any]] = []
    for position, (name, (x, y)) in enumerate(lines.items()):
        if not x:
            continue
        thin_x, thin_y = downsample(x, y)
        colour = colour_of(name, position)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [round(value, 2) for value in thin_x],
                "y": [rounded(value) for value in thin_y],
                "line": {"width": LINE_WIDTHS.get(name, LINE_WIDTH), "color": colour},
            }
        )
    if not traces:
        return None
    first_x: float = min(0.0, *(trace["x"][0] for trace in traces))
    last_x: float = max(run.end_s, *(trace["x"][-1] for trace in traces))
    return {
        "unit": unit,
        "x_unit": "s",
        "data": traces,
        "layout": {
            **layout(unit),
            "xaxis": {"title": {"text": "seconds since T0"}, "range": [first_x, last_x]},
            "shapes": [*_bands(run), *_event_spans(events), *_event_lines(events)],
            "annotations": [*_band_labels(run), *_event_labels(events, last_x - first_x)],
        },
    }


def _edges(run: RunSeries) -> list[tuple[str, float, float]]:
    edges = [("warm-up", 0.0, run.warmup_s), ("draining", run.offer_s, run.end_s)]
    return [(name, start, end) for name, start, end in edges if end > start]


def _bands(run: RunSeries) -> list[dict[str, Any]]:
    return [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": start,
            "x1": end,
            "y0": 0,
            "y1": 1,
            "name": "phase",
        }
        for _, start, end in _edges(run)
    ]


def _band_labels(run: RunSeries) -> list[dict[str, Any]]:
    return [
        {
            "text": name,
            "x": (start + end) / 2,
            "xref": "x",
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "name": "phase",
        }
        for name, start, end in _edges(run)
    ]


def _event_spans(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Mark the time that something lasted, once though several saw it."""
    spans: list[tuple[float, float]] = []
    for event in sorted(events, key=lambda event: event.at_s):
        if event.end_s is None or event.end_s == event.at_s:
            continue
        if spans and event.at_s <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], event.end_s))
        else:
            spans.append((event.at_s, event.end_s))
    return [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": begin_s,
            "x1": end_s,
            "y0": 0,
            "y1": 1,
            "name": "event",
        }
        for begin_s, end_s in spans
    ]


def _event_lines(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {
            "type": "line",
            "xref": "x",
            "yref": "paper",
            "x0": at_s,
            "x1": at_s,
            "y0": 0,
            "y1": 1,
            "name": "event",
        }
        for at_s in dict.fromkeys(event.at_s for event in events)
    ]


def _event_labels(events: Sequence[Event], width_s: float) -> list[dict[str, Any]]:
    """Label events, as many as there is room for: one label for those that lie close together."""
    groups: list[list[Event]] = []
    for event in events:
        if groups and event.at_s - groups[-1][0].at_s < width_s * EVENT_ROOM:
            groups[-1].append(event)
        else:
            groups.append([event])
    return [
        {
            "text": group[0].short + (f" +{len(group) - 1}" if len(group) > 1 else ""),
            "hovertext": "\n".join(event.short for event in group[:10]),
            "x": group[0].at_s,
            "xref": "x",
            "xanchor": "left",
            "y": 0.99,
            "yref": "paper",
            "yanchor": "top",
            "name": "event",
        }
        for group in groups
    ]
