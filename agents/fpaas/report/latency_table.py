"""Percentiles of every leg, each with what the clocks allow to be said."""

from __future__ import annotations

from typing import Any

from fpaas.report.written import number, with_unit
from fpaas.results.bundle import JsonObject
from fpaas.results.figures import resolvable
from fpaas.results.leg_kinds import LEGS

NOT_RESOLVABLE = "not resolvable"


def latency_rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return a row of written percentiles for each leg, contract's legs always among them."""
    measured = summary.get("latency_ms") or {}
    always = ("publish_ack", "publish_to_first_fetch", "end_to_end", "fetch_call")
    names = [name for name in LEGS if name in measured or name in always]
    names += sorted(set(measured) - set(LEGS))
    rows = []
    for name in names:
        leg = measured.get(name) or {}
        bound_ms = leg.get("clock_error_ms")
        rows.append(
            {
                "name": name,
                "meaning": LEGS[name].meaning if name in LEGS else "",
                "is_measured": bool(leg.get("count")),
                "count": number(leg.get("count")),
                "negative_count": number(leg.get("negative_count")),
                "values": [
                    _latency(leg.get(column), bound_ms)
                    for column in ("min", "p50", "p90", "p99", "p999", "max")
                ],
                "clock": "one clock" if bound_ms == 0 else with_unit(bound_ms, "ms"),
            }
        )
    return rows


def _latency(value_ms: float | None, bound_ms: float | None) -> str:
    """Write a latency; one below what the clocks can tell apart is not resolvable."""
    if value_ms is not None and bound_ms is not None and not resolvable(value_ms, bound_ms):
        return NOT_RESOLVABLE
    return number(value_ms)
