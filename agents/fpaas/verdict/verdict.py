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
from dataclasses import dataclass
from typing import Any, Final, Literal

from fpaas.latency.leg_kinds import LEGS
from fpaas.latency.lower_bounds import is_goal_at_least
from fpaas.reason import Reason
from fpaas.records import judgement as records
from fpaas.records.events import AGENT_RESTARTED
from fpaas.spec import RunSpec
from fpaas.spec.faults import NATS
from fpaas.verdict import (
    clock_limits,
    codes,
    deaths,
    failures,
    fault_excuses,
    generators,
    goal_figures,
    goals,
    imbalance,
    notes,
    relay_limits,
    stalls,
    standstills,
)
from fpaas.verdict.facts import Facts
from fpaas.verdict.measured import Measured

PASS: Final = "pass"  # noqa: S105
FAIL: Final = "fail"
INVALID: Final = "invalid"
STATUSES = (PASS, FAIL, INVALID)
Status = Literal["pass", "fail", "invalid"]
#: This many problems with files are spelled out.
SPELLED_OUT_MAX = 10


@dataclass(frozen=True)
class Verdict:
    """`reasons` are of severity invalid, then fail; `notes` are what nobody did wrong."""

    status: Status
    reasons: list[Reason]
    notes: list[Reason]
    goals: list[goals.Goal]
    #: The reasons that say that the load generators did not keep up.
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
    failed = list(failures.of(spec, summary, facts))
    by_itself = [one for one in failed if one.parameters.get("by_itself")]
    measured = Measured(
        spec,
        summary,
        facts.never_fetched,
        facts.shuffler_reconnects,
        by_itself if facts.knows_ends else None,
        facts.publish_failures,
        failed_over=not by_itself and any(one.part == NATS for one in facts.ends),
        polled_s=facts.polled_s,
    )
    judged = goals.judge(measured)
    dead = deaths.Dead(spec, summary, facts)
    without_memory = list(deaths.without_memory(facts, dead.reasons))
    given = [codes.given(text) for text in facts.invalid_reasons]
    stopped = list(deaths.stopped(facts))
    problems = [
        one
        for position, one in enumerate(facts.problems)
        if one not in facts.problems[:position] and not dead.told(one)
    ]
    own_problems = [one for one in problems if not dead.left(one)]
    late = [*generators.late(summary, facts), *generators.saturated(facts)]
    late = [
        *generators.waited_to_begin(summary, late),
        *generators.paused(summary, late),
        *late,
    ]
    unexplained = [*imbalance.of_ledger(summary, facts), *imbalance.calls_missing(summary)]
    beyond = list(_relay_beyond(spec, summary, dead.reasons))
    invalid = [
        *without_memory,
        *dead.reasons,
        *given,
        *_shorten(own_problems),
        *stopped,
        *fault_excuses.amiss(spec, summary),
        *_restarted(summary, [*unexplained, *beyond]),
        *unexplained,
        *late,
        *_unsampled(facts, dead),
        *generators.troubled_hosts(spec, summary),
        *clock_limits.unsure_clocks(spec, summary),
        *clock_limits.wrong_clocks(spec, summary),
        *imbalance.paused_durables(summary, facts),
        *imbalance.short_offer(spec, facts),
        *imbalance.unread_relay(spec, summary, facts),
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
    # If parts are missing, so are figures.
    if not invalid and (unjudged := list(_unjudged(judged))):
        invalid = [*_restarted(summary, unjudged), *unjudged]
    missed = [_missed(goal, summary) for goal in judged if goal.status == goals.MISSED]
    missed += imbalance.disorder(summary)
    # Short breaks are the price of going on without a server.
    broken = list(goal_figures.broken_exchanges(measured)) if measured.failed_over else []
    died = {reason.code for reason in dead.reasons}
    noted = [
        *failed,
        *excused,
        *fault_excuses.late(summary),
        *broken,
        *generators.blocked_reader(summary, facts),
        *standstills.notes(spec, summary, invalid),
        *relay_limits.notes(spec, summary),
        *notes.of(spec, summary, facts, has_nats_died="nats_died" in died),
        *notes.killed_for_memory(facts, without_memory),
        *notes.watching(facts),
    ]
    status: Status = INVALID if invalid else FAIL if missed else PASS
    breakdowns = [*without_memory, *dead.reasons, *given, *stopped]
    # If its reader held it up, nobody knows whether the relay was late by itself.
    late = [reason for reason in late if reason.code != "relay_lateness_unresolved"]
    return Verdict(status, [*invalid, *missed], noted, judged, late, breakdowns)


def _relay_beyond(spec: RunSpec, summary: dict[str, Any], dead: list[Reason]) -> Iterator[Reason]:
    """Name what the relay did beyond its limits, except that ours is silent after it died."""
    has_died = any(reason.code == "relay_died" for reason in dead)
    for reason in relay_limits.beyond(spec, summary):
        if not (has_died and reason.code == "relay_silent"):
            yield reason


def _unsampled(facts: Facts, dead: deaths.Dead) -> Iterator[Reason]:
    for host, missing_s in facts.unsampled_s.items():
        # A probe that ended leaves no samples, of course.
        if not dead.has_ended(host, "probe"):
            yield Reason("host_unsampled", host, {"missing_s": missing_s})


def _restarted(summary: dict[str, Any], following: list[Reason]) -> Iterator[Reason]:
    """Name what ended and was started again, if one of these reasons may follow from it."""
    for stall in stalls.of(summary.get("events") or ()):
        may_follow = any(_follows_from(stall.part, reason) for reason in following)
        if stall.kind == AGENT_RESTARTED and may_follow:
            gone = {
                "agent": stall.part,
                "workers": stall.workers,
                "begin_s": stall.begin_s,
                "end_s": stall.end_s,
            }
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


def _unjudged(judged: list[goals.Goal]) -> Iterator[Reason]:
    unjudged = [goal for goal in judged if goal.status == goals.NOT_MEASURED]
    names = []
    for goal in unjudged:
        still_open = next((why for why in goal.why if why.code == "calls_open"), None)
        if still_open is None:
            is_of_each = goal.consumers is not None and goals.DOT not in goal.name
            names.append(f"{goal.name} of {goal.consumers}" if is_of_each else goal.name)
        else:
            yield Reason("goal_undecided", None, {"goal": goal.name, **still_open.parameters})
    if names:
        yield Reason("goals_not_measured", None, {"goals": names})


def _shorten(problems: list[Reason]) -> list[Reason]:
    if len(problems) <= SPELLED_OUT_MAX:
        return problems
    more = Reason("more_problems", None, {"count": len(problems) - SPELLED_OUT_MAX})
    return [*problems[:SPELLED_OUT_MAX], more]
