"""Pass, fail or invalid: what a run's figures mean. Pure.

*invalid*: the figures cannot be trusted. A part is missing, an agent or the server died, the ledger
does not balance, or the load generators themselves were too slow to be a measure of anything else.
*fail*: the figures hold, and the system under test missed one of the scenario's goals.
*pass*: neither. Messages that expire unread because the parameters ask for fewer than are owed are
no failure: that was known before the run, and a note gives the arithmetic.

Reasons come in the order of cause and effect: what died, in the order of time; an interruption;
what is missing of parts that did not die; what that and the figures show; and last what is missing
of parts that died.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from fpaas.latency.leg_kinds import LEGS
from fpaas.latency.lower_bounds import is_goal_at_least
from fpaas.reason import Reason
from fpaas.records import summary as records
from fpaas.records.control import Trouble
from fpaas.records.events import AGENT_PAUSED, AGENT_RESTARTED, NATS_SILENT
from fpaas.records.status import State
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.verdict import codes, fault_excuses, goal_figures, goals, relay_limits, stalls
from fpaas.verdict.facts import Facts

PASS: Final = "pass"  # noqa: S105
FAIL: Final = "fail"
INVALID: Final = "invalid"
STATUSES = (PASS, FAIL, INVALID)
Status = Literal["pass", "fail", "invalid"]

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
#: A clock that was further off before the run is worth knowing, though it is allowed for.
CLOCK_OFF_MS = 1000.0

#: This many problems with files are spelled out.
SPELLED_OUT_MAX = 10


@dataclass(frozen=True)
class Verdict:
    """`reasons` are of severity invalid, then fail; `notes` are what nobody did wrong."""

    status: Status
    reasons: list[Reason]
    notes: list[Reason]
    goals: list[goals.Goal]
    #: Of the reasons, those that say that the load generators did not keep up.
    late_generators: list[Reason]
    #: And those that say that a server or an agent broke down, or that the run was cut off.
    breakdowns: list[Reason]

    def verdict(self) -> records.Verdict:
        """As in summary.json."""
        return records.Verdict(
            status=self.status,
            reasons=[codes.sentence(reason) for reason in self.reasons],
            reason_codes=[codes.record(reason) for reason in (*self.reasons, *self.notes)],
        )

    def notes_written(self) -> list[str]:
        """As in summary.json: its notes."""
        return [codes.sentence(note) for note in self.notes]

    def goals_judged(self) -> list[records.Goal]:
        """As in summary.json: its goals."""
        return [
            records.Goal(
                **{name: value for name, value in vars(goal).items() if name != "why"},
                why=[codes.sentence(cause) for cause in goal.why],
                why_codes=[codes.cause(cause) for cause in goal.why],
            )
            for goal in self.goals
        ]


def limit_of(limit: Reason) -> records.Limit:
    """As in summary.json: what limited the run."""
    return records.Limit(
        what=limit.code,
        sentence=codes.sentence(limit),
        parameters=codes.cause(limit).parameters,
    )


def judge(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Verdict:
    """Judge a run by its summary (all sections but the verdict) and facts."""
    failovers = list(_failovers(spec, summary, facts))
    measured = goal_figures.Measured(
        spec,
        summary,
        facts.never_fetched,
        facts.shuffler_reconnects,
        facts.publish_failures,
        failed_over=bool(failovers),
        polled_s=facts.polled_s,
    )
    judged = goals.judge(measured)
    dead = _Dead(spec, summary, facts)
    given = [codes.given(text) for text in facts.invalid_reasons]
    stopped = list(_stopped(facts))
    problems = [
        one
        for position, one in enumerate(facts.problems)
        if one not in facts.problems[:position] and not dead.told(one)
    ]
    own_problems = [one for one in problems if not dead.left(one)]
    late = [*_late_generators(summary, facts), *_saturated_agents(facts)]
    imbalance = [*_imbalance(summary, facts), *_calls_missing(summary)]
    beyond = list(_relay_beyond(spec, summary, dead.reasons))
    invalid = [
        *dead.reasons,
        *given,
        *_shorten(own_problems),
        *stopped,
        *fault_excuses.amiss(spec, summary),
        *_restarted(summary, [*imbalance, *beyond]),
        *imbalance,
        *_paused(summary, late),
        *late,
        *_unsampled(facts, dead),
        *_troubled_hosts(spec, summary),
        *_unsure_clocks(spec, summary),
        *_wrong_clocks(spec, summary),
        *_short_offer(spec, facts),
        *_unread_relay(spec, summary, facts),
        *beyond,
        *_shorten([one for one in problems if dead.left(one)]),
    ]
    explained = {
        position: found
        for position, reason in enumerate(invalid)
        if (found := fault_excuses.explaining(reason, spec, summary))
    }
    excused = [
        Reason("explained_by_fault", None, {"numbers": numbers, "reason": invalid[position]})
        for position, numbers in explained.items()
    ]
    invalid = [reason for position, reason in enumerate(invalid) if position not in explained]
    # Where something is missing, so are figures.
    if not invalid and (unjudged := list(_unjudged(judged))):
        invalid = [*_restarted(summary, unjudged), *unjudged]
    missed = [_missed(goal, summary) for goal in judged if goal.status == goals.MISSED]
    missed += _disorder(summary)
    # What a server's end breaks for a moment is the price of going on without it.
    broken = list(goal_figures.broken_exchanges(measured)) if failovers else []
    if facts.relay_restarts:
        plural = "s" if facts.relay_restarts > 1 else ""
        times = {"times": facts.relay_restarts, "plural": plural}
        failovers.append(Reason("relay_restarted", None, times))
    if facts.shuffler_lives > 1:
        failovers.append(Reason("shuffler_restarted", None, {"times": facts.shuffler_lives - 1}))
    if facts.workers_gone_on:
        failovers.append(Reason("workers_restarted", None, {"count": facts.workers_gone_on}))
    died = {reason.code for reason in dead.reasons}
    notes = [
        *failovers,
        *excused,
        *broken,
        *_blocked_reader(summary, facts),
        *relay_limits.notes(spec, summary),
        *_notes(spec, summary, facts, has_nats_died="nats_died" in died),
    ]
    status: Status = INVALID if invalid else FAIL if missed else PASS
    breakdowns = [*dead.reasons, *given, *stopped]
    # Of a relay that its reader held up it is not known whether it was late by itself.
    late = [reason for reason in late if reason.code != "relay_lateness_unresolved"]
    return Verdict(status, [*invalid, *missed], notes, judged, late, breakdowns)


def _relay_beyond(spec: RunSpec, summary: dict[str, Any], dead: list[Reason]) -> Iterator[Reason]:
    """Name what the relay did beyond its limits; that ours is silent once it died goes without."""
    has_died = any(reason.code == "relay_died" for reason in dead)
    for reason in relay_limits.beyond(spec, summary):
        if not (has_died and reason.code == "relay_silent"):
            yield reason


def _unsampled(facts: Facts, dead: _Dead) -> Iterator[Reason]:
    for host, missing_s in facts.unsampled_s.items():
        # That there are no samples of a probe that ended goes without saying.
        if not dead.has_ended(host, "probe"):
            yield Reason("host_unsampled", host, {"missing_s": missing_s})


def _paused(summary: dict[str, Any], late: list[Reason]) -> Iterator[Reason]:
    """Name the agents that did not run, if generators of load were late: that is the cause."""
    until_s = summary["window"]["until_s"]
    for event in summary.get("events") or () if late else ():
        is_load = event["parameters"].get("agent") in ("relay", "shuffler", "consumers")
        if event["kind"] == AGENT_PAUSED and is_load and event["begin_s"] < until_s:
            paused = {
                "agent": event["parameters"]["agent"],
                "workers": event["parameters"].get("workers") or [],
                "begin_s": event["begin_s"],
                "end_s": event["end_s"],
            }
            yield Reason("agent_paused", event["host"], paused)


def _restarted(summary: dict[str, Any], following: list[Reason]) -> Iterator[Reason]:
    """Name what ended and was started again, if one of these reasons may follow from it."""
    for stall in stalls.of(summary.get("events") or ()):
        may_follow = any(_follows_from(stall.part, reason) for reason in following)
        if stall.kind == AGENT_RESTARTED and may_follow:
            gone = {"agent": stall.part, "begin_s": stall.begin_s, "end_s": stall.end_s}
            yield Reason("agent_restarted", stall.host, gone)


def _follows_from(agent: str, reason: Reason) -> bool:
    """Whether that an agent was gone may be behind a reason: of a leg, its own agent."""
    if reason.code.startswith("relay_"):
        return agent == "relay"
    kind = LEGS.get(reason.parameters.get("leg", ""))
    return kind is None or kind.agent == agent


def _missed(goal: goals.Goal, summary: dict[str, Any]) -> Reason:
    return Reason(
        "goal_missed",
        None,
        {
            "goal": goal.name,
            "measured": goal.measured,
            "comparison": goal.comparison,
            "limit": goal.limit,
            "at_least": is_goal_at_least(summary, goal.name),
            "why": goal.why,
            **({"consumers": goal.consumers} if goal.consumers else {}),
        },
    )


class _Dead:
    """What died in a run, in the order of time: agents, workers, servers."""

    def __init__(self, spec: RunSpec, summary: dict[str, Any], facts: Facts) -> None:
        self._parts: set[tuple[str, str]] = set()
        self._stopped = {
            (end.host, end.agent) for end in facts.agents if end.state == State.STOPPED
        }
        found = [*self._agents(facts), *self._workers(facts)]
        if not spec.survives_a_server:
            found += self._servers(spec, summary, facts)
        #: One reason for each.
        self.reasons = [reason for _, reason in sorted(found, key=lambda one: one[0])]
        if facts.stream_began_anew:
            self.reasons.append(Reason("stream_began_anew"))

    def left(self, problem: Reason) -> bool:
        """Whether a problem with files is what a death left behind."""
        if problem.host is None:
            return False
        if problem.code == "control_problem":
            return any(host == problem.host for host, _ in self._parts)
        part = str(problem.parameters.get("file", "")).split(".")[0]
        if part == "probe" and problem.parameters["file"] == "probe.final.json":
            part = "nats" if (problem.host, "nats") in self._parts else part
        # Of a worker's file, the worker or its agent.
        owners = {part, part.split("-")[0]}
        return any((problem.host, owner) in self._parts for owner in owners)

    def told(self, problem: Reason) -> bool:
        """Whether a playbook only noticed the end of a part that gives its own reason."""
        if problem.code != "control_problem":
            return False
        is_nats = problem.parameters["problem"] == Trouble.NATS_DOWN
        part = "nats" if is_nats else problem.parameters.get("agent")
        if problem.parameters["problem"] == Trouble.STOPPED:
            return self.has_ended(problem.host, part)
        return (problem.host, part) in self._parts

    def has_ended(self, host: str | None, part: str | None) -> bool:
        """Whether a part died or was stopped, for which there is a reason."""
        return (host, part) in self._parts | self._stopped

    def _agents(self, facts: Facts) -> Iterator[tuple[float, Reason]]:
        for end in facts.agents:
            if end.state in (State.DONE, State.STOPPED):
                continue
            self._parts.add((end.host, end.agent))
            if end.state == State.FAILED:
                failed = {"agent": end.agent, "message": end.message}
                yield end.at_s, Reason("agent_failed", end.host, failed)
            else:
                died = {
                    "at_s": end.at_s,
                    "state": end.state,
                    "message": end.message,
                    "has_log": end.has_log,
                }
                yield end.at_s, Reason(f"{end.agent}_died", end.host, died)

    def _workers(self, facts: Facts) -> Iterator[tuple[float, Reason]]:
        for death in facts.workers_killed:
            self._parts.add((death.host, f"consumers-{death.worker}"))
            # Workers go with their agent; the other way round, it fails because of them.
            if any(
                (end.host, end.agent) == (death.host, "consumers")
                and end.state not in (State.DONE, State.STOPPED, State.FAILED)
                for end in facts.agents
            ):
                continue
            parameters = {"worker": death.worker, "at_s": death.at_s}
            yield death.at_s, Reason("worker_died", death.host, parameters)

    def _servers(
        self, spec: RunSpec, summary: dict[str, Any], facts: Facts
    ) -> Iterator[tuple[float, Reason]]:
        loss = {
            "storage": spec.stream.storage,
            "servers": len(spec.hosts.get("nats", [])),
            "replicas": spec.stream.replicas,
        }
        for host, since_s in facts.servers_silent.items():
            self._parts.add((host, "nats"))
            at_s = _silent_since_s(host, since_s, summary, facts)
            told = {"since_s": at_s, **loss, "has_log": host in facts.servers_with_log}
            yield at_s, Reason("nats_died", host, told)
        for host, lives in facts.server_lives.items():
            if (
                host not in facts.servers_silent
                and len(lives) > 1
                and not _has_recovered(summary, facts)
            ):
                at_s = _silent_since_s(host, 0.0, summary, facts)
                yield at_s, Reason("nats_restarted", host, {"lives": lives, **loss})


def _silent_since_s(host: str, since_s: float, summary: dict[str, Any], facts: Facts) -> float:
    """Tell when a server fell silent: samples of it are seconds apart, its clients notice at once.

    In doubt early, for what else died in those seconds may have died of it.
    """
    answered_s = facts.servers_answered.get(host, since_s)
    noticed = [
        stall.begin_s
        for stall in stalls.of(summary.get("events") or ())
        if stall.kind == NATS_SILENT
        and stall.begin_s >= answered_s
        # It came back from those that were over.
        and (stall.end_s is None or stall.end_s >= since_s)
    ]
    return min(noticed, default=answered_s)


def _stopped(facts: Facts) -> Iterator[Reason]:
    """Name agents that were told to end, in the order in which they did."""
    for end in sorted(facts.agents, key=lambda end: end.at_s):
        if end.state == State.STOPPED:
            parameters = {"agent": end.agent, "message": end.message}
            yield Reason("agent_stopped", end.host, parameters)


def _has_recovered(summary: dict[str, Any], facts: Facts) -> bool:
    """Whether a run went on with a server that was started again, and accounts for all of it."""
    return facts.has_final and summary["ledger"]["unexplained"] == 0


def _failovers(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """NATS servers that failed, and streams that were lost, without an end to the run."""
    recovery = summary.get("recovery") or {}
    if recovery.get("streams_lost") and _has_recovered(summary, facts):
        yield Reason("stream_recreated", None, _cost(summary, recovery))
    if not spec.survives_a_server:
        for host, lives in facts.server_lives.items():
            if (
                host not in facts.servers_silent
                and len(lives) > 1
                and _has_recovered(summary, facts)
            ):
                yield Reason("nats_restarted_recovered", host, {"lives": lives})
        return
    for host, lives in facts.server_lives.items():
        if host in facts.servers_silent:
            yield Reason("nats_died_outlived", host)
        elif len(lives) > 1:
            yield Reason("nats_restarted_outlived", host, {"lives": lives})


def _cost(summary: dict[str, Any], recovery: dict[str, Any]) -> dict[str, Any]:
    """Say what a lost stream cost."""
    outages = recovery["outages"]
    served = [outage["served_again_s"] for outage in outages]
    return {
        "streams": recovery["streams_lost"],
        "rewound_to_seq": recovery["rewound_to_seq"],
        "replayed": recovery["replayed"],
        "lost": (summary["ledger"]["lost_by_cause"] or {}).get("stream_lost"),
        "lost_by_cause": recovery["lost_by_cause"],
        "repeats": summary["ledger"]["duplicate_deliveries"],
        "lost_s": outages[0]["lost_s"] if outages else None,
        "served_again_s": None if not served or None in served else max(served),
    }


def _disorder(summary: dict[str, Any]) -> Iterator[Reason]:
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


def _unjudged(judged: list[goals.Goal]) -> Iterator[Reason]:
    unjudged = [goal for goal in judged if goal.status == goals.NOT_MEASURED]
    names = []
    for goal in unjudged:
        still_open = next((why for why in goal.why if why.code == "calls_open"), None)
        if still_open is None:
            names.append(f"{goal.name} of {goal.consumers}" if goal.consumers else goal.name)
        else:
            yield Reason("goal_undecided", None, {"goal": goal.name, **still_open.parameters})
    if names:
        yield Reason("goals_not_measured", None, {"goals": names})


def _shorten(problems: list[Reason]) -> list[Reason]:
    if len(problems) <= SPELLED_OUT_MAX:
        return problems
    more = Reason("more_problems", None, {"count": len(problems) - SPELLED_OUT_MAX})
    return [*problems[:SPELLED_OUT_MAX], more]


def _imbalance(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    unexplained = summary["ledger"]["unexplained"]
    if unexplained is None:
        yield Reason("ledger_unmeasured")
    elif unexplained:
        yield Reason("ledger_unbalanced", None, {"unexplained": unexplained})
        for one in facts.disagreements:
            yield Reason("ledger_disagreement", None, asdict(one))


def _calls_missing(summary: dict[str, Any]) -> Iterator[Reason]:
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


def _late_generators(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    fidelity = summary["fidelity"]
    # What the agents themselves were late: what waited for an answer is late by another's doing.
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
    """Judge a relay of which only its lateness with all that held it up is known."""
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


def _blocked_reader(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Say that the relay's frames waited for their reader, and for what that waited."""
    blocked_s = summary["fidelity"].get("relay_blocked_s", facts.relay_blocked_s)
    if blocked_s is None or 1000 * blocked_s <= RELAY_LATENESS_P99_LIMIT_MS:
        return
    window = summary["window"]
    held_up = [
        stall
        for stall in stalls.of(summary.get("events") or ())
        if stall.overlaps(window["from_s"], window["until_s"])
        and (stall.kind == NATS_SILENT or (stall.kind, stall.part) == (AGENT_PAUSED, "shuffler"))
    ]
    pauses = [stall for stall in held_up if stall.kind == AGENT_PAUSED]

    def held_s(stall: stalls.Stall) -> float:
        """Of what NATS left unanswered, what the reader could have noticed."""
        if stall.kind == AGENT_PAUSED or stall.end_s is None:
            return stall.length_s
        return stall.length_s - sum(stall.shared_s(pause) for pause in pauses)

    cause = max(held_up, key=held_s, default=None)
    yield Reason(
        "reader_blocked",
        None,
        {
            "seconds": blocked_s,
            "cause": cause and cause.kind,
            "begin_s": cause and cause.begin_s,
            "end_s": cause and cause.end_s,
        },
    )


def _troubled_hosts(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
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


def _saturated_agents(facts: Facts) -> Iterator[Reason]:
    for process, share_pct in facts.process_cpu_pct.items():
        if share_pct > AGENT_CPU_LIMIT_PCT:
            used = {"process": process, "share_pct": share_pct, "limit_pct": AGENT_CPU_LIMIT_PCT}
            yield Reason("process_saturated", None, used)


def _unsure_clocks(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    for host, clock in summary["clock"].items():
        if spec.hosts["nats"] == [host]:
            # The clock that all others are compared with.
            continue
        bound_ms = clock["bound_ms"]
        if bound_ms is None:
            yield Reason("clock_unknown", host)
        elif bound_ms > CLOCK_BOUND_LIMIT_MS:
            bound = {"bound_ms": bound_ms, "limit_ms": CLOCK_BOUND_LIMIT_MS}
            yield Reason("clock_unsure", host, bound)


def _wrong_clocks(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    for host, clock in summary["clock"].items():
        if clock.get("stepped"):
            steps = [
                {
                    "step_ms": step["step_ms"],
                    "at_s": (step["unix_ns"] - spec.t0_unix_ns) / NS_PER_S,
                }
                for step in clock.get("steps") or ()
            ]
            yield Reason("clock_set", host, {"steps": steps})
    for name, leg in summary["latency_ms"].items():
        error_ms = leg["clock_error_ms"]
        if leg["min"] is None or error_ms is None:
            continue
        if leg["min"] < -(error_ms + CLOCK_SLACK_MS):
            negative = {"leg": name, "min_ms": leg["min"], "clock_error_ms": error_ms}
            yield Reason("latency_negative", None, negative)


def _short_offer(spec: RunSpec, facts: Facts) -> Iterator[Reason]:
    due, offered = spec.frames_due(), facts.frames_offered
    if due is not None and offered is not None and offered != due:
        yield Reason("frames_not_offered", None, {"offered": offered, "due": due})


def _unread_relay(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    ledger, url = summary["ledger"], spec.firehose.relay_url
    count = ledger["undecodable"]
    # Those that the run itself asked for are no reason to distrust it.
    limit = spec.firehose.undecodable_max_frames + facts.frames_damaged
    if count and count > limit:
        bad = {"count": count, "limit_frames": limit, "relay_url": url}
        yield Reason("frames_undecodable", None, bad)
    elif ledger["offered"] is not None and ledger["offered"] == (count or 0):
        yield Reason("nothing_read", None, {"relay_url": url})


def _notes(
    spec: RunSpec, summary: dict[str, Any], facts: Facts, *, has_nats_died: bool
) -> Iterator[Reason]:
    ledger = summary["ledger"]
    run = goal_figures.Measured(spec, summary, facts.never_fetched, polled_s=facts.polled_s)
    # Without a server, nothing that is left undone is by the parameters.
    if not has_nats_died:
        yield from _expected(run)
        for name, of_class in run.by_class():
            for reason in _expected(of_class):
                yield replace(reason, parameters={**reason.parameters, "consumers": name})
    if undecodable := ledger["undecodable"]:
        yield Reason("frames_left_out", None, {"count": undecodable})
    if ledger["duplicates_rejected"]:
        yield Reason("duplicates_rejected", None, {"count": ledger["duplicates_rejected"]})
    if ledger["redelivered"]:
        repeats = {"count": ledger["redelivered"], "duplicates": ledger["duplicate_deliveries"]}
        yield Reason("redelivered", None, repeats)
    for one in facts.tolerated:
        yield Reason("server_count_inexact", None, asdict(one))
    for host, clock in summary["clock"].items():
        offset_ms = clock.get("offset_at_start_ms")
        if offset_ms is not None and abs(offset_ms) > CLOCK_OFF_MS:
            yield Reason("clock_off", host, {"offset_ms": offset_ms})


def _expected(run: goal_figures.Measured) -> Iterator[Reason]:
    """Name what the parameters themselves leave undone."""
    ledger, plan, consumers = run.summary["ledger"], run.summary["plan"], run.spec.consumers
    capacity, owed = plan["capacity_per_consumer_per_s"], plan["owed_per_consumer_per_s"]
    # What was lost with a stream, say, is not left unread by the parameters.
    unread = (ledger["expired_unread"] or 0) + (ledger["pending_at_end"] or 0)
    is_mostly_lost = (ledger["lost"] or 0) > unread
    if capacity is not None and capacity < owed and not is_mostly_lost:
        is_measured = ledger["owed"] and ledger["delivered"] is not None
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
                "measured_unread_pct": 100 * (1 - ledger["delivered"] / ledger["owed"])
                if is_measured
                else None,
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
