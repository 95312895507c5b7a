"""What readers should know though nobody did wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from fpaas.reason import Reason
from fpaas.spec import RunSpec, acks
from fpaas.verdict import goal_figures
from fpaas.verdict.facts import Facts
from fpaas.verdict.measured import Measured

#: A clock that was further off before the run is worth knowing, though it is allowed for.
CLOCK_OFF_MS = 1000.0
#: What stays unread is as planned if it is this near to the plan, in points of per cent.
PLANNED_WITHIN_POINTS = 10.0


def of(
    spec: RunSpec, summary: dict[str, Any], facts: Facts, *, has_nats_died: bool
) -> Iterator[Reason]:
    """Say what the parameters left undone, and what came more than once."""
    ledger = summary["ledger"]
    run = Measured(spec, summary, facts.never_fetched, polled_s=facts.polled_s)
    # Without a server, nothing that is left undone is by the parameters.
    if not has_nats_died:
        yield from _expected(run)
        for name, of_class in run.by_class():
            for reason in _expected(of_class):
                yield replace(reason, parameters={**reason.parameters, "consumers": name})
    if undecodable := ledger["undecodable"]:
        yield Reason("frames_left_out", None, {"count": undecodable})
    if once := summary["relay"]["undecodable_once"]:
        yield Reason("frames_bad_once", None, {"count": once})
    if ledger["duplicates_rejected"]:
        yield Reason("duplicates_rejected", None, {"count": ledger["duplicates_rejected"]})
    if ledger["redelivered"] or ledger["duplicate_deliveries"]:
        repeats = {
            "count": ledger["redelivered"],
            "duplicates": ledger["duplicate_deliveries"],
            "streams_lost": (summary.get("recovery") or {}).get("streams_lost"),
        }
        yield Reason("redelivered", None, repeats)
    yield from _as_asked(spec, summary)
    for one in facts.tolerated:
        yield Reason("server_count_inexact", None, asdict(one))
    for host, clock in summary["clock"].items():
        offset_ms = clock.get("offset_at_start_ms")
        if offset_ms is not None and abs(offset_ms) > CLOCK_OFF_MS:
            yield Reason("clock_off", host, {"offset_ms": offset_ms})


def _as_asked(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name what a run's consumers do not do at all, so that there are no figures of it."""
    if spec.consumers.is_pushed:
        yield Reason("messages_pushed", None, {"kind": spec.consumers.kind})
    if spec.consumers.is_ordered:
        yield Reason("consumers_ordered", None, {"by_cause": summary.get("made_again") or {}})
    elif spec.consumers.ack == acks.NONE:
        yield Reason("acks_not_asked")


def _expected(run: Measured) -> Iterator[Reason]:
    """Name what the parameters themselves leave undone."""
    ledger, plan, consumers = run.summary["ledger"], run.summary["plan"], run.spec.consumers
    capacity, owed = plan["capacity_per_consumer_per_s"], plan["owed_per_consumer_per_s"]
    if capacity is not None and capacity < owed and _is_unread_as_planned(run):
        yield Reason(
            "unread_as_planned",
            None,
            {
                "owed_per_s": owed,
                "capacity_per_s": capacity,
                "share_pct": 100 * capacity / owed,
                "batch_size": consumers.batch_size,
                "poll_interval_s": consumers.poll_interval_s,
                "planned_unread_pct": 100 * plan["unread_share"],
                "measured_unread_pct": 100 * (1 - ledger["delivered"] / ledger["owed"]),
                "owed": ledger["owed"],
                "expired": ledger["expired_unread"],
                "pending": ledger["pending_at_end"],
                "nothing_lost": ledger["delivered"] is not None and ledger["lost"] == 0,
            },
        )
    if run.never_fetched and not goal_figures.polls_are_certain(run):
        yield Reason(
            "consumers_without_poll",
            None,
            {
                "count": run.never_fetched,
                "of": consumers.count,
                "poll_interval_s": max(
                    one.consumers.poll_interval_s for one in run.spec.by_class()
                ),
            },
        )


def _is_unread_as_planned(run: Measured) -> bool:
    """Whether about as much stayed unread as planned; a foreign relay's rate was only assumed."""
    ledger = run.summary["ledger"]
    if run.spec.firehose.rate_per_s is None or not ledger["owed"] or ledger["delivered"] is None:
        return False
    unread = (ledger["expired_unread"] or 0) + (ledger["pending_at_end"] or 0)
    # Messages lost with a stream, for example, were not left unread by the parameters.
    is_mostly_lost = (ledger["lost"] or 0) > unread
    measured_pct = 100 * (1 - ledger["delivered"] / ledger["owed"])
    planned_pct = 100 * run.summary["plan"]["unread_share"]
    is_near = abs(measured_pct - planned_pct) <= PLANNED_WITHIN_POINTS
    return unread > 0 and is_near and not is_mostly_lost


def killed_for_memory(facts: Facts, told: list[Reason]) -> Iterator[Reason]:
    """Name hosts whose memory ran out, but for those of which reasons tell."""
    hosts = {reason.host for reason in told}
    for host, count in facts.killed_for_memory.items():
        if host not in hosts:
            yield Reason("processes_killed_for_memory", host, {"count": count})


def watching(facts: Facts) -> Iterator[Reason]:
    """Name what was to watch the lab and did not run, or ended: its figures have a gap."""
    first: dict[tuple[str, str], list[float]] = {}
    for host, process, at_s in facts.watching_ended:
        first.setdefault((host, process), []).append(at_s)
    for (host, process), times_s in first.items():
        told = {"process": process, "at_s": min(times_s), "times": len(times_s)}
        yield Reason("watching_ended", host, told)
    for host, process in facts.watching_missing:
        # What ended before anybody looked is told with its time.
        if (host, process) not in first:
            yield Reason("watching_missing", host, {"process": process})
