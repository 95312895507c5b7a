"""What happened by what samples and final accounts show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from fpaas.bundle import process_ends, restarts
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import (
    AGENT,
    AGENT_DIED,
    CLOCK_SET,
    CONSUMERS,
    CUT_OFF,
    LEADER_CHANGED,
    NATS_RECONNECTED,
    NATS_RESTARTED,
    OBSERVER,
    RELAY_RECONNECTED,
    SAMPLES_APART_NS,
    SERVER,
    WORKER_DIED,
    Found,
    how_long,
)
from fpaas.bundle.parts import AgentSample, HostPart, JsonObject, cumulative
from fpaas.records.events import (
    AGENT_RESTARTED,
    NATS_SILENT,
)
from fpaas.records.nats import Varz
from fpaas.records.probe import AGENT as PROBE
from fpaas.records.status import State, in_words
from fpaas.spec import NS_PER_S


def reconnects(bundle: Bundle) -> Iterator[Found]:
    """Find connections that were lost and made again."""
    for part in bundle.parts("shuffler"):
        for name, kind, whom in (
            ("nats_connects", NATS_RECONNECTED, "NATS"),
            ("relay_connects", RELAY_RECONNECTED, "the relay"),
        ):
            # The first connect is no event.
            for unix_ns, count in _growth(part.shuffler_samples, name, 1):
                parameters = {"agent": "shuffler", "connections": count}
                what = f"the shuffler connected to {whom} again{_times(count)}"
                yield Found(kind, AGENT, part.host, unix_ns, unix_ns, parameters, "reconnect", what)
    for part, worker in bundle.workers:
        for unix_ns, count in _growth(worker.samples, "reconnects", 0):
            parameters = {"agent": CONSUMERS, "workers": [worker.worker], "connections": count}
            what = f"consumers worker {worker.worker} reconnected{_times(count)}"
            yield Found(
                NATS_RECONNECTED, AGENT, part.host, unix_ns, unix_ns, parameters, "reconnect", what
            )


def _times(count: int) -> str:
    return f", {count} connections" if count > 1 else ""


def _growth(samples: Sequence[AgentSample], name: str, start: int) -> Iterator[tuple[int, int]]:
    """Iterate over (when, by how much) of a counter's growth beyond `start`."""
    highest = start
    for unix_ns, value in cumulative(samples, name):
        if value > highest:
            yield unix_ns, int(value) - highest
            highest = int(value)


def servers(bundle: Bundle, noticed: list[Found]) -> Iterator[Found]:
    """Find servers that did not answer, or were started again."""
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
        for (_, before), (unix_ns, after) in pairwise(_server_ids(part)):
            if before != after:
                what = "NATS had been started again"
                yield Found(
                    NATS_RESTARTED, SERVER, part.host, unix_ns, unix_ns, {}, "NATS restarted", what
                )


def _server_ids(part: HostPart) -> Iterator[tuple[int, str]]:
    """Iterate over which life of the server answered when, after the run, too."""
    yield from ((unix_ns, varz.server_id) for unix_ns, varz in _varz(part) if varz is not None)
    final = part.server_final
    if final is not None and final.server is not None:
        yield final.until_unix_ns, final.server.server_id


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

    for unix_ns, varz in _varz(part):
        if varz is None:
            if has_answered and since_unix_ns is None:
                since_unix_ns = unix_ns
            continue
        if since_unix_ns is not None:
            yield silence(unix_ns)
        has_answered, since_unix_ns = True, None
    if since_unix_ns is not None:
        yield silence(None)


def _varz(part: HostPart) -> Iterator[tuple[int, Varz | None]]:
    for sample in part.nats_samples:
        yield sample.unix_ns, sample.varz


def _overlap(one: Found, other: Found) -> bool:
    """Whether two stretches are of the same time, samples being seconds apart."""
    first, second = sorted((one, other), key=lambda found: found.begin_unix_ns)
    if first.end_unix_ns is None:
        return True
    return second.begin_unix_ns <= first.end_unix_ns + SAMPLES_APART_NS


def leaders(bundle: Bundle) -> Iterator[Found]:
    """Find changes of the stream's leader."""
    samples = [sample for part in bundle.parts("nats") for sample in part.nats_samples]
    leader = None
    for sample in sorted(samples, key=lambda sample: sample.unix_ns):
        now = sample.leader
        if now is None:
            continue
        if leader is not None and now != leader:
            parameters = {"leader": now, "before": leader}
            what = f"{now} leads the stream in place of {leader}"
            at = sample.unix_ns
            yield Found(LEADER_CHANGED, SERVER, None, at, at, parameters, "new leader", what)
        leader = now


def cut_off(bundle: Bundle) -> Iterator[Found]:
    """Find when a server cut off connections that did not read what it had for them."""
    for part in bundle.parts("nats"):
        before: Varz | None = None
        for unix_ns, varz in _varz(part):
            if varz is None or varz.slow_consumers is None:
                continue
            is_same = before is not None and before.server_id == varz.server_id
            had = (before.slow_consumers or 0) if before is not None and is_same else 0
            before, count = varz, varz.slow_consumers - had
            if count <= 0:
                continue
            parameters = {"connections": count}
            what = f"NATS cut off slow consumers{_times(count)}"
            yield Found(
                CUT_OFF, SERVER, part.host, unix_ns, unix_ns, parameters, "slow consumers", what
            )


def deaths(bundle: Bundle) -> Iterator[Found]:
    """Find agents and workers that died."""
    for part in bundle.hosts.values():
        for status in part.statuses.values():
            if status.state == State.DONE:
                continue
            last_unix_ns = last_sign(part, status.agent, status.unix_ns)
            ended_unix_ns = None
            # Who failed or was stopped said so before its process ended.
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
            at_unix_ns = process_ends.first_after(part, CONSUMERS, last_unix_ns) or last_unix_ns
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
