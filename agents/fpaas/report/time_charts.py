"""Charts over a run's time: its phases shaded, its events marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpaas.records.events import FAULT
from fpaas.records.summary import Event
from fpaas.report.chart_style import LINE_WIDTH, LINE_WIDTHS, Figure, layout, rounded, styles_of
from fpaas.report.series import RunSeries, Series, downsample


def time_chart(
    lines: Mapping[str, Series], unit: str, run: RunSeries, events: Sequence[Event] = ()
) -> Figure | None:
    """Draw lines over seconds since T0, warm-up and draining shaded; None if all are empty.

    `events` are marked, by a band what lasted. Their labels are drawn where there is room.
    """
    traces: list[dict[str, Any]] = []
    drawn = {name: series for name, series in lines.items() if series[0]}
    for style, (name, (x, y)) in zip(styles_of(list(drawn)), drawn.items(), strict=True):
        thin_x, thin_y = downsample(x, y)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [round(value, 2) for value in thin_x],
                "y": [rounded(value) for value in thin_y],
                "line": {"width": LINE_WIDTHS.get(name, LINE_WIDTH), **style},
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
            "annotations": _band_labels(run),
            "events": [[e.at_s, e.short, e.source == FAULT] for e in events],
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
