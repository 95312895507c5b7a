"""Charts of percentiles, with what clocks and open calls leave uncertain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hdrh.histogram import HdrHistogram

from fpaas.measures.histogram_log import HIGHEST_US
from fpaas.measures.histograms import Leg, new_histogram
from fpaas.report.chart_style import LINE_WIDTH, LINE_WIDTHS, Figure, layout, rounded, styles_of

#: Percentiles of the curves: this many to each further nine.
POINTS_PER_NINE = 20
PERCENTILE_TICKS = {1: "0", 2: "50", 10: "90", 100: "99", 1_000: "99.9", 10_000: "99.99"}
#: The axis is logarithmic: a microsecond stands for nothing.
DRAWN_MIN_MS = 0.001


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

    The part below its bound is dotted: not resolvable. A curve is dashed from the first percentile
    on that open calls could change: at least that. None if no leg has samples.
    """
    drawn = {name: curve for name, curve in curves.items() if curve.points}
    if not drawn:
        return None
    traces: list[dict[str, Any]] = []
    for style, (name, curve) in zip(styles_of(list(drawn)), drawn.items(), strict=True):
        colour = style["color"]
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
