"""What died or was stopped in a run, in the order of time: agents, workers, servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fpaas.reason import Reason
from fpaas.records.control import Trouble
from fpaas.records.events import NATS_SILENT
from fpaas.records.status import State
from fpaas.spec import RunSpec
from fpaas.verdict import stalls
from fpaas.verdict.facts import AgentEnd, Facts, WorkerDeath


class Dead:
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
        self.reasons += _forgotten(summary, facts)
        self.reasons += _renumbered(summary, facts)

    def left(self, problem: Reason) -> bool:
        """Whether a death explains a problem with files."""
        if problem.host is None:
            return False
        if problem.code == "control_problem":
            return any(host == problem.host for host, _ in self._parts)
        part = str(problem.parameters.get("file", "")).split(".")[0]
        if part == "probe" and problem.parameters["file"] == "probe.final.json":
            part = "nats" if (problem.host, "nats") in self._parts else part
        # A worker's file is its own or its agent's.
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
        """Whether a part died or was stopped, so that there is a reason for it."""
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
                    "ended_s": end.ended_s,
                    "state": end.state,
                    "message": end.message,
                    "has_log": end.has_log,
                    "workers": [
                        death.worker
                        for death in facts.workers_killed
                        if (end.host, end.agent) == (death.host, "consumers")
                    ],
                }
                yield _known_s(end), Reason(f"{end.agent}_died", end.host, died)

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
            parameters = {"worker": death.worker, "at_s": death.at_s, "ended_s": death.ended_s}
            yield _known_s(death), Reason("worker_died", death.host, parameters)

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
            told = {
                "since_s": at_s,
                **loss,
                "is_running": host in facts.servers_running,
                "has_log": host in facts.servers_with_log,
            }
            yield at_s, Reason("nats_died", host, told)
        has_forgotten = any(_forgotten(summary, facts))
        for host, lives in facts.server_lives.items():
            if (
                host not in facts.servers_silent
                and len(lives) > 1
                and not has_recovered(summary, facts)
                and not has_forgotten
            ):
                at_s = _silent_since_s(host, 0.0, summary, facts)
                yield at_s, Reason("nats_restarted", host, {"lives": lives, **loss})


def _forgotten(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Say that a server did not keep what it had acked, unless all of it was put back."""
    recovery = summary.get("recovery") or {}
    if missing := recovery.get("forgotten_missing"):
        told = {"count": recovery["forgotten"], "missing": missing}
        yield Reason("acked_forgotten", None, told)
    elif facts.places_given_twice:
        yield Reason("acked_forgotten", None, {"count": None, "missing": None})


def _renumbered(summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Say that a shuffler went on with numbers that the relay had no more, if it shows."""
    ledger = summary["ledger"]
    if facts.renumbered_unsaved_s is not None and (ledger["unexplained"] or ledger["not_read"]):
        yield Reason("renumbered_unsaved", None, {"at_s": facts.renumbered_unsaved_s})


def _known_s(end: AgentEnd | WorkerDeath) -> float:
    """Return when a process ended, as far as that is known."""
    return end.at_s if end.ended_s is None else end.ended_s


def _silent_since_s(host: str, since_s: float, summary: dict[str, Any], facts: Facts) -> float:
    """Tell when a server fell silent: samples of it are seconds apart, its clients notice at once.

    If in doubt, early: other parts that died in those seconds may have died of it.
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


def without_memory(facts: Facts, reasons: Sequence[Reason]) -> Iterator[Reason]:
    """Name hosts on which something died and whose kernel killed processes for want of memory."""
    for host in dict.fromkeys(reason.host for reason in reasons):
        if host in facts.killed_for_memory:
            yield Reason("memory_ran_out", host, {"count": facts.killed_for_memory[host]})


def stopped(facts: Facts) -> Iterator[Reason]:
    """Name agents that were told to end, in the order in which they did."""
    for end in sorted(facts.agents, key=lambda end: end.at_s):
        if end.state == State.STOPPED:
            parameters = {"agent": end.agent, "message": end.message}
            yield Reason("agent_stopped", end.host, parameters)


def has_recovered(summary: dict[str, Any], facts: Facts) -> bool:
    """Whether a run went on with a server that was started again, and accounts for all of it."""
    return facts.has_final and summary["ledger"]["unexplained"] == 0
