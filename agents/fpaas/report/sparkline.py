"""A line as small as a word: how a figure moved from run to run, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from fpaas.agreement import count_of
from fpaas.report.written import number

WIDTH_PX = 120
HEIGHT_PX = 28
MARGIN_PX = 4


def svg(values: Sequence[float | None], title: str) -> Markup:
    """Draw values evenly spaced, a gap for each None, a dot on the last; empty without values."""
    measured = [value for value in values if value is not None]
    if not measured:
        return Markup()
    low, high = min(measured), max(measured)
    lines: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            lines.append([])
            continue
        x = MARGIN_PX + (WIDTH_PX - 2 * MARGIN_PX) * (at / (len(values) - 1) if at else 0)
        share = (value - low) / (high - low) if high > low else 0.5
        y = HEIGHT_PX - MARGIN_PX - (HEIGHT_PX - 2 * MARGIN_PX) * share
        lines[-1].append(f"{x:.1f},{y:.1f}")
    drawn = [line for line in lines if line]
    last_x, last_y = drawn[-1][-1].split(",")
    words = (
        f"{title}: {count_of(len(measured), 'run|runs')}, least {number(low)}, most "
        f"{number(high)}, "
        f"the last {number(measured[-1])}"
    )
    marks = Markup().join(
        Markup('<polyline points="{}"/>').format(" ".join(line))
        if len(line) > 1
        else Markup('<circle class="alone" cx="{}" cy="{}" r="1.2"/>').format(*line[0].split(","))
        for line in drawn
    )
    return Markup(
        '<svg class="spark" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">'
        '{}<circle cx="{}" cy="{}" r="2.5"/></svg>'
    ).format(words, WIDTH_PX, HEIGHT_PX, WIDTH_PX, HEIGHT_PX, marks, last_x, last_y)
