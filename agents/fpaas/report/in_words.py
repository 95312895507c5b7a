"""A chart in words, for readers who cannot see it: from where to where each line goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpaas.report.written import number


def of_figure(figure: Mapping[str, Any]) -> str:
    """Return a sentence for each named line: its least, its most, and its last value."""
    lines: dict[str, list[float]] = {}
    for trace in figure["data"]:
        if trace.get("hoverinfo") != "skip":
            lines.setdefault(trace["name"], []).extend(y for y in trace["y"] if y is not None)
    unit = figure["unit"]
    sentences = [
        f"{name}: least {number(min(y))}, most {number(max(y))}, at the end {number(y[-1])} {unit}."
        for name, y in lines.items()
        if y
    ]
    return f"Over {figure['layout']['xaxis']['title']['text']}. {' '.join(sentences)}"
