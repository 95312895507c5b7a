"""A line of blocks: how a figure moved, in the room of a word. Pure."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = " "


def line(values: Sequence[float | None], width: int, low: float | None = None) -> str:
    """Draw the last `width` values, from `low`, or the least, to the most; a gap for each None."""
    last = values[-width:]
    measured = [value for value in last if value is not None]
    if not measured:
        return ""
    low, high = min(measured) if low is None else low, max(measured)
    steps = len(BLOCKS) - 1
    return "".join(
        GAP
        if value is None
        else BLOCKS[round((value - low) / (high - low) * steps) if high > low else steps // 2]
        for value in last
    )
