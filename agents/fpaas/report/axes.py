"""Axes of charts over a sweep's variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: A variable whose values are further apart than this is drawn on a logarithmic axis.
LINEAR_RANGE_MAX = 20
TITLES = {
    "bench_consumers": "consumers",
    "bench_poll_interval_s": "seconds between polls",
}


def title(variable: str) -> str:
    """Say what a variable counts."""
    return TITLES.get(variable, variable)


def axis(values: Sequence[float]) -> dict[str, Any]:
    """Return an axis with a tick at each value, logarithmic if they are far apart."""
    ticks = sorted(values)
    return {
        "type": "log" if is_logarithmic(values) else "linear",
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values are too far apart for a linear axis."""
    return 0 < min(values) * LINEAR_RANGE_MAX < max(values)
