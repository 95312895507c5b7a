"""Charts of a run as plotly figures: plain dictionaries of traces and a layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fpaas.measures.histograms import Leg
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
}
#: Percentiles of the curves: this many to each further nine.
POINTS_PER_NINE = 20
PERCENTILE_TICKS = {1: "0", 2: "50", 10: "90", 100: "99", 1_000: "99.9", 10_000: "99.99"}
BANDS_COLOUR = "rgba(80, 90, 110, 0.10)"
LINE_WIDTH = 1.6
#: Lines that usually lie on each other: the wider ones below.
LINE_WIDTHS = {"offered": 6.0, "read": 3.5, "publish_to_fetch": 4.5}


def time_chart(lines: Mapping[str, Series], unit: str, run: RunSeries) -> Figure | None:
    """Draw lines over seconds since T0, warm-up and draining shaded; None where all are empty."""
    traces: list[dict[str, Any]] = []
    for position, (name, (x, y)) in enumerate(lines.items()):
        if not x:
            continue
        thin_x, thin_y = downsample(x, y)
        colour = COLOUR_OF.get(name.split(" ")[0], COLOURS[position % len(COLOURS)])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [round(value, 2) for value in thin_x],
                "y": [rounded(value) for value in thin_y],
                "line": {"width": LINE_WIDTHS.get(name, LINE_WIDTH), "color": colour},
                "hovertemplate": f"%{{y:,.6~g}} {unit}<extra>%{{fullData.name}}</extra>",
            }
        )
    if not traces:
        return None
    first_x: float = min(0.0, *(trace["x"][0] for trace in traces))
    last_x: float = max(run.end_s, *(trace["x"][-1] for trace in traces))
    return {
        "data": traces,
        "layout": {
            **layout(unit),
            "xaxis": {
                "title": {"text": "seconds since T0", "standoff": 6},
                "range": [first_x, last_x],
                "zeroline": False,
                "gridcolor": "#eceff3",
            },
            "shapes": _bands(run),
            "annotations": _band_labels(run),
            "hovermode": "x unified",
        },
    }


def percentile_chart(legs: Mapping[str, Leg]) -> Figure | None:
    """Draw each leg's percentiles, in ms, over 1 / (1 - p); None where no leg has samples."""
    traces: list[dict[str, Any]] = []
    for position, (name, leg) in enumerate(legs.items()):
        curve = percentile_curve(leg)
        if not curve:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [rounded(1 / (1 - share)) for share, _ in curve],
                "y": [rounded(value_ms) for _, value_ms in curve],
                "text": [f"{100 * share:.6g}" for share, _ in curve],
                "line": {
                    "width": LINE_WIDTHS.get(name, LINE_WIDTH),
                    "shape": "hv",
                    "color": COLOURS[position % len(COLOURS)],
                },
                "hovertemplate": ("%{text} % within %{y:,.4~g} ms<extra>%{fullData.name}</extra>"),
            }
        )
    if not traces:
        return None
    largest = max(trace["x"][-1] for trace in traces)
    ticks = {x: text for x, text in PERCENTILE_TICKS.items() if x <= max(largest, 100)}
    return {
        "data": traces,
        "layout": {
            **layout("ms"),
            "height": 380,
            "xaxis": {
                "title": {"text": "per cent of the samples", "standoff": 6},
                "type": "log",
                "tickvals": list(ticks),
                "ticktext": list(ticks.values()),
                "gridcolor": "#eceff3",
            },
            "yaxis": {
                "title": {"text": "ms", "standoff": 6},
                "type": "log",
                "dtick": 1,
                "gridcolor": "#eceff3",
                "exponentformat": "none",
                "separatethousands": True,
            },
        },
    }


def percentile_curve(leg: Leg) -> list[tuple[float, float]]:
    """Return (share of all samples, ms) up to the last sample.

    Negative samples count in the shares, and are not drawn: the axis is logarithmic.
    """
    count, negative = leg.count, leg.negative_count
    if count == negative:
        return []
    points = math.ceil(POINTS_PER_NINE * math.log10(count)) + 1
    shares = [1 - 10 ** (-point / POINTS_PER_NINE) for point in range(points)]
    # Ranks among all samples, as percentiles among those that are not negative.
    percentiles = {
        share: 100 * (share * count - negative) / (count - negative)
        for share in shares
        if share * count >= negative
    }
    values_us = leg.positive.get_percentile_to_value_dict(list(percentiles.values()))
    return [
        (share, max(values_us[percentile], 1) / 1000)
        for share, percentile in percentiles.items()
        if percentile in values_us
    ]


def layout(unit: str) -> dict[str, Any]:
    """Return what all charts have in common; `unit` is the y axis's title."""
    return {
        "margin": {"l": 62, "r": 12, "t": 24, "b": 44},
        "height": 320,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#1d2733"},
        "legend": {"orientation": "h", "x": 0, "y": -0.22, "yanchor": "top"},
        "showlegend": True,
        "hoverlabel": {"namelength": -1},
        "yaxis": {
            "title": {"text": unit, "standoff": 6},
            "rangemode": "tozero",
            "gridcolor": "#eceff3",
            "zerolinecolor": "#c9d0d9",
            "separatethousands": True,
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
            "fillcolor": BANDS_COLOUR,
            "line": {"width": 0},
            "layer": "below",
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
            "showarrow": False,
            "font": {"size": 11, "color": "#5a6675"},
        }
        for name, start, end in _edges(run)
    ]


def rounded(value: float) -> float:
    """Five significant digits: what a screen can show, in fewer bytes."""
    return float(f"{value:.5g}")
