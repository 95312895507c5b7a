"""What a run's account leaves unexplained: events of the ledger, calls of a leg, frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fpaas.reason import Reason
from fpaas.records.events import DURABLES_PAUSED
from fpaas.spec import RunSpec
from fpaas.verdict.facts import Facts


def disorder(summary: dict[str, Any]) -> Iterator[Reason]:
    """Name what no scenario may have: events twice, out of order, or acknowledged in vain."""
    ledger, order = summary["ledger"], summary["order"]
    for code, count in (
        ("stored_twice", ledger["stored_twice"]),
        ("stream_out_of_order", order["violations_in_stream"]),
        ("deliveries_out_of_order", order["violations_at_consumers"]),
        ("acks_lost", ledger["unacked"]),
    ):
        if count:
            yield Reason(code, None, {"count": count})


def of_ledger(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Name what the ledger does not explain."""
    unexplained = summary["ledger"]["unexplained"]
    if unexplained is None:
        yield Reason("ledger_unmeasured")
    elif unexplained:
        yield Reason("ledger_unbalanced", None, {"unexplained": unexplained})
        for one in facts.disagreements:
            yield Reason("ledger_disagreement", None, asdict(one))


def calls_missing(summary: dict[str, Any]) -> Iterator[Reason]:
    """Hold each leg's samples against the calls that an independent count says fell due."""
    lateness = {name: leg for name, leg in summary["fidelity"].items() if isinstance(leg, dict)}
    for name, leg in {**summary["latency_ms"], **lateness}.items():
        due = leg.get("due_count")
        if due is None:
            continue
        counted, still_open = leg["count"] or 0, leg.get("open_count") or 0
        if counted + still_open != due:
            counts = {"leg": name, "due": due, "counted": counted, "open": still_open}
            yield Reason("calls_missing", None, counts)


def paused_durables(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Say that somebody kept durables from being served, which no part of the lab does."""
    found = [one for one in summary.get("events") or () if one["kind"] == DURABLES_PAUSED]
    if not found and not facts.durables_paused:
        return
    counts = [one["parameters"].get("durables") or 0 for one in found]
    ends_s = [one["end_s"] for one in found]
    told = {
        "count": max([*counts, facts.durables_paused]) or None,
        "begin_s": min((one["begin_s"] for one in found), default=None),
        "end_s": None if facts.durables_paused or None in ends_s else max(ends_s),
    }
    yield Reason("durables_paused", None, told)


def short_offer(spec: RunSpec, facts: Facts) -> Iterator[Reason]:
    """Name frames that our relay did not offer."""
    due, offered = spec.frames_due(), facts.frames_offered
    if due is not None and offered is not None and offered != due:
        yield Reason("frames_not_offered", None, {"offered": offered, "due": due})


def unread_relay(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Name a relay of which nothing, or too little, could be read."""
    ledger, url = summary["ledger"], spec.firehose.relay_url
    count = ledger["undecodable"]
    received = (count or 0) + (summary["relay"]["undecodable_once"] or 0)
    # Those that the run itself asked for are no reason to distrust it.
    limit = spec.firehose.undecodable_max_frames + facts.frames_damaged
    if received > limit:
        bad = {"count": received, "limit_frames": limit, "relay_url": url}
        yield Reason("frames_undecodable", None, bad)
    elif ledger["offered"] is not None and ledger["offered"] == (count or 0):
        yield Reason("nothing_read", None, {"relay_url": url})
