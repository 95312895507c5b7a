"""Plan and measurement, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpaas.bundle.parts import JsonObject
from fpaas.records.paths import pick
from fpaas.report.written import NOT_MEASURED, megabytes, number, size, with_unit


def plan_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Set what was planned beside what was measured."""
    plan = summary.get("plan") or {}
    if not plan:
        return []
    return [
        {
            "name": name,
            "planned": _measured(planned, unit),
            "measured": _measured(measured, unit),
            "ratio": _ratio(measured, planned),
        }
        for name, unit, planned, measured in _pairs(plan, summary)
    ] + [_in_flight(plan, summary)]


def _pairs(plan: JsonObject, summary: JsonObject) -> Iterator[tuple[str, str, Any, Any]]:
    """Iterate over (what, unit, planned, measured)."""

    def measured(*path: str) -> Any:  # noqa: ANN401
        return pick(summary, *path)

    owed = measured("ledger", "owed")
    yield "offered", "/s", plan.get("offered_per_s"), measured("throughput", "offered_per_s")
    processed = measured("throughput", "processed_per_s")
    yield "processed, all consumers", "/s", plan.get("processed_per_s"), processed
    # Of classes that poll differently, the plan's mean says nothing of a median.
    if not summary.get("classes"):
        planned = plan.get("processed_per_consumer_per_s")
        median = measured("throughput", "per_consumer_per_s", "p50")
        yield "processed, a consumer (median)", "/s", planned, median
    for name in ("owed", "delivered", "expired_unread", "pending_at_end"):
        yield name.replace("_", " "), "", plan.get(name), measured("ledger", name)
    for name in ("expired_unread", "pending_at_end"):
        yield (
            f"{name.replace('_', ' ')}, of what is owed",
            "%",
            _share_pct(plan.get(name), plan.get("owed")),
            _share_pct(measured("ledger", name), owed),
        )
    lag = measured("jetstream", "consumer_lag", "mean")
    yield "consumer lag when the relay stops, mean", "", plan.get("consumer_lag_mean"), lag
    held = measured("jetstream", "messages")
    yield "messages in the stream then", "", plan.get("stream_messages"), held
    held_mb = megabytes(measured("jetstream", "bytes"))
    yield "size of the stream then", "MB", megabytes(plan.get("stream_bytes")), held_mb
    rss = measured("resources", "processes", "nats", "rss_mb", "max")
    yield "memory of NATS, most", "MB", plan.get("nats_rss_mb"), rss
    frame = measured("message_bytes", "mean")
    yield "frame, mean size", "bytes", plan.get("frame_bytes_mean"), frame
    connections = measured("connections", "count")
    yield "connections of consumers", "", plan.get("connections"), connections
    yield (
        "messages out of NATS",
        "Mbit/s",
        plan.get("nats_net_tx_mbit_per_s"),
        _mbit_per_s(processed, summary),
    )


def _in_flight(plan: JsonObject, summary: JsonObject) -> dict[str, str]:
    """Return the row of bytes that wait on one connection; the plan gives the most."""
    planned = plan.get("connection_in_flight_bytes_max")
    measured = pick(summary, "jetstream", "connection_pending_bytes_max")
    within = None not in (planned, measured) and measured <= planned
    return {
        "name": "in flight on one connection (planned: at most; measured: as seen every 5 s)",
        "planned": size(planned),
        "measured": size(measured),
        "ratio": "within" if within else "",
    }


def _share_pct(part: float | None, whole: float | None) -> float | None:
    return 100 * part / whole if whole and part is not None else None


def _mbit_per_s(per_s: float | None, summary: JsonObject) -> float | None:
    """Convert messages by what the stream holds of each."""
    held = pick(summary, "jetstream", "messages")
    held_bytes = pick(summary, "jetstream", "bytes")
    if per_s is None or not held or not held_bytes:
        return None
    return float(per_s * held_bytes / held * 8 / 1e6)


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
