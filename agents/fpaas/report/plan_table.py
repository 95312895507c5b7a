"""What was planned beside what was measured."""

from __future__ import annotations

from typing import Any

from fpaas.report.written import NOT_MEASURED, megabytes, number, pick, unread_share, with_unit
from fpaas.results.bundle import JsonObject


def plan_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Set what was planned beside what was measured."""
    plan = summary.get("plan") or {}
    if not plan:
        return []
    pairs: list[tuple[str, str, Any, Any]] = [
        ("offered", "/s", plan.get("offered_per_s"), pick(summary, "throughput", "offered_per_s")),
        (
            "processed, all consumers",
            "/s",
            plan.get("processed_per_s"),
            pick(summary, "throughput", "processed_per_s"),
        ),
        (
            "processed, a consumer (median)",
            "/s",
            plan.get("processed_per_consumer_per_s"),
            pick(summary, "throughput", "per_consumer_per_s", "p50"),
        ),
        *(
            (name.replace("_", " "), "", plan.get(name), pick(summary, "ledger", name))
            for name in ("owed", "delivered", "expired_unread", "pending_at_end")
        ),
        (
            "unread, of what is owed",
            "%",
            _per_cent(plan.get("unread_share")),
            _per_cent(unread_share(summary)),
        ),
        (
            "consumer lag, messages (planned: mean; measured: median)",
            "",
            plan.get("consumer_lag_mean"),
            pick(summary, "jetstream", "consumer_lag", "p50"),
        ),
        (
            "stream, messages",
            "",
            plan.get("stream_messages"),
            pick(summary, "jetstream", "messages"),
        ),
        (
            "stream, size",
            "MB",
            megabytes(plan.get("stream_bytes")),
            megabytes(pick(summary, "jetstream", "bytes")),
        ),
        (
            "memory of NATS, most",
            "MB",
            plan.get("nats_rss_mb"),
            pick(summary, "resources", "processes", "nats", "rss_mb", "max"),
        ),
        (
            "frame, mean size",
            "bytes",
            plan.get("frame_bytes_mean"),
            pick(summary, "message_bytes", "mean"),
        ),
        (
            "connections of consumers",
            "",
            plan.get("connections"),
            pick(summary, "connections", "count"),
        ),
    ]
    return [
        {
            "name": name,
            "planned": _measured(planned, unit),
            "measured": _measured(measured, unit),
            "ratio": _ratio(measured, planned),
        }
        for name, unit, planned, measured in pairs
    ]


def _per_cent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _measured(value: Any, unit: str) -> str:  # noqa: ANN401
    if value is None:
        return NOT_MEASURED
    return f"{number(value)}{unit}" if unit == "/s" else with_unit(value, unit).rstrip()


def _ratio(measured: Any, planned: Any) -> str:  # noqa: ANN401
    if not isinstance(measured, int | float) or not isinstance(planned, int | float):
        return ""
    if not planned:
        return "as planned" if not measured else ""
    difference_pct = 100 * (measured - planned) / planned
    return "±0 %" if abs(difference_pct) < 0.05 else f"{difference_pct:+.1f} %"
