"""What happened in a run beside its load: reconnects, servers that restarted, deaths, set clocks.

Out of the samples that a bundle has; an event is as late as the sample that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fpaas import agent
from fpaas.results.bundle import Bundle, HostPart, JsonObject, cumulative
from fpaas.spec import NS_PER_S


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened, in seconds since T0; `short` is for a chart's margin."""

    at_s: float
    short: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """As in summary.json."""
        return asdict(self)


def find(bundle: Bundle, clock: JsonObject) -> list[Event]:
    """Return the events of a run in order; `clock` is that of summary.json."""
    t0_unix_ns = bundle.spec.t0_unix_ns
    found = [
        *_reconnects(bundle),
        *_servers(bundle),
        *_leaders(bundle),
        *_deaths(bundle),
        *_steps(clock),
    ]
    return sorted(
        Event(round((unix_ns - t0_unix_ns) / NS_PER_S, 1), short, sentence)
        for unix_ns, short, sentence in found
    )


_Found = Iterator[tuple[int, str, str]]


def _reconnects(bundle: Bundle) -> _Found:
    for part in bundle.parts("shuffler"):
        for name, whom in (("nats_connects", "NATS"), ("relay_connects", "the relay")):
            # The first connect is no event.
            for unix_ns, count in _growth(part.shuffler_samples, name, 1):
                yield (
                    unix_ns,
                    "reconnect",
                    f"{part.host}: the shuffler connected to {whom} again{_times(count)}",
                )
    for part, worker in bundle.workers:
        for unix_ns, count in _growth(worker.samples, "reconnects", 0):
            yield (
                unix_ns,
                "reconnect",
                f"{part.host}: consumers worker {worker.worker} reconnected{_times(count)}",
            )


def _times(count: int) -> str:
    return f", {count} connections" if count > 1 else ""


def _growth(samples: Iterable[JsonObject], name: str, start: int) -> Iterator[tuple[int, int]]:
    """Iterate over (when, by how much) of a counter's growth beyond `start`."""
    highest = start
    for unix_ns, value in cumulative(samples, name):
        if value > highest:
            yield unix_ns, int(value) - highest
            highest = int(value)


def _servers(bundle: Bundle) -> _Found:
    for part in bundle.parts("nats"):
        server, is_silent = None, False
        for sample in part.nats_samples:
            varz, unix_ns = sample.get("varz"), sample.get("unix_ns")
            if not isinstance(unix_ns, int):
                continue
            if not varz:
                if not is_silent and server is not None:
                    yield unix_ns, "NATS silent", f"{part.host}: NATS did not answer"
                is_silent = True
                continue
            if server is not None and varz.get("server_id") != server:
                yield unix_ns, "NATS restarted", f"{part.host}: NATS had been started again"
            elif is_silent and server is not None:
                yield unix_ns, "NATS answers", f"{part.host}: NATS answered again"
            server, is_silent = varz.get("server_id"), False


def _leaders(bundle: Bundle) -> _Found:
    samples = [sample for part in bundle.parts("nats") for sample in part.nats_samples]
    leader = None
    for sample in sorted(samples, key=lambda sample: sample.get("unix_ns") or 0):
        now = sample.get("leader")
        if now is None:
            continue
        if leader is not None and now != leader:
            yield sample["unix_ns"], "new leader", f"{now} leads the stream in place of {leader}"
        leader = now


def _deaths(bundle: Bundle) -> _Found:
    for part in bundle.hosts.values():
        for status in part.statuses.values():
            if status.state == agent.DONE:
                continue
            what = {agent.FAILED: "failed", agent.STOPPED: "was stopped"}.get(status.state, "died")
            yield (
                min(_last_sign(part, status.agent, status.unix_ns), bundle.spec.settled_unix_ns),
                f"{status.agent} {what}",
                f"{part.host}: the {status.agent} {what}",
            )


def _last_sign(part: HostPart, name: str, status_unix_ns: int) -> int:
    """Return when an agent was last heard of; it writes samples more often than its status."""
    samples = {"relay": part.relay_samples, "shuffler": part.shuffler_samples}.get(name, [])
    times = [at for sample in samples[-1:] if isinstance(at := sample.get("unix_ns"), int)]
    return max([status_unix_ns, *times])


def _steps(clock: JsonObject) -> _Found:
    for host, one in clock.items():
        for step in one.get("steps") or ():
            yield (
                step["unix_ns"],
                "clock set",
                f"{host}: the clock was set by {step['step_ms']:+.1f} ms",
            )
