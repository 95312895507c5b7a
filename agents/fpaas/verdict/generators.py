"""The duties of the load generators: beyond them, a run measures its own tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fpaas.reason import Reason
from fpaas.records.events import AGENT_PAUSED, NATS_SILENT
from fpaas.spec import RunSpec
from fpaas.verdict import stalls
from fpaas.verdict.facts import Facts

#: Duties of the load generators; beyond them a run measures its own tools.
POLL_LATENESS_P99_LIMIT_MS = 100.0
LOOP_LAG_P99_LIMIT_MS = 100.0
RELAY_LATENESS_P99_LIMIT_MS = 100.0
START_SPREAD_LIMIT_MS = 100.0
STEAL_LIMIT_PCT = 10.0
#: Mean share of one core; each agent process is one thread's worth of work.
AGENT_CPU_LIMIT_PCT = 95.0
#: Mean busy share of all cores of a host that plays load; beyond it, agents wait for their turn.
HOST_CPU_LIMIT_PCT = 98.0
#: How many of the longest pauses that made agents late are named.
PAUSES_TOLD_MAX = 3
#: The process of reasons that name none.
LATE_AGENTS = {
    "poll_lateness_own": ("consumers",),
    "relay_lateness": ("relay",),
    "relay_lateness_own": ("relay",),
    "start_spread": ("relay", "shuffler", "consumers"),
}


def paused(summary: dict[str, Any], late: list[Reason]) -> Iterator[Reason]:
    """Name when those did not run who were late, the longest times, in order: that is the cause."""
    until_s = summary["window"]["until_s"]
    theirs = {agent for reason in late for agent in _late_agents(reason)}
    found = [
        pause
        for pause in stalls.pauses(summary.get("events") or ())
        if pause.holds_up and pause.part in theirs and pause.begin_s < until_s
    ]
    longest = sorted(found, key=lambda pause: pause.length_s)[-PAUSES_TOLD_MAX:]
    for pause in sorted(longest, key=lambda pause: pause.begin_s):
        told = {
            "agent": pause.part,
            "workers": pause.workers,
            "begin_s": pause.begin_s,
            "end_s": pause.end_s,
        }
        yield Reason("agent_paused", pause.host, told)


def waited_to_begin(summary: dict[str, Any], late: list[Reason]) -> Iterator[Reason]:
    """Name a server that did not answer when the run began, if agents began late: they waited."""
    for spread_s in (r.parameters["spread_ms"] / 1000 for r in late if r.code == "start_spread"):
        waited_for = [
            stall
            for group in stalls.together(stalls.of(summary.get("events") or ()))
            if (stall := stalls.as_seen_by_all(group)).kind == NATS_SILENT
            if stall.overlaps(0.0, spread_s)
        ]
        for stall in sorted(waited_for, key=lambda stall: stall.begin_s)[:1]:
            times = {"begin_s": stall.begin_s, "end_s": stall.end_s}
            yield Reason("nats_silent_at_start", stall.host, times)


def _late_agents(reason: Reason) -> Sequence[str]:
    """Return who is late by a reason."""
    if reason.code == "loop_lag":
        # Such as "consumers-0 on a-host".
        return [reason.parameters["process"].split(" ")[0].split("-")[0]]
    return LATE_AGENTS.get(reason.code, ())


def late(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Name agents that did what was due too late."""
    fidelity = summary["fidelity"]
    # The agents' own lateness: calls that waited for an answer are late because of others.
    for name, limit_ms in (
        ("poll_lateness_own", POLL_LATENESS_P99_LIMIT_MS),
        ("relay_lateness_own", RELAY_LATENESS_P99_LIMIT_MS),
    ):
        p99_ms = (fidelity.get(f"{name}_ms") or {}).get("p99")
        if facts.own_lateness_p99_ms is not None:
            p99_ms = facts.own_lateness_p99_ms.get(name)
        if p99_ms is not None and p99_ms > limit_ms:
            yield Reason(name, None, {"p99_ms": p99_ms, "limit_ms": limit_ms})
    yield from _relay_of_old(fidelity, facts)
    for process, p99_ms in facts.loop_lag_p99_ms.items():
        if p99_ms > LOOP_LAG_P99_LIMIT_MS:
            lag = {"process": process, "p99_ms": p99_ms, "limit_ms": LOOP_LAG_P99_LIMIT_MS}
            yield Reason("loop_lag", None, lag)
    spread_ms = fidelity["start_spread_ms"]
    if spread_ms is not None and spread_ms > START_SPREAD_LIMIT_MS:
        offsets_ms = [
            (clock.get("offset_ms") or 0.0) - (clock.get("offset_at_start_ms") or 0.0)
            for clock in summary["clock"].values()
        ]
        apart_ms = max([0.0, *offsets_ms]) - min([0.0, *offsets_ms])
        spread = {
            "spread_ms": spread_ms,
            "limit_ms": START_SPREAD_LIMIT_MS,
            "clocks_apart_ms": apart_ms if apart_ms > spread_ms / 2 else None,
        }
        yield Reason("start_spread", None, spread)


def _relay_of_old(fidelity: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Judge a relay whose lateness is only known with everything that held it up."""
    if (fidelity.get("relay_lateness_own_ms") or {}).get("p99") is not None:
        return
    late_ms = fidelity["relay_lateness_ms"]
    if late_ms["p99"] is None or late_ms["p99"] <= RELAY_LATENESS_P99_LIMIT_MS:
        return
    parameters = {"p99_ms": late_ms["p99"], "limit_ms": RELAY_LATENESS_P99_LIMIT_MS}
    blocked_s = facts.relay_blocked_s or 0.0
    worst_ms = late_ms.get("max") or late_ms["p99"]
    if worst_ms <= 1000 * blocked_s + RELAY_LATENESS_P99_LIMIT_MS:
        yield Reason("relay_lateness_unresolved", None, {**parameters, "blocked_s": blocked_s})
    else:
        yield Reason("relay_lateness", None, parameters)


def blocked_reader(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Say that the relay's frames waited for their reader, and what the reader waited for."""
    blocked_s = summary["fidelity"].get("relay_blocked_s", facts.relay_blocked_s)
    if blocked_s is None or 1000 * blocked_s <= RELAY_LATENESS_P99_LIMIT_MS:
        return
    window = summary["window"]
    events = summary.get("events") or ()
    held_up = [
        stall
        for stall in stalls.of(events)
        if stall.overlaps(window["from_s"], window["until_s"])
        and (stall.kind == NATS_SILENT or (stall.kind, stall.part) == (AGENT_PAUSED, "shuffler"))
    ]
    pauses = [stall for stall in held_up if stall.kind == AGENT_PAUSED]

    def held_s(stall: stalls.Stall) -> float:
        """Return the silences of NATS that the reader could have noticed."""
        if stall.kind == AGENT_PAUSED or stall.end_s is None:
            return stall.length_s
        return stall.length_s - sum(stall.shared_s(pause) for pause in pauses)

    cause = max(held_up, key=held_s, default=None)
    blocks = [one for one in stalls.blocks(events) if one.begin_s < window["until_s"]]
    longest = max(blocks, key=lambda block: block.length_s, default=None)
    yield Reason(
        "reader_blocked",
        None,
        {
            "seconds": blocked_s,
            "cause": cause and cause.kind,
            "begin_s": cause and cause.begin_s,
            "end_s": cause and cause.end_s,
            "blocked_from_s": longest and longest.begin_s,
            "blocked_until_s": longest and longest.end_s,
        },
    )


def troubled_hosts(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name hosts without processor time to spare."""
    for host, resources in summary["resources"]["hosts"].items():
        steal_pct = resources["steal_pct"]
        if steal_pct is not None and steal_pct > STEAL_LIMIT_PCT:
            steal = {"steal_pct": steal_pct, "limit_pct": STEAL_LIMIT_PCT}
            yield Reason("host_steal", host, steal)
        busy_pct = resources["cpu_pct"]
        if host in agent_hosts(spec) and busy_pct is not None and busy_pct > HOST_CPU_LIMIT_PCT:
            busy = {"busy_pct": busy_pct, "limit_pct": HOST_CPU_LIMIT_PCT}
            yield Reason("host_saturated", host, busy)


def agent_hosts(spec: RunSpec) -> set[str]:
    """Return the hosts that play load: what they are late with is not the server's doing."""
    groups = ["shuffler", "consumers"]
    if spec.firehose.rate_per_s is not None:
        groups.append("relay")
    return {host for group in groups for host in spec.hosts.get(group, [])}


def saturated(facts: Facts) -> Iterator[Reason]:
    """Name agents that used all of their core."""
    for process, share_pct in facts.process_cpu_pct.items():
        if share_pct > AGENT_CPU_LIMIT_PCT:
            used = {"process": process, "share_pct": share_pct, "limit_pct": AGENT_CPU_LIMIT_PCT}
            yield Reason("process_saturated", None, used)
