"""How the relay behaved: rows of the report's section on it."""

from __future__ import annotations

from fpaas.agreement import agreeing, count_of
from fpaas.bundle.parts import JsonObject
from fpaas.ledger.relay_account import is_recorded
from fpaas.records.paths import pick
from fpaas.report.written import NOT_MEASURED, number, with_unit
from fpaas.spec import RunSpec

CAUSES = {
    "outdated_cursor": "the relay does not reach back so far (OutdatedCursor)",
    "seq_jump": "its numbers go on further ahead",
    "after_reconnect": "its numbers went on further ahead after a lost connection",
    "future_cursor": "it renumbered, and said so (FutureCursor)",
    "renumbered": "it renumbered after a lost connection",
    "away_at_end": "it was away at the window's end; what it had by then is not known",
}
GAPS_SHOWN_MAX = 20


def relay_rows(spec: RunSpec, summary: JsonObject) -> dict[str, str]:
    """Return what was measured of the relay; empty for runs that measured none of it."""
    relay = summary.get("relay")
    if not isinstance(relay, dict):
        return {}
    url = spec.firehose.relay_url
    silent = relay.get("silent_s")
    counted_from = pick(silent, "counted_from")
    note = "" if counted_from is None else f" (stretches longer than {counted_from:.3g} s)"
    missing = relay.get("missing")
    gaps = number(relay.get("gap_count"))
    if relay.get("gap_count"):
        gaps += ", " + (
            "size not known"
            if missing is None
            else f"{number(missing)} {agreeing(missing, 'event|events')}"
        )
    rows = {
        "relay": f"{url} ({'not ours' if relay.get('foreign') else 'ours'})",
        "without an event, longest": with_unit(pick(silent, "longest"), "s"),
        "without an event, in all": with_unit(pick(silent, "total"), "s") + note,
        "gaps": gaps,
        "renumbered": _times(relay.get("seq_resets")),
        "read again": _frames(relay.get("reread")),
        "skipped, no events": _frames(relay.get("ignored")),
        "undecodable": _frames(relay.get("undecodable")),
        "undecodable, did not come again": _frames(relay.get("undecodable_once")),
    }
    if relay.get("foreign"):
        rows["fell behind real time by"] = (
            f"{NOT_MEASURED}: its events are not of today"
            if is_recorded(relay.get("lag_s"))
            else with_unit(relay.get("lag_growth_s"), "s")
        )
    return rows


def gap_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Return the first gaps, in order of time."""
    gaps = pick(summary, "relay", "gaps") or []
    return [
        {
            "at": f"{gap['at_s']:.1f} s",
            "after": "-" if gap["after_seq"] is None else str(gap["after_seq"]),
            "missing": "not known" if gap["missing"] is None else number(gap["missing"]),
            "cause": CAUSES.get(gap["cause"], gap["cause"]),
        }
        for gap in gaps[:GAPS_SHOWN_MAX]
    ]


def _frames(count: int | None) -> str:
    return NOT_MEASURED if count is None else count_of(count, "frame|frames")


def _times(count: object) -> str:
    return "once" if count == 1 else with_unit(count, "times")
