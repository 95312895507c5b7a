"""Events from samples, for runs whose agents did not note them: see `spec.run_spec.EVENT_LOG`.

They are as late as the samples that show them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import AGENT, CONSUMERS, SERVER, Found, connections
from fpaas.bundle.parts import AgentSample, HostPart, cumulative
from fpaas.records.events import (
    CUT_OFF,
    LEADER_CHANGED,
    NATS_RECONNECTED,
    NATS_RESTARTED,
    RELAY_RECONNECTED,
)
from fpaas.records.nats import Varz


def find(bundle: Bundle) -> Iterator[Found]:
    """Iterate over what samples show."""
    yield from _reconnects(bundle)
    yield from _restarted(bundle)
    yield from _leaders(bundle)
    yield from _cut_off(bundle)


def _reconnects(bundle: Bundle) -> Iterator[Found]:
    """Find connections that were lost and made again."""
    for part in bundle.parts("shuffler"):
        for name, kind, whom in (
            ("nats_connects", NATS_RECONNECTED, "NATS"),
            ("relay_connects", RELAY_RECONNECTED, "the relay"),
        ):
            # The first connect is no event.
            for unix_ns, count in _growth(part.shuffler_samples, name, 1):
                parameters = {"agent": "shuffler", "connections": count}
                what = f"the shuffler connected to {whom} again{connections(count)}"
                yield Found(kind, AGENT, part.host, unix_ns, unix_ns, parameters, "reconnect", what)
    for part, worker in bundle.workers:
        for unix_ns, count in _growth(worker.samples, "reconnects", 0):
            parameters = {"agent": CONSUMERS, "workers": [worker.worker], "connections": count}
            what = f"consumers worker {worker.worker} reconnected{connections(count)}"
            yield Found(
                NATS_RECONNECTED, AGENT, part.host, unix_ns, unix_ns, parameters, "reconnect", what
            )


def _growth(samples: Sequence[AgentSample], name: str, start: int) -> Iterator[tuple[int, int]]:
    """Iterate over (when, by how much) of a counter's growth beyond `start`."""
    highest = start
    for unix_ns, value in cumulative(samples, name):
        if value > highest:
            yield unix_ns, int(value) - highest
            highest = int(value)


def _restarted(bundle: Bundle) -> Iterator[Found]:
    """Find servers that were started again."""
    for part in bundle.parts("nats"):
        for (_, before), (unix_ns, after) in pairwise(_server_ids(part)):
            if before != after:
                what = "NATS had been restarted"
                yield Found(
                    NATS_RESTARTED, SERVER, part.host, unix_ns, unix_ns, {}, "NATS restarted", what
                )


def _server_ids(part: HostPart) -> Iterator[tuple[int, str]]:
    """Iterate over which life of the server answered when, after the run, too."""
    yield from ((unix_ns, varz.server_id) for unix_ns, varz in _varz(part) if varz is not None)
    final = part.server_final
    if final is not None and final.server is not None:
        yield final.until_unix_ns, final.server.server_id


def _varz(part: HostPart) -> Iterator[tuple[int, Varz | None]]:
    for sample in part.nats_samples:
        yield sample.unix_ns, sample.varz


def _leaders(bundle: Bundle) -> Iterator[Found]:
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


def _cut_off(bundle: Bundle) -> Iterator[Found]:
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
            what = f"NATS cut off slow consumers{connections(count)}"
            yield Found(
                CUT_OFF, SERVER, part.host, unix_ns, unix_ns, parameters, "slow consumers", what
            )
