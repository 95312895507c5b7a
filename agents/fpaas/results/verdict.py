"""Pass, fail or invalid: what a run's figures mean. Pure.

*invalid*: the figures cannot be trusted. A part is missing, an agent or the server died, the ledger
does not balance, or the load generators themselves were too slow to be a measure of anything else.
*fail*: the figures hold, and the system under test missed one of the scenario's goals.
*pass*: neither. Messages that expire unread because the parameters ask for fewer than are owed are
no failure: that was known before the run, and a note gives the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fpaas import agent
from fpaas.results import goals
from fpaas.results.bundle import AgentStatus
from fpaas.spec import NS_PER_S, RunSpec

PASS = "pass"  # noqa: S105
FAIL = "fail"
INVALID = "invalid"
STATUSES = (PASS, FAIL, INVALID)

#: Duties of the load generators; beyond them a run measures its own tools.
POLL_LATENESS_P99_LIMIT_MS = 100.0
LOOP_LAG_P99_LIMIT_MS = 100.0
RELAY_LATENESS_P99_LIMIT_MS = 100.0
START_SPREAD_LIMIT_MS = 100.0
STEAL_LIMIT_PCT = 10.0
#: Samples are kept to 0.1 ms at worst.
CLOCK_SLACK_MS = 0.2
#: Mean share of one core; each agent process is one thread's worth of work.
AGENT_CPU_LIMIT_PCT = 95.0

#: Mean busy share of all cores of a host that plays load; beyond it, agents wait for their turn.
HOST_CPU_LIMIT_PCT = 98.0
#: A fetch within a region takes some milliseconds; with a clock less certain, that says nothing.
CLOCK_BOUND_LIMIT_MS = 10.0

#: So many of a kind are spelled out.
SPELLED_OUT_MAX = 10


@dataclass(frozen=True)
class Facts:
    """What the verdict needs beside summary.json; mappings go from a name to its figure."""

    problems: list[str] = field(default_factory=list)
    invalid_reasons: list[str] = field(default_factory=list)
    agents: list[tuple[str, AgentStatus]] = field(default_factory=list)
    server_lives: dict[str, list[str]] = field(default_factory=dict)
    servers_silent: dict[str, float] = field(default_factory=dict)
    disagreements: list[str] = field(default_factory=list)
    #: Of the server's counts, what is known not to be exact.
    tolerated: list[str] = field(default_factory=list)
    never_fetched: int | None = None
    loop_lag_p99_ms: dict[str, float] = field(default_factory=dict)
    process_cpu_pct: dict[str, float] = field(default_factory=dict)
    frames_offered: int | None = None
    shuffler_reconnects: int = 0
    publish_failures: dict[str, int] = field(default_factory=dict)
    stream_began_anew: bool = False


@dataclass(frozen=True)
class Verdict:
    """`notes` are what a reader should know and nobody did wrong."""

    status: str
    reasons: list[str]
    notes: list[str]
    goals: list[goals.Goal]
    #: Of the reasons, those that say that the load generators did not keep up.
    late_generators: list[str]
    #: And those that say that a server or an agent broke down.
    breakdowns: list[str]


def judge(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Verdict:
    """Judge a run by its summary (all sections but the verdict) and facts."""
    failovers = list(_failovers(spec, facts))
    measured = goals.Measured(
        spec,
        summary,
        facts.never_fetched,
        facts.shuffler_reconnects,
        facts.publish_failures,
        failed_over=bool(failovers),
    )
    judged = goals.judge(measured)
    lost_servers = list(_lost_servers(spec, facts))
    late = [*_late_generators(summary, facts), *_saturated_agents(facts)]
    invalid = [
        *facts.invalid_reasons,
        # First, for what is missing is missing because of it.
        *lost_servers,
        *_shorten(facts.problems, "problems with the run's files"),
        *_deaths(facts),
        *_imbalance(summary, facts),
        *late,
        *_troubled_hosts(spec, summary),
        *_unsure_clocks(spec, summary),
        *_wrong_clocks(spec, summary),
        *_short_offer(spec, facts),
        *_unread_relay(spec, summary),
    ]
    # Where something is missing, so are figures.
    invalid = invalid or list(_unjudged(judged))
    missed = [goals.sentence(goal) for goal in judged if goal.status == goals.MISSED]
    missed += _disorder(summary)
    # What a server's end breaks for a moment is the price of going on without it.
    broken = list(goals.broken_exchanges(measured)) if failovers else []
    notes = [*failovers, *(f"with it: {sentence}" for sentence in broken)]
    notes += _notes(spec, summary, facts)
    status = INVALID if invalid else FAIL if missed else PASS
    breakdowns = [*lost_servers, *_deaths(facts)]
    return Verdict(status, [*invalid, *missed], notes, judged, late, breakdowns)


def _disorder(summary: dict[str, Any]) -> Iterator[str]:
    """Name what no scenario may have: events twice, out of order, or acknowledged in vain."""
    ledger, order = summary["ledger"], summary["order"]
    if ledger["stored_twice"]:
        yield (
            f"{ledger['stored_twice']} events are in the stream twice: they were repeated when the "
            "duplicate window was over (bench_stream_duplicate_window_s)"
        )
    if order["violations_in_stream"]:
        yield (
            f"{order['violations_in_stream']} events were stored after a later one of the same DID"
        )
    if order["violations_at_consumers"]:
        yield (
            f"{order['violations_at_consumers']} first deliveries came after that of a later "
            "event of the same DID"
        )
    if ledger["unacked"]:
        yield (
            f"{ledger['unacked']} deliveries were received and acknowledged, and the server still "
            "waits for the ack; it would deliver them again"
        )


def _unjudged(judged: list[goals.Goal]) -> Iterator[str]:
    unjudged = [goal for goal in judged if goal.status == goals.NOT_MEASURED]
    if unjudged:
        yield (
            "goals that cannot be judged, for their figures were not measured: "
            f"{', '.join(f'{goal.meaning} ({goal.name})' for goal in unjudged)}; "
            "a longer bench_measure_s may help"
        )


def _shorten(problems: list[str], what: str) -> list[str]:
    if len(problems) <= SPELLED_OUT_MAX:
        return problems
    return [*problems[:SPELLED_OUT_MAX], f"and {len(problems) - SPELLED_OUT_MAX} more {what}"]


def _deaths(facts: Facts) -> Iterator[str]:
    for host, status in facts.agents:
        why = f": {status.message}" if status.message else ""
        if status.state == agent.FAILED:
            yield f"{host}: the {status.agent} failed{why}"
        elif status.state == agent.STOPPED:
            yield f"{host}: the {status.agent} was stopped before the run's end{why}"
        elif status.state != agent.DONE:
            yield (
                f"{host}: the {status.agent} died; the last it said was {status.state!r}{why}; "
                "its log says more"
            )
    if facts.stream_began_anew:
        yield "the stream began anew during the run; what it held before is lost"


def _lost_servers(spec: RunSpec, facts: Facts) -> Iterator[str]:
    """NATS servers that restarted, where the stream does not outlive one."""
    if spec.survives_a_server:
        return
    lost = (
        "its memory stream was lost"
        if spec.stream.storage == "memory"
        else "its stream was not there meanwhile"
    )
    if len(spec.hosts.get("nats", [])) > 1:
        lost += f", as far as it was there (bench_stream_replicas is {spec.stream.replicas})"
    for host, since_s in facts.servers_silent.items():
        yield (
            f"{host}: NATS failed during the run and did not come back: it did not answer from "
            f"{since_s:.0f} s after the run's start on, {lost}; nats.log says more"
        )
    for host, lives in facts.server_lives.items():
        if host not in facts.servers_silent and len(lives) > 1:
            yield f"{host}: NATS restarted during the run, {lost} ({', then '.join(lives)})"


def _failovers(spec: RunSpec, facts: Facts) -> Iterator[str]:
    """NATS servers that failed, of a cluster whose stream outlives them."""
    if not spec.survives_a_server:
        return
    for host, lives in facts.server_lives.items():
        if host in facts.servers_silent:
            yield f"{host}: NATS failed during the run and did not come back; the cluster went on."
        elif len(lives) > 1:
            yield (
                f"{host}: NATS restarted during the run ({', then '.join(lives)}); "
                "the cluster went on meanwhile."
            )


def _imbalance(summary: dict[str, Any], facts: Facts) -> Iterator[str]:
    unexplained = summary["ledger"]["unexplained"]
    if unexplained is None:
        yield "the ledger could not be balanced: not all parts of it were measured"
    elif unexplained:
        yield f"the ledger does not balance: {unexplained} unexplained, and must be 0"
        yield from facts.disagreements


def _late_generators(summary: dict[str, Any], facts: Facts) -> Iterator[str]:
    fidelity = summary["fidelity"]
    limits = (
        # A poll that waited for the answer to its predecessor is late by the server's doing.
        ("poll_lateness_own_ms", POLL_LATENESS_P99_LIMIT_MS, "polls were sent", "the consumers'"),
        ("relay_lateness_ms", RELAY_LATENESS_P99_LIMIT_MS, "frames were sent", "the relay's"),
    )
    for name, limit_ms, what, whose in limits:
        p99_ms = fidelity[name]["p99"]
        if p99_ms is not None and p99_ms > limit_ms:
            yield (
                f"{what} late: p99 {p99_ms:.1f} ms after they were due, the limit is "
                f"{limit_ms:g} ms; give {whose} host more processor or ask less of it"
            )
    for name, p99_ms in facts.loop_lag_p99_ms.items():
        if p99_ms > LOOP_LAG_P99_LIMIT_MS:
            yield (
                f"{name}: its event loop woke up late, p99 {p99_ms:.1f} ms, the limit is "
                f"{LOOP_LAG_P99_LIMIT_MS:g} ms; its latencies are not the server's"
            )
    spread_ms = fidelity["start_spread_ms"]
    if spread_ms is not None and spread_ms > START_SPREAD_LIMIT_MS:
        remedy = "start the run with more lead (run_lead_s)"
        offsets_ms = [clock.get("offset_ms") or 0.0 for clock in summary["clock"].values()]
        apart_ms = max([0.0, *offsets_ms]) - min([0.0, *offsets_ms])
        if apart_ms > spread_ms / 2:
            remedy = f"their hosts' clocks differ by {apart_ms:.0f} ms: synchronise them (chrony)"
        yield (
            f"agents started up to {spread_ms:.0f} ms apart, the limit is "
            f"{START_SPREAD_LIMIT_MS:g} ms; {remedy}"
        )


def _troubled_hosts(spec: RunSpec, summary: dict[str, Any]) -> Iterator[str]:
    for host, resources in summary["resources"]["hosts"].items():
        steal_pct = resources["steal_pct"]
        if steal_pct is not None and steal_pct > STEAL_LIMIT_PCT:
            yield (
                f"{host}: the hypervisor withheld {steal_pct:.1f} % of the processor (steal), the "
                f"limit is {STEAL_LIMIT_PCT:g} %; use a host with processors of its own"
            )
        busy_pct = resources["cpu_pct"]
        if host in agent_hosts(spec) and busy_pct is not None and busy_pct > HOST_CPU_LIMIT_PCT:
            yield (
                f"{host}: its processors were saturated, {busy_pct:.1f} % busy on average, the "
                f"limit is {HOST_CPU_LIMIT_PCT:g} % for a host that plays load; lower the load, "
                "spread it over more hosts, or end what else runs there"
            )


def agent_hosts(spec: RunSpec) -> set[str]:
    """Return the hosts that play load: what they are late with is not the server's doing."""
    groups = ["shuffler", "consumers"]
    if spec.firehose.rate_per_s is not None:
        groups.append("relay")
    return {host for group in groups for host in spec.hosts.get(group, [])}


def _saturated_agents(facts: Facts) -> Iterator[str]:
    for name, share_pct in facts.process_cpu_pct.items():
        if share_pct > AGENT_CPU_LIMIT_PCT:
            yield (
                f"{name}: was saturated, {share_pct:.0f} % of a core, the limit is "
                f"{AGENT_CPU_LIMIT_PCT:g} %; lower the load or spread it"
            )


def _unsure_clocks(spec: RunSpec, summary: dict[str, Any]) -> Iterator[str]:
    for host, clock in summary["clock"].items():
        if spec.hosts["nats"] == [host]:
            # The clock that all others are compared with.
            continue
        bound_ms = clock["bound_ms"]
        if bound_ms is None:
            yield (
                f"{host}: its clock could not be compared with the NATS host's; how far latencies "
                "across hosts are off is not known"
            )
        elif bound_ms > CLOCK_BOUND_LIMIT_MS:
            yield (
                f"{host}: its clock is known to ± {bound_ms:.1f} ms only, the limit is "
                f"{CLOCK_BOUND_LIMIT_MS:g} ms; latencies across hosts are not resolvable: bring "
                "the hosts closer together, or quieten them"
            )


def _wrong_clocks(spec: RunSpec, summary: dict[str, Any]) -> Iterator[str]:
    for host, clock in summary["clock"].items():
        if clock.get("stepped"):
            found = "; ".join(
                f"by {step['step_ms']:+.1f} ms about "
                f"{(step['unix_ns'] - spec.t0_unix_ns) / NS_PER_S:.0f} s after T0"
                for step in clock.get("steps") or ()
            )
            yield (
                f"{host}: its clock was set during the run{found and f' ({found})'}; latencies "
                "across hosts do not hold"
            )
    for name, leg in summary["latency_ms"].items():
        error_ms = leg["clock_error_ms"]
        if leg["min"] is None or error_ms is None:
            continue
        if leg["min"] < -(error_ms + CLOCK_SLACK_MS):
            yield (
                f"{name}: took {leg['min']:.1f} ms at least, which is less than nothing by more "
                f"than the clocks' bound of {error_ms:.2f} ms; a clock was off for a while"
            )


def _short_offer(spec: RunSpec, facts: Facts) -> Iterator[str]:
    due = spec.frames_due()
    if due is not None and facts.frames_offered is not None and facts.frames_offered != due:
        yield f"the relay offered {facts.frames_offered} frames of the {due} that the run asks for"


def _unread_relay(spec: RunSpec, summary: dict[str, Any]) -> Iterator[str]:
    ledger, url = summary["ledger"], spec.firehose.relay_url
    if ledger["undecodable"]:
        yield (
            f"{ledger['undecodable']} times the relay {url} sent what could not be decoded, or was "
            "too large; what came after it may not have been read; the shuffler's log says more"
        )
    elif ledger["offered"] == 0:
        yield f"not one event was read from the relay {url} in the whole run; is it a relay?"


def _notes(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Iterator[str]:
    ledger, plan, consumers = summary["ledger"], summary["plan"], spec.consumers
    capacity, owed = plan["capacity_per_consumer_per_s"], plan["owed_per_consumer_per_s"]
    if capacity is not None and capacity < owed:
        share_pct = 100 * capacity / owed
        stays = "most" if share_pct < 50 else "a part"
        note = (
            f"as planned, {stays} stays unread: a consumer is owed {owed:.4g} messages/s and its "
            f"polls take at most {consumers.batch_size} every {consumers.poll_interval_s:g} s = "
            f"{capacity:.3g}/s, {share_pct:.2g} % of that"
        )
        if ledger["owed"] and ledger["delivered"] is not None:
            unread_pct = 100 * (1 - ledger["delivered"] / ledger["owed"])
            note += (
                f"; planned {100 * plan['unread_share']:.1f} % unread in this run, measured "
                f"{unread_pct:.1f} % (of {_written(ledger['owed'])} owed, "
                f"{_written(ledger['expired_unread'])} expired and "
                f"{_written(ledger['pending_at_end'])} were pending at the end)"
            )
        measured = ledger["delivered"] is not None and not ledger["lost"]
        yield f"{note}. This is no failure." if measured else f"{note}."
    if facts.never_fetched and not goals.polls_are_certain(spec):
        yield (
            f"{facts.never_fetched} of {consumers.count} consumers fetched nothing: with a poll "
            f"every {consumers.poll_interval_s:g} s the run is too short to owe each one a poll "
            "that finds messages."
        )
    if ledger["duplicates_rejected"]:
        yield f"{ledger['duplicates_rejected']} publishes were already in the stream."
    if ledger["redelivered"]:
        yield (
            f"{ledger['redelivered']} deliveries were repeats, {ledger['duplicate_deliveries']} of "
            "them of messages received before."
        )
    for sentence in facts.tolerated:
        yield (
            f"a count that nats-server is known to keep inexactly: {sentence}. The ledger goes by "
            "the sequences."
        )


def _written(count: int | None) -> str:
    return "-" if count is None else f"{count:,}".replace(",", " ")
