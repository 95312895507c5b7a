"""Events that samples and final accounts show: silences, deaths, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpaas.bundle import process_ends, restarts
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import (
    AGENT_DIED,
    CONSUMERS,
    OBSERVER,
    SAMPLES_APART_NS,
    WORKER_DIED,
    Found,
    how_long,
)
from fpaas.bundle.parts import HostPart, JsonObject
from fpaas.records.events import (
    AGENT_RESTARTED,
    CLOCK_SET,
    NATS_SILENT,
)
from fpaas.records.probe import AGENT as PROBE
from fpaas.records.status import State, in_words
from fpaas.spec import NS_PER_S


def unanswered(bundle: Bundle, noticed: list[Found]) -> Iterator[Found]:
    """Find when a server's monitoring port did not answer, unless the probe noticed a silence."""
    for part in bundle.parts("nats"):
        seen_better = [
            found
            for found in noticed
            if (found.kind, found.host, found.parameters["agent"])
            == (NATS_SILENT, part.host, PROBE)
        ]
        for silence in _unanswered(part):
            if not any(_overlap(silence, found) for found in seen_better):
                yield silence


def _unanswered(part: HostPart) -> Iterator[Found]:
    """Iterate over stretches of samples that NATS's monitoring port did not answer."""
    has_answered = False
    since_unix_ns: int | None = None

    def silence(until_unix_ns: int | None) -> Found:
        assert since_unix_ns is not None  # noqa: S101
        what = "NATS did not answer its monitoring port" + how_long(since_unix_ns, until_unix_ns)
        parameters = {"agent": PROBE, "asked": "monitoring"}
        return Found(
            NATS_SILENT,
            OBSERVER,
            part.host,
            since_unix_ns,
            until_unix_ns,
            parameters,
            "NATS silent",
            what,
        )

    for sample in part.nats_samples:
        unix_ns = sample.unix_ns
        if sample.varz is None:
            if has_answered and since_unix_ns is None:
                since_unix_ns = unix_ns
            continue
        if since_unix_ns is not None:
            yield silence(unix_ns)
        has_answered, since_unix_ns = True, None
    if since_unix_ns is not None:
        yield silence(None)


def _overlap(one: Found, other: Found) -> bool:
    """Whether two stretches are of the same time, samples being seconds apart."""
    first, second = sorted((one, other), key=lambda found: found.begin_unix_ns)
    if first.end_unix_ns is None:
        return True
    return second.begin_unix_ns <= first.end_unix_ns + SAMPLES_APART_NS


def deaths(bundle: Bundle) -> Iterator[Found]:
    """Find agents and workers that died."""
    for part in bundle.hosts.values():
        for status in part.statuses.values():
            if status.state == State.DONE:
                continue
            last_unix_ns = last_sign(part, status.agent, status.unix_ns)
            ended_unix_ns = None
            # An agent that failed or was stopped said so before its process ended.
            if status.state not in (State.FAILED, State.STOPPED):
                ended_unix_ns = process_ends.first_after(part, status.agent, last_unix_ns)
            what = {State.FAILED: "failed", State.STOPPED: "was stopped"}.get(status.state, "died")
            yield Found(
                AGENT_DIED,
                OBSERVER,
                part.host,
                min(ended_unix_ns or last_unix_ns, bundle.spec.settled_unix_ns),
                None,
                {"agent": status.agent, "state": status.state},
                f"{status.agent} {what.removeprefix('was ')}",
                f"{in_words(status.agent)} {what}",
            )
    for part, worker in bundle.workers:
        agent = part.statuses.get(CONSUMERS)
        # Workers go with their agent.
        has_agent = agent is not None and agent.state in (State.DONE, State.FAILED, State.STOPPED)
        if worker.was_killed and has_agent:
            last_unix_ns = worker.last_sign_unix_ns or bundle.spec.t0_unix_ns
            ended_unix_ns = process_ends.first_after(part, CONSUMERS, last_unix_ns, worker.worker)
            at_unix_ns = ended_unix_ns or last_unix_ns
            parameters = {"agent": CONSUMERS, "workers": [worker.worker]}
            what = f"{in_words(CONSUMERS, [worker.worker])} died"
            short = f"worker {worker.worker} died"
            yield Found(WORKER_DIED, OBSERVER, part.host, at_unix_ns, None, parameters, short, what)


def agent_restarts(bundle: Bundle) -> Iterator[Found]:
    """Find agents and workers that ended and were started again."""
    for one in restarts.find(bundle):
        parameters: dict[str, Any] = {"agent": one.agent, "exact": one.is_exact}
        if one.workers:
            parameters["workers"] = one.workers
        who = in_words(one.agent, one.workers)
        if one.end_unix_ns is None:
            what = f"{who} ended and was started again, and did not serve from then on"
        else:
            up_to = "" if one.is_exact else "up to "
            gone_s = (one.end_unix_ns - one.begin_unix_ns) / NS_PER_S
            what = f"{who} ended, was started again, and served nobody for {up_to}{gone_s:.1f} s"
        short = f"{one.agent} restarted"
        yield Found(
            AGENT_RESTARTED,
            OBSERVER,
            one.host,
            one.begin_unix_ns,
            one.end_unix_ns,
            parameters,
            short,
            what,
            one.noticed_unix_ns,
        )


def last_sign(part: HostPart, name: str, status_unix_ns: int) -> int:
    """Return when an agent was last heard of."""
    return max([status_unix_ns, *part.last_samples(name)])


def steps(clock: JsonObject) -> Iterator[Found]:
    """Find clocks that were set."""
    for host, one in clock.items():
        for step in one.get("steps") or ():
            what = f"the clock was set by {step['step_ms']:+.1f} ms"
            at, parameters = step["unix_ns"], {"step_ms": step["step_ms"]}
            yield Found(CLOCK_SET, OBSERVER, host, at, at, parameters, "clock set", what)
