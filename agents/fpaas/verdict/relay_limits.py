"""What a relay may do in a run that can be trusted. Pure.

A relay owes us nothing, so nothing that it does is taken for granted: silence, falling behind,
gaps, renumbering and repeats are measured, told, and make a run invalid beyond their limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpaas.ledger.relay_account import is_recorded
from fpaas.reason import Reason
from fpaas.spec import RunSpec

#: Share of the window that `auto` stands for in a limit in seconds, within bounds.
SHARE = 0.1
AUTO_LEAST_S = 2.0
AUTO_MOST_S = 10.0
#: Less of a silence lies in the window by chance, and would be told as 0.0 s.
TOLD_LEAST_S = 0.1
MISSING_LIMIT_PCT = 1.0
#: So often, nobody may know how many events are missing.
UNKNOWN_GAPS_LIMIT = 3
RESETS_LIMIT = 10
#: Events whose own times are further from the clock than this are not of this moment.
CLOCK_OFF_S = 60.0
REREAD_LIMIT_PCT = 10.0
#: With fewer events whose times can be read, nobody knows whether a relay fell behind.
TIMED_LEAST_PCT = 50.0


def limit_s(given_s: float | None, window_s: float) -> float:
    """Return a limit in seconds: the one given, or what `auto` stands for in a window."""
    if given_s is not None:
        return given_s
    return min(max(SHARE * window_s, AUTO_LEAST_S), AUTO_MOST_S)


def beyond(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name what was beyond its limit; what was not measured is not judged here."""
    relay = summary.get("relay")
    if relay is None:
        return
    yield from _silent(spec, summary)
    window_s = _window_s(summary)
    lag_limit_s = limit_s(spec.firehose.lag_max_s, window_s)
    if (relay["lag_growth_s"] or 0.0) > lag_limit_s:
        lag = {"growth_s": relay["lag_growth_s"], "limit_s": lag_limit_s, "window_s": window_s}
        yield Reason("relay_lagging", None, {**lag, **_url(spec)})
    if _has_unreadable_times(relay):
        timed = {"timed_pct": relay["timed_pct"], "least_pct": TIMED_LEAST_PCT}
        yield Reason("relay_times_unreadable", None, {**timed, **_url(spec)})
    yield from _incomplete(spec, relay)
    unknown = sum(gap["missing"] is None for gap in relay["gaps"] or ())
    if relay["foreign"] and unknown > UNKNOWN_GAPS_LIMIT:
        gaps = {"count": unknown, "limit": UNKNOWN_GAPS_LIMIT}
        yield Reason("relay_gaps_unknown", None, {**gaps, **_url(spec)})
    yield from _unsteady(spec, relay, summary["ledger"]["duplicates_rejected"] or 0)


def notes(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name what was within its limits, and worth knowing."""
    relay = summary.get("relay") or {}
    silent_s = relay.get("silent_s", {})
    if (silent_s.get("longest") or 0.0) >= TOLD_LEAST_S and not any(_silent(spec, summary)):
        silent = {name: silent_s[name] for name in ("longest", "total")}
        yield Reason("relay_was_silent", None, {**silent, **_url(spec)})
    if relay.get("gap_count"):
        gaps = {"count": relay["gap_count"], "missing": relay["missing"]}
        yield Reason("relay_gaps", None, {**gaps, **_url(spec)})
    # If its numbers are dense, those that it left out are gaps.
    if relay.get("foreign") and relay.get("jumps") and relay["missing"] is None:
        left_out = {"count": relay["jumps"], "numbers": relay["jumped_seqs"]}
        yield Reason("relay_sparse", None, {**left_out, **_url(spec)})
    is_lag_missing = relay.get("foreign") and relay["read"] and relay["lag_growth_s"] is None
    if is_lag_missing and not is_recorded(relay["lag_s"]) and not _has_unreadable_times(relay):
        yield Reason("relay_lag_unmeasured", None, _url(spec))
    if abs(relay.get("lag_s") or 0.0) > CLOCK_OFF_S:
        yield Reason("relay_clock_off", None, {"lag_s": relay["lag_s"], **_url(spec)})
    if relay.get("seq_resets"):
        yield Reason("relay_renumbered", None, {"count": relay["seq_resets"], **_url(spec)})
    if relay.get("reread"):
        yield Reason("relay_reread", None, {"count": relay["reread"], **_url(spec)})
    # If the relay is ours, the ledger knows what it sent.
    if relay.get("foreign") and relay.get("ignored"):
        yield Reason("relay_ignored", None, {"count": relay["ignored"], **_url(spec)})


def _has_unreadable_times(relay: dict[str, Any]) -> bool:
    timed_pct: float | None = relay["timed_pct"]
    return timed_pct is not None and timed_pct < TIMED_LEAST_PCT and not is_recorded(relay["lag_s"])


def _window_s(summary: dict[str, Any]) -> float:
    window: dict[str, float] = summary["window"]
    return window["until_s"] - window["from_s"]


def _silent(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    silent, window_s = summary["relay"]["silent_s"], _window_s(summary)
    if silent["unasked_total"] is None:
        return
    least_s = silent["counted_from"]
    longest_limit_s = max(limit_s(spec.firehose.silent_max_s, window_s), least_s)
    total_limit_s = max(longest_limit_s, SHARE * window_s)
    if silent["unasked_longest"] > longest_limit_s or silent["unasked_total"] > total_limit_s:
        yield Reason(
            "relay_silent",
            None,
            {
                "longest_s": silent["unasked_longest"],
                "longest_limit_s": longest_limit_s,
                "total_s": silent["unasked_total"],
                "total_limit_s": total_limit_s,
                "window_s": window_s,
                **_url(spec),
            },
        )


def _incomplete(spec: RunSpec, relay: dict[str, Any]) -> Iterator[Reason]:
    missing, read = relay["missing"], relay["read"]
    # For our own relay, the ledger has what was not read.
    if not relay["foreign"] or not missing or read is None:
        return
    missing_pct = 100 * missing / (missing + read)
    if missing_pct > MISSING_LIMIT_PCT:
        share = {"missing": missing, "missing_pct": missing_pct, "limit_pct": MISSING_LIMIT_PCT}
        yield Reason("relay_incomplete", None, {**share, **_url(spec)})


def _unsteady(spec: RunSpec, relay: dict[str, Any], duplicates: int) -> Iterator[Reason]:
    resets, again = relay["seq_resets"] or 0, relay["reread"] or 0
    # Events under new numbers are read, and the stream has them already.
    reread = again + duplicates
    reread_pct = 100 * reread / max(again + (relay["read"] or 0), 1)
    if resets > RESETS_LIMIT or (relay["foreign"] and reread_pct > REREAD_LIMIT_PCT):
        yield Reason(
            "relay_unsteady",
            None,
            {
                "seq_resets": resets,
                "resets_limit": RESETS_LIMIT,
                "reread": reread,
                "reread_pct": reread_pct,
                "reread_limit_pct": REREAD_LIMIT_PCT,
                **_url(spec),
            },
        )


def _url(spec: RunSpec) -> dict[str, str]:
    return {"relay_url": spec.firehose.relay_url}
