"""What the verdict needs from a bundle, beside summary.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fpaas.bundle import process_ends, restarts, server_ends
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject, cumulative
from fpaas.bundle.restarts import PartEnds
from fpaas.firehose import renumbering
from fpaas.latency import duties
from fpaas.latency.legs import Legs
from fpaas.ledger.disagreements import Disagreement
from fpaas.ledger.ledger import Ledger
from fpaas.ledger.publishing import at_least_read
from fpaas.measures.figures import Window, growth
from fpaas.reason import Reason
from fpaas.records.consumers import WorkerResult
from fpaas.records.events import PROCESS_ENDED, PROCESS_MISSING
from fpaas.records.probe import AGENT as PROBE
from fpaas.records.status import State
from fpaas.resources import resources
from fpaas.spec import NS_PER_S
from fpaas.spec.faults import CONSUMERS, SHUFFLER
from fpaas.verdict import server_lives

#: A probe samples once a second; beyond both, what it left out could hide what went on.
UNSAMPLED_MAX_S = 2
UNSAMPLED_MAX_SHARE = 0.2

#: A shuffler that runs keeps its place so often, at the latest.
KEPT_WITHIN_S = 1.5


@dataclass(frozen=True)
class AgentEnd:
    """How an agent ended: its last state and words, and when it gave its last sign of life.

    Times are in seconds since T0; `ended_s` is None if nobody saw its process end.
    """

    host: str
    agent: str
    state: str
    message: str
    at_s: float
    has_log: bool = False
    ended_s: float | None = None


@dataclass(frozen=True)
class WorkerDeath:
    """A consumers worker that was killed; its times are those of an agent's end."""

    host: str
    worker: int
    at_s: float
    ended_s: float | None = None


@dataclass(frozen=True)
class Facts:
    """What the verdict needs beside summary.json; mappings go from a name to its figure."""

    problems: list[Reason] = field(default_factory=list)
    #: As `fpaas report --invalid` was given them.
    invalid_reasons: list[str] = field(default_factory=list)
    agents: list[AgentEnd] = field(default_factory=list)
    workers_killed: list[WorkerDeath] = field(default_factory=list)
    server_lives: dict[str, list[str]] = field(default_factory=dict)
    #: By NATS host, when it was first found silent for good, in seconds since T0.
    servers_silent: dict[str, float] = field(default_factory=dict)
    #: NATS hosts on which a server's process was there to the end, whether it answered or not.
    servers_running: list[str] = field(default_factory=list)
    #: NATS hosts whose nats.log says anything.
    servers_with_log: list[str] = field(default_factory=list)
    #: By NATS host, when the first server there answered for the last time, in seconds since T0.
    servers_answered: dict[str, float] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    #: Those that come from counts of the server that are known not to be exact.
    tolerated: list[Disagreement] = field(default_factory=list)
    never_fetched: int | None = None
    #: Every consumer was polled for at least so long without a break; None: as the spec has it.
    polled_s: float | None = None
    loop_lag_p99_ms: dict[str, float] = field(default_factory=dict)
    #: The agents' own lateness, outside of the times in which faults of the run explain it; None
    #: if there is nothing to leave out. The same holds for the lag above.
    own_lateness_p99_ms: dict[str, float] | None = None
    process_cpu_pct: dict[str, float] = field(default_factory=dict)
    #: By host, how many processes the kernel killed in the run because memory ran out, if any.
    killed_for_memory: dict[str, int] = field(default_factory=dict)
    #: (host, process, seconds since T0), for each time that Prometheus or Grafana ended in the run.
    watching_ended: list[tuple[str, str, float]] = field(default_factory=list)
    #: (host, process): Prometheus or Grafana did not run when the run began.
    watching_missing: list[tuple[str, str]] = field(default_factory=list)
    #: By host, seconds of the window without a sample, if there are too many.
    unsampled_s: dict[str, int] = field(default_factory=dict)
    #: Durables that were paused when the run was over.
    durables_paused: int = 0
    frames_offered: int | None = None
    #: How many of them are malformed because a fault asked for it.
    frames_damaged: int = 0
    #: In the window, how long sockets of the relay's subscribers took no more; None: not known.
    relay_blocked_s: float | None = None
    shuffler_reconnects: int = 0
    publish_failures: dict[str, int] = field(default_factory=dict)
    stream_began_anew: bool = False
    #: The stream gave new messages the places of others, and nobody could say which it forgot.
    places_given_twice: bool = False
    #: When a fault made the relay renumber just before the shuffler ended, or while it was away.
    renumbered_unsaved_s: float | None = None
    #: Servers that ended in the run, and agents and workers that did and were started again.
    ends: list[PartEnds] = field(default_factory=list)
    #: Whether those who would have seen ends left anything.
    knows_ends: bool = True
    #: Whether the server told its figures of the run's stream at the end.
    has_final: bool = False


def collect(
    bundle: Bundle,
    window: Window,
    legs: Legs,
    balance: Ledger,
    results: list[WorkerResult] | None,
    *,
    faults: Sequence[JsonObject],
) -> Facts:
    """Collect facts; `results` are the workers' figures, None if one is missing.

    `faults` are those of summary.json.
    """
    outside = duties.outside(bundle, window, faults)
    lags = {}
    for name in ("relay", "shuffler", "consumers"):
        worst = legs.worst_p99_ms(name, "loop_lag")
        if worst is not None:
            lags[worst[0]] = worst[1]
    shuffler, silent = bundle.shuffler, server_lives.silent(bundle)
    relay = at_least_read(bundle.relay, shuffler) if bundle.relay else None
    return Facts(
        problems=[*bundle.problems],
        invalid_reasons=bundle.invalid_reasons,
        agents=list(_agents(bundle)),
        workers_killed=list(_workers_killed(bundle)),
        server_lives=server_lives.lives(bundle),
        servers_silent=silent,
        servers_running=[
            part.host for part in bundle.parts("nats") if server_lives.is_running(bundle, part)
        ],
        servers_with_log=[part.host for part in bundle.parts("nats") if part.has_log("nats")],
        servers_answered=server_lives.answered(bundle),
        disagreements=balance.disagreements,
        tolerated=balance.tolerated,
        never_fetched=None if results is None else _never_fetched(bundle, results),
        polled_s=_polled_s(bundle),
        loop_lag_p99_ms=lags if outside is None else outside.loop_lag,
        own_lateness_p99_ms=None if outside is None else outside.own,
        process_cpu_pct=resources.agent_cpu_pct(bundle, window),
        killed_for_memory=_killed_for_memory(bundle),
        watching_ended=[
            (host, process, _since_t0_s(bundle, unix_ns))
            for host, process, unix_ns in _watching(bundle, PROCESS_ENDED)
        ],
        watching_missing=[one[:2] for one in _watching(bundle, PROCESS_MISSING)],
        unsampled_s=_unsampled_s(bundle, window),
        durables_paused=0
        if bundle.server_final is None
        else sum(durable.paused for durable in bundle.server_final.durables.values()),
        frames_offered=relay.offered if relay else None,
        frames_damaged=relay.damaged if relay else 0,
        relay_blocked_s=_relay_blocked_s(bundle, window),
        shuffler_reconnects=shuffler.nats_connections.reconnects if shuffler else 0,
        publish_failures=shuffler.failures_by_reason if shuffler else {},
        stream_began_anew=bundle.stream_made_after is not None,
        places_given_twice=shuffler is not None and shuffler.stream_began_anew,
        renumbered_unsaved_s=renumbered_unsaved_s(bundle),
        knows_ends=_knows_ends(bundle),
        ends=[*server_ends.find(bundle, silent), *restarts.ends(bundle)],
        has_final=bundle.stream_final is not None,
    )


def renumbered_unsaved_s(bundle: Bundle) -> float | None:
    """Return when the relay renumbered though no shuffler kept that; None if it did not.

    A shuffler keeps its place each second.
    """
    times_s = [
        at_s
        for fault in bundle.spec.faults
        if fault.do in (renumbering.REWIND, renumbering.RENUMBER)
        for at_s in ((fault.at_s, fault.until_s) if fault.for_s else (fault.at_s,))
    ]
    for one in restarts.find(bundle) if times_s else ():
        since_s = _since_t0_s(bundle, one.begin_unix_ns) - KEPT_WITHIN_S
        until_s = _since_t0_s(bundle, one.end_unix_ns or bundle.spec.settled_unix_ns)
        found = [at_s for at_s in times_s if since_s <= at_s <= until_s]
        if one.agent == SHUFFLER and found:
            return found[0]
    return None


def _agents(bundle: Bundle) -> Iterator[AgentEnd]:
    for part in bundle.hosts.values():
        for name, status in part.statuses.items():
            last_unix_ns = status.unix_ns
            if status.state not in (State.FAILED, State.STOPPED):
                last_unix_ns = max([last_unix_ns, *part.last_samples(name)])
            at_s = _since_t0_s(bundle, min(last_unix_ns, bundle.spec.settled_unix_ns))
            yield AgentEnd(
                host=part.host,
                agent=name,
                state=status.state,
                message=status.message,
                at_s=at_s,
                ended_s=_ended_s(bundle, process_ends.first_after(part, name, last_unix_ns)),
                has_log=part.has_log(name),
            )


def _never_fetched(bundle: Bundle, results: list[WorkerResult]) -> int:
    """Count consumers that received nothing; of those that others went on with, from none."""
    if not any(worker.gone_on_unix_ns is not None for _, worker in bundle.workers):
        return sum(result.consumers_never_fetched for result in results)
    fetched = {
        log.consumer_index
        for _, worker in bundle.workers
        for log in worker.deliveries or ()
        if log.runs
    }
    return bundle.spec.consumers.count - len(fetched)


def _polled_s(bundle: Bundle) -> float | None:
    """Return how long the polls of those consumers came who were polled least; None: not known.

    If several workers polled a consumer in turn, the longest turn counts.
    """
    spec = bundle.spec
    turns_ns: defaultdict[tuple[str, int], int] = defaultdict(int)
    for part, worker in bundle.workers:
        result = worker.result
        if result is None:
            return None
        until_unix_ns = result.polls_until_unix_ns
        if until_unix_ns is None:
            is_cut = not result.complete and worker.samples
            until_unix_ns = worker.samples[-1].unix_ns if is_cut else spec.end_unix_ns
        turn_ns = until_unix_ns - (result.polls_from_unix_ns or spec.t0_unix_ns)
        whose = part.host, result.first
        turns_ns[whose] = max(turns_ns[whose], turn_ns)
    return min(turns_ns.values()) / NS_PER_S if turns_ns else None


def _workers_killed(bundle: Bundle) -> Iterator[WorkerDeath]:
    for part, worker in bundle.workers:
        if worker.was_killed:
            last_unix_ns = worker.last_sign_unix_ns or bundle.spec.t0_unix_ns
            yield WorkerDeath(
                host=part.host,
                worker=worker.worker,
                at_s=_since_t0_s(bundle, last_unix_ns),
                ended_s=_ended_s(
                    bundle, process_ends.first_after(part, CONSUMERS, last_unix_ns, worker.worker)
                ),
            )


def _ended_s(bundle: Bundle, ended_unix_ns: int | None) -> float | None:
    return None if ended_unix_ns is None else _since_t0_s(bundle, ended_unix_ns)


def _since_t0_s(bundle: Bundle, unix_ns: int) -> float:
    return (unix_ns - bundle.spec.t0_unix_ns) / NS_PER_S


def _watching(bundle: Bundle, kind: str) -> Iterator[tuple[str, str, int]]:
    """Iterate over (host, process, Unix ns) of the run's events of what watches the lab."""
    spec = bundle.spec
    for part in (*bundle.hosts.values(), *bundle.watching):
        for record in part.events.get(PROBE, ()):
            process = record.parameters.get("process")
            is_in_run = spec.t0_unix_ns <= record.begin_unix_ns < spec.end_unix_ns
            if record.kind == kind and process in resources.WATCHING and is_in_run:
                yield part.host, str(process), record.begin_unix_ns


def _knows_ends(bundle: Bundle) -> bool:
    """Whether everyone who would have seen a part end left something."""
    return (
        bundle.shuffler is not None
        and all(part.nats_samples for part in bundle.parts("nats"))
        and all(part.host_samples for part in bundle.hosts.values())
    )


def _killed_for_memory(bundle: Bundle) -> dict[str, int]:
    found = {}
    for part in bundle.hosts.values():
        counts = [one.oom_kills for one in part.host_samples if one.oom_kills is not None]
        if counts and counts[-1] > counts[0]:
            found[part.host] = counts[-1] - counts[0]
    return found


def _unsampled_s(bundle: Bundle, window: Window) -> dict[str, int]:
    """Return, by host, how many seconds of the window its probe left out, if too many."""
    found = {}
    for part in bundle.hosts.values():
        times = (sample.unix_ns for sample in part.host_samples if sample.unix_ns in window)
        # Samples are a second apart, but for some milliseconds.
        at_ns = [window.from_unix_ns, *sorted(times), window.until_unix_ns]
        missing = sum(max(0, round((b - a) / NS_PER_S) - 1) for a, b in pairwise(at_ns))
        if missing > max(UNSAMPLED_MAX_S, UNSAMPLED_MAX_SHARE * window.length_s):
            found[part.host] = missing
    return found


def _relay_blocked_s(bundle: Bundle, window: Window) -> float | None:
    blocked = [
        growth(list(cumulative(part.relay_samples, "blocked_s")), window)
        for part in bundle.parts("relay")
    ]
    known = [one[0] for one in blocked if one is not None]
    return sum(known) if known else None
