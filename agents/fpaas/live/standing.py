"""How a run's goals stand, while it goes on and after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpaas.latency.lower_bounds import is_goal_at_least
from fpaas.spec import RunSpec

#: From this share of its limit on, a goal is in danger.
DANGER_SHARE = 0.8
OK, DANGER, MISSED, LATER = "ok so far", "in danger", "missed so far", "known at the end"


@dataclass(frozen=True)
class Goal:
    """A goal, and how it stands; None: not measured yet."""

    name: str
    limit: float
    measured: float | None
    state: str
    #: Whether calls without an answer could make it larger.
    at_least: bool = False


def so_far(run: RunSpec, known: Mapping[str, float | None]) -> list[Goal]:
    """Hold what is known by now, by its goal's name without `_max`, against the goals."""
    goals = []
    for name, limit in (run.scenario.goals or {}).items():
        if limit is None:
            continue
        measured = known.get(name.removesuffix("_max")) if name.endswith("_max") else None
        goals.append(Goal(name, limit, measured, _state(measured, limit)))
    return goals


def _state(measured: float | None, limit: float) -> str:
    if measured is None:
        return LATER
    if measured > limit:
        return MISSED
    return DANGER if limit and measured > DANGER_SHARE * limit else OK


def at_end(summary: Mapping[str, Any]) -> list[Goal]:
    """Return the goals of a reported run."""
    return [
        Goal(
            one["name"],
            one["limit"],
            one["measured"],
            one["status"],
            at_least=is_goal_at_least(summary, one["name"]),
        )
        for one in summary.get("goals") or []
    ]
