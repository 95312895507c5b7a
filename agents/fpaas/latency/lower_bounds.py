"""Figures that are lower bounds: calls that were never answered could make them larger. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpaas.latency.leg_kinds import LEGS
from fpaas.records.paths import pick

#: Stands before a figure that could be larger.
MARK = "≥ "
GOAL_ENDS = ("_max", "_min")


def is_at_least(summary: Mapping[str, Any], path: str) -> bool:
    """Whether the figure at a dotted path of summary.json is a lower bound."""
    *parents, name = path.split(".")
    bounds = pick(summary, *parents, "at_least")
    return isinstance(bounds, Mapping) and name in bounds


def is_goal_at_least(summary: Mapping[str, Any], goal: str) -> bool:
    """Whether what was measured for a goal, `<leg>_<percentile>_ms_max`, is a lower bound.

    A goal of one class has its name before that, with a dot.
    """
    consumers, dot, figure = goal.rpartition(".")
    legs = f"classes.{consumers}.latency_ms" if dot else "latency_ms"
    for end in GOAL_ENDS:
        leg, _, percentile = figure.removesuffix(f"_ms{end}").rpartition("_")
        if figure.endswith(end) and leg in LEGS:
            return is_at_least(summary, f"{legs}.{leg}.{percentile}")
    return False


def marked(written: str, *, at_least: bool) -> str:
    """Write a figure, with its mark if it is a lower bound."""
    return f"{MARK}{written}" if at_least else written
