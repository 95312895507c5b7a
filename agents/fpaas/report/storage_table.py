"""Message sizes by kind, and what they take up in a stream."""

from __future__ import annotations

from typing import Any

from fpaas.agreement import count_of
from fpaas.bundle.parts import JsonObject
from fpaas.records.paths import pick
from fpaas.report.written import NOT_MEASURED, number, share, size
from fpaas.spec import Stream

#: This many kinds are listed; the rest is added up.
KINDS_MAX = 12
COLUMNS = ("count", "mean", "p50", "p99", "max")
#: Suffix of a figure in `storage.rates`, and its heading.
STORED = {
    "5_min_r1": "5 min, R1",
    "5_min_r3": "5 min, R3",
    "24_h_r1": "24 h, R1",
    "24_h_r3": "24 h, R3",
}


def message_rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return sizes in bytes, a row a kind and collection, all of them last."""
    kinds = summary.get("message_bytes_by_kind") or {}
    rows = [_row(name, figures) for name, figures in list(kinds.items())[:KINDS_MAX]]
    others = list(kinds.values())[KINDS_MAX:]
    if others:
        rows.append(_row(count_of(len(others), "other|others"), _together(others)))
    if kinds:
        rows.append(_row("all", {**summary["message_bytes"], "share_of_bytes": 1}))
    return rows


def _row(name: str, figures: JsonObject) -> dict[str, Any]:
    return {
        "name": name.removesuffix(" _"),
        "cells": [number(figures.get(column)) for column in COLUMNS],
        "share": share(figures.get("share_of_bytes"), 1) or NOT_MEASURED,
    }


def _together(kinds: list[JsonObject]) -> JsonObject:
    """Add kinds up; their percentiles cannot be."""
    count = sum(kind["count"] for kind in kinds)
    return {
        "count": count,
        "mean": sum(kind["count"] * kind["mean"] for kind in kinds if kind["count"]) / count
        if count
        else None,
        "max": max((kind["max"] for kind in kinds if kind["count"]), default=None),
        "share_of_bytes": sum(kind["share_of_bytes"] or 0 for kind in kinds),
    }


def storage_rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return what a stream takes up, a row a rate."""
    return [
        {
            "name": row["rate"],
            "per_s": NOT_MEASURED if row["per_s"] is None else f"{number(row['per_s'])}/s",
            "cells": [size(row[f"bytes_{name}"]) for name in STORED],
        }
        for row in pick(summary, "storage", "rates") or []
    ]


def a_message(summary: JsonObject, stream: Stream) -> str:
    """Say what a message takes up by the server's account, and how many the stream can hold."""
    storage = summary.get("storage") or {}
    if storage.get("stream_bytes_per_message") is None:
        return "How much a message takes up in the stream was not measured."
    per_message = storage["stream_bytes_per_message"]
    holds_per_s = stream.max_bytes / per_message / stream.max_age_s
    return (
        f"A message takes {number(per_message, 4)} bytes of the stream: "
        f"{number(storage['payload_bytes_per_message'], 4)} of payload and "
        f"{number(storage['overhead_bytes_per_message'])} that the server adds, by its own account "
        f"of {number(storage['stream_messages'])} messages. This run's limits, "
        f"{stream.max_bytes / 1e6:,.0f} MB and {stream.max_age_s:g} s, keep all of the last "
        f"{stream.max_age_s:g} s up to {number(holds_per_s)} messages a second."
    )
