"""Charts of a run: plain dictionaries of traces and a layout. `templates/charts.js` draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hdrh.histogram import HdrHistogram

from fpaas.measures.histogram_log import HIGHEST_US
from fpaas.measures.histograms import Leg, new_histogram
from fpaas.records.summary import Event
from fpaas.report.series import RunSeries, Series, downsample

Figure = dict[str, Any]

#: Okabe and Ito's colours: told apart by colour-blind readers, and on a grey print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d", "#a6761d")
#: The same thing has the same colour in every chart.
COLOUR_OF = {
    "offered": "#c3ccd6",
    "read": COLOURS[4],
    "published": COLOURS[0],
    "processed": COLOURS[2],
    "nats": COLOURS[0],
    "consumers": COLOURS[2],
    "shuffler": COLOURS[1],
    "relay": COLOURS[6],
    "probe": COLOURS[3],
    # Groups that are compared.
    "A": COLOURS[0],
    "B": COLOURS[1],
}
#: Percentiles of the curves: this many to each further nine.
POINTS_PER_NINE = 20
PERCENTILE_TICKS = {1: "0", 2: "50", 10: "90", 100: "99", 1_000: "99.9", 10_000: "99.99"}
#: Of a chart's width, what a label takes.
EVENT_ROOM = 0.16
LINE_WIDTH = 1.6
#: The axis is logarithmic: a microsecond stands for nothing.
DRAWN_MIN_MS = 0.001
#: Lines that usually lie on each other: the wider ones below.
LINE_WIDTHS = {"offered": 6.0, "read": 3.5, "publish_to_fetch": 4.5}


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
        colour = _colour(name, position)
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


def _colour(name: str, position: int) -> str:
    return COLOUR_OF.get(name.split(" ", maxsplit=1)[0], COLOURS[position % len(COLOURS)])


class Point(NamedTuple):
    """A percentile: `ms` of a share of the samples.

    If open calls could change it, `ms` is the least and `highest_ms` the most that it can be, None
    if nothing bounds it.
    """

    share: float
    ms: float
    is_at_least: bool = False
    highest_ms: float | None = None


@dataclass(frozen=True)
class Curve:
    """A leg's percentiles, and how far clocks may be off (± ms)."""

    points: list[Point]
    bound_ms: float | None


def percentile_chart(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw each leg's percentiles, in ms, over 1 / (1 - p), with its bound as a band around it.

    What lies below its bound is dotted: not resolvable. A curve is dashed from the first percentile
    on that open calls could change: at least that. None if no leg has samples.
    """
    drawn = {name: curve for name, curve in curves.items() if curve.points}
    if not drawn:
        return None
    traces: list[dict[str, Any]] = []
    for position, (name, curve) in enumerate(drawn.items()):
        colour = _colour(name, position)
        if curve.bound_ms:
            traces += _band(name, curve.points, curve.bound_ms, colour)
        traces += _curve_lines(name, curve, colour)
    largest = max(1 / (1 - curve.points[-1].share) for curve in drawn.values())
    ticks = {x: text for x, text in PERCENTILE_TICKS.items() if x <= max(largest, 100)}
    return {
        "unit": "ms",
        "data": traces,
        "layout": {
            **layout("ms"),
            "height": 380,
            "xaxis": {
                "title": {"text": "per cent of the samples"},
                "type": "log",
                "tickvals": list(ticks),
                "ticktext": list(ticks.values()),
            },
            "yaxis": {"title": {"text": "ms"}, "type": "log"},
            **_unresolvable_region(drawn),
        },
    }


def _curve_lines(name: str, curve: Curve, colour: str) -> list[dict[str, Any]]:
    """Return the part below the bound, dotted, the part that is a lower bound, dashed, the rest.

    All have the legend's one entry.
    """
    bound_ms = curve.bound_ms or 0.0
    points, count = curve.points, len(curve.points)
    exact = next((at for at in range(count) if points[at].is_at_least), count)
    parts = [
        ("dot", [point for point in points[:exact] if abs(point.ms) < bound_ms]),
        ("solid", [point for point in points[:exact] if abs(point.ms) >= bound_ms]),
        # From the last exact point on, so that there is no gap.
        ("dash", points[max(0, exact - 1) :] if exact < count else []),
    ]
    lines: list[dict[str, Any]] = []
    for dash, points in parts:
        if not points:
            continue
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "legendgroup": name,
                "showlegend": not lines,
                "x": [rounded(1 / (1 - point.share)) for point in points],
                "y": [rounded(point.ms) for point in points],
                "heads": [f"{100 * point.share:.6g} % within" for point in points],
                "line": {
                    "width": LINE_WIDTHS.get(name, LINE_WIDTH),
                    "shape": "hv",
                    "color": colour,
                    "dash": dash,
                },
                "before": "at least " if dash == "dash" else "",
                "after": (f" ± {bound_ms:.2g} ms" if bound_ms else "")
                + (" (not resolvable)" if dash == "dot" else ""),
            }
        )
    return lines


def _band(name: str, points: list[Point], bound_ms: float, colour: str) -> list[dict[str, Any]]:
    """Return the edges of ± the bound, the room between them filled."""
    x = [rounded(1 / (1 - point.share)) for point in points]
    edge = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": False,
        "hoverinfo": "skip",
        "x": x,
        "line": {"width": 0, "shape": "hv", "color": colour},
    }
    return [
        {**edge, "y": [rounded(max(point.ms - bound_ms, DRAWN_MIN_MS)) for point in points]},
        {
            **edge,
            "y": [rounded(point.ms + bound_ms) for point in points],
            "fill": "tonexty",
        },
    ]


def _unresolvable_region(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return a shape and its label where legs between clocks cannot be told from nothing."""
    bounds = [curve.bound_ms for curve in curves.values() if curve.bound_ms]
    if not bounds:
        return {}
    bound_ms = max(bounds)
    return {
        "shapes": [
            {
                "type": "rect",
                "xref": "paper",
                "yref": "y",
                "x0": 0,
                "x1": 1,
                "y0": DRAWN_MIN_MS,
                "y1": bound_ms,
                "name": "phase",
            }
        ],
        "annotations": [
            {
                "text": f"not resolvable between clocks: below ± {bound_ms:.2g} ms",
                "xref": "paper",
                "yref": "y",
                "x": 1,
                "xanchor": "right",
                "y": bound_ms,
                "yanchor": "top",
                "name": "phase",
            }
        ],
    }


def percentile_curve(leg: Leg) -> list[Point]:
    """Return percentiles up to the last sample; calls without answer count with their ages.

    Negative samples count in the shares, and are not drawn: the axis is logarithmic.
    """
    total, negative = leg.count + leg.open_count, leg.negative_count
    if total == negative:
        return []
    answered = leg.count - leg.beyond - negative
    shares = [
        1 - 10 ** (-point / POINTS_PER_NINE)
        for point in range(math.ceil(POINTS_PER_NINE * math.log10(total)) + 1)
    ]
    ranks = {
        share: max(1, math.ceil(share * total - 1e-9)) - negative
        for share in shares
        if share * total >= negative
    }
    least_ms = _ms_at_ranks(leg.positive, ranks.values())
    highest_ms: dict[int, float | None] = {
        rank: value for rank, value in least_ms.items() if rank <= answered
    }
    if leg.open is not None:
        both = new_histogram()
        both.add(leg.positive)
        both.add(leg.open)
        least_ms = _ms_at_ranks(both, ranks.values())
    found = []
    for share, rank in ranks.items():
        least, highest = least_ms[max(1, rank)], highest_ms.get(max(1, rank))
        is_exact = least == highest
        found.append(Point(share, least, not is_exact, None if is_exact else highest))
    return found


def _ms_at_ranks(histogram: HdrHistogram, ranks: Iterable[int]) -> dict[int, float]:
    """Return the samples of ranks, from 1 on, in ms; beyond the last it is the range's end."""
    total = histogram.get_total_count()
    # Half a rank below: percentile arithmetic in floats must not round up to the next sample.
    percentiles = {max(1, rank): 100 * (max(1, rank) - 0.25) / max(1, total) for rank in ranks}
    within = [percentile for rank, percentile in percentiles.items() if rank <= total]
    values_us = histogram.get_percentile_to_value_dict(within)
    return {
        rank: max(values_us.get(percentile, HIGHEST_US) / 1000, DRAWN_MIN_MS)
        for rank, percentile in percentiles.items()
    }


def layout(unit: str) -> dict[str, Any]:
    """Return what all charts have in common; `unit` is the y axis's title."""
    return {
        "height": 300,
        "showlegend": True,
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
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


def rounded(value: float) -> float:
    """Five significant digits: what a screen can show, in fewer bytes."""
    return float(f"{value:.5g}")
