"""The scenario's goals, each beside what was measured."""

from __future__ import annotations

from typing import Any

from fpaas.bundle.parts import JsonObject
from fpaas.latency.lower_bounds import is_goal_at_least, marked
from fpaas.report.written import NOT_MEASURED
from fpaas.verdict import goals

MARKS = {
    goals.MET: "✓",
    goals.MISSED: "✗",
    goals.RULED_OUT: "·",
    goals.NOT_MEASURED: "?",
}


def goal_rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return a row for each goal, written."""
    return [
        {
            "meaning": goal["meaning"],
            "name": goal["name"],
            "limit": f"{goal['comparison']} {goals.written(goal['limit'], goal['unit'])}",
            "measured": NOT_MEASURED
            if goal["measured"] is None
            else marked(
                goals.written(goal["measured"], goal["unit"]),
                at_least=is_goal_at_least(summary, goal["name"]),
            ),
            "status": goal["status"],
            "tone": goal["status"].replace(" ", "-"),
            "mark": MARKS.get(goal["status"], "?"),
            "why": "; ".join(goal["why"]),
        }
        for goal in summary.get("goals") or []
    ]
