"""Percentiles of every leg, with what the clocks allow to be said, and what they count."""

from __future__ import annotations

from typing import Any

from fpaas.bundle.parts import JsonObject
from fpaas.latency.leg_kinds import LEGS
from fpaas.latency.lower_bounds import marked
from fpaas.measures.figures import resolvable
from fpaas.report.written import NOT_MEASURED, number, with_unit
from fpaas.text import leg_words

NOT_RESOLVABLE = "not resolvable"
COLUMNS = ("min", "p50", "p90", "p99", "p999", "max")


def latency_rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return a row of written percentiles for each leg, the headline legs always among them."""
    measured = summary.get("latency_ms") or {}
    names = [name for name, kind in LEGS.items() if name in measured or kind.is_headline]
    names += sorted(set(measured) - set(LEGS))
    rows = []
    for name in names:
        leg = measured.get(name) or {}
        bound_ms = leg.get("clock_error_ms")
        rows.append(
            {
                "name": name,
                "meaning": LEGS[name].meaning if name in LEGS else "",
                "assigned_by": leg_words.ASSIGNED_BY.get(str(leg.get("assigned_by")), ""),
                "is_measured": leg_words.is_measured(leg),
                "absent": "no samples" if leg.get("count") == 0 else NOT_MEASURED,
                "count": number(leg.get("count")),
                "due_count": _count(leg, "due_count"),
                "open_count": _count(leg, "open_count"),
                "negative_count": number(leg.get("negative_count")),
                "values": [_latency(leg, column) for column in COLUMNS],
                "clock": "one clock" if bound_ms == 0 else with_unit(bound_ms, "ms"),
                "remarks": list(leg_words.remarks(name, leg, number)) if name in LEGS else [],
            }
        )
    return rows


def _count(leg: JsonObject, name: str) -> str:
    """Write a count that not every leg has."""
    return "" if leg.get(name) is None else number(leg[name])


def _latency(leg: JsonObject, column: str) -> str:
    """Write a latency; one below what the clocks can tell apart is not resolvable."""
    value_ms, bound_ms = leg.get(column), leg.get("clock_error_ms")
    if value_ms is not None and bound_ms is not None and not resolvable(value_ms, bound_ms):
        return NOT_RESOLVABLE
    return marked(number(value_ms), at_least=column in (leg.get("at_least") or {}))
