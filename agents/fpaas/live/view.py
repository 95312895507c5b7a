"""All hosts' parts as one view of the run: what a person wants to see of it now. Pure."""

from __future__ import annotations

import binascii
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from fpaas.live import standing
from fpaas.live.dump import LEGS, SAMPLES_MAX, TITLES, HostDump
from fpaas.live.standing import Goal
from fpaas.measures.histograms import new_histogram
from fpaas.records.events import NATS_RECONNECTED, PROCESS_ENDED, RELAY_RECONNECTED, EventRecord
from fpaas.records.nats import NatsSample
from fpaas.records.status import ENDED, State
from fpaas.report.series import Series, rate_per_s
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.spec.faults import CONSUMERS
from fpaas.verdict.verdict import INVALID

#: Agents whose message, while they run, says what is wrong.
TELL_TROUBLE = ("probe", "shuffler")
#: Events that are named for how they end, and may go on.
LOST = {NATS_RECONNECTED: "NATS connection lost", RELAY_RECONNECTED: "relay connection lost"}
#: Phases of a run that nobody needs to watch any longer; the second came before its time.
OVER, STOPPED = "over", "stopped"
STARTING = "starting"
#: What is a second now is the mean of so many.
RATE_OVER_S = 3
#: A finished run's rates, all of its window, as its summary has them; what was read has none.
WINDOW_RATES = {
    "offered": "offered_per_s",
    "stored": "published_per_s",
    "received": "processed_per_s",
}
#: Ends of processes this close to one another are one line.
FOLDED_WITHIN_S = 5.0


#: An agent's samples, and whether it has ended.
_Source = tuple[Sequence[Any], bool]


@dataclass(frozen=True)
class Flow:
    """One step of the data's way: how much so far, and how much in each second.

    `per_s` is the rate now, of a finished run that of its window; None: not known.
    """

    name: str
    total: int | None
    rates: list[float]
    per_s: float | None


@dataclass(frozen=True)
class Latency:
    """A latency of the last seconds, of a finished run that of its window, ms; None: no samples.

    `open_count`: without an answer now. `at_least`: of p50 and p99, whether such calls could make
    it larger, if that is known.
    """

    name: str
    p50_ms: float | None
    p99_ms: float | None
    open_count: int
    at_least: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Host:
    """A host as its probe saw it last."""

    name: str
    cpu_pct: float | None
    mem_mb: float | None
    agents: str


@dataclass(frozen=True)
class View:
    """The run, now. Counts are None if nobody has said."""

    run: RunSpec
    phase: str
    elapsed_s: float
    total_s: float
    flows: list[Flow]
    latencies: list[Latency]
    lag_p50: float | None
    lag_max: float | None
    stream_messages: int | None
    stream_mb: float | None
    #: How long ago the stream and the lag were looked at, whichever is older; None: nothing is now.
    nats_age_s: float | None
    processes: dict[str, tuple[float, float]]
    hosts: list[Host]
    ledger: dict[str, int | None]
    goals: list[Goal]
    events: list[tuple[float, str]]
    problems: list[str]
    verdict: str

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return bool(self.verdict) or self.phase in (OVER, STOPPED)


def make(
    run: RunSpec,
    dumps: Mapping[str, HostDump],
    now_unix_ns: int,
    summary: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
) -> View:
    """Put hosts' parts together; `summary` is a finished run's, `now_unix_ns` the common time."""
    parts = list(dumps.values())
    relay = [sample for part in parts for sample in part.relay[-1:]]
    shuffler = [sample for part in parts for sample in part.shuffler[-1:]]
    workers = [lines for part in parts for lines in part.workers if lines]
    offered = sum(one.events for one in relay) if relay else None
    read = sum(one.read for one in shuffler) if shuffler else None
    stored = sum(one.published for one in shuffler) if shuffler else None
    received = sum(lines[-1].processed for lines in workers) if workers else None
    # Before it is armed, a run has no T0.
    t0_unix_ns = run.t0_unix_ns if run.is_armed else now_unix_ns
    nats, nats_unix_ns = _nats(run, dumps)
    total_s = (run.settled_unix_ns - run.t0_unix_ns) / NS_PER_S
    stopped_unix_ns = _stopped_unix_ns(run, parts)
    phase = run.phase(now_unix_ns) if run.is_armed else STARTING
    if summary is not None:
        phase = OVER
    elif stopped_unix_ns is not None:
        phase = STOPPED
    if stopped_unix_ns is not None:
        elapsed_s = (stopped_unix_ns - t0_unix_ns) / NS_PER_S
    else:
        elapsed_s = total_s if phase == OVER else (now_unix_ns - t0_unix_ns) / NS_PER_S
    until_s = min(total_s, elapsed_s)

    def rates(sources: Sequence[_Source], name: str) -> list[float]:
        lines: list[Series] = [
            (
                [(one.unix_ns - t0_unix_ns) / NS_PER_S for one in samples],
                [float(getattr(one, name)) for one in samples],
            )
            for samples, _ in sources
            if samples
        ]
        # Of a long run only the last samples are here; what came later has no earlier ones.
        first_s = max((x[0] for x, _ in lines if len(x) >= SAMPLES_MAX), default=0.0)
        # What has ended counts no more; of what has not, nobody knows yet.
        for (x, y), has_ended in zip(lines, (ended for one, ended in sources if one), strict=True):
            if has_ended and x[-1] < until_s:
                x.append(until_s)
                y.append(y[-1])
        at_s, values = rate_per_s(lines, until_s)
        # Before that there are no rates, only totals.
        return [value for at, value in zip(at_s, values, strict=True) if at - 0.5 >= first_s - 1.5]

    def flow(name: str, total: int | None, sources: Sequence[_Source], count: str) -> Flow:
        seconds = rates(sources, count)
        if summary is None:
            recent = seconds[-RATE_OVER_S:]
            return Flow(name, total, seconds, sum(recent) / len(recent) if recent else None)
        of_window = summary.get("throughput", {})
        return Flow(name, total, seconds, of_window.get(WINDOW_RATES.get(name)))

    if summary is None:
        latencies = [_latency(leg, parts) for leg in TITLES]
    else:
        latencies = [_latency_at_end(leg, summary) for leg in TITLES]
    processes = _processes(parts)
    ledger = {
        "offered": offered,
        "read": read,
        "published": stored,
        "failed": sum(one.failed for one in shuffler) if shuffler else None,
        "unknown": sum(one.unknown for one in shuffler) if shuffler else None,
        "in flight": sum(one.in_flight for one in shuffler) if shuffler else None,
        "received": received,
        "redelivered": sum(lines[-1].redelivered for lines in workers) if workers else None,
    }
    errors = sum(lines[-1].errors for lines in workers) if workers else None
    return View(
        run=run,
        phase=phase,
        elapsed_s=elapsed_s,
        total_s=total_s,
        flows=[
            flow("offered", offered, _sources(parts, "relay"), "events"),
            flow("read", read, _sources(parts, "shuffler"), "read"),
            flow("stored", stored, _sources(parts, "shuffler"), "published"),
            flow("received", received, _sources(parts, "consumers"), "processed"),
        ],
        latencies=[one for one in latencies if one.p50_ms is not None or one.open_count],
        lag_p50=nats.lag.p50 if nats and nats.lag else None,
        lag_max=nats.lag.max if nats and nats.lag else None,
        stream_messages=nats.stream.messages if nats and nats.stream else None,
        stream_mb=nats.stream.bytes / 1e6 if nats and nats.stream else None,
        nats_age_s=(now_unix_ns - nats_unix_ns) / NS_PER_S
        if nats_unix_ns is not None and phase not in (OVER, STOPPED)
        else None,
        processes=processes,
        hosts=[_host(name, part) for name, part in dumps.items()],
        ledger=ledger,
        goals=standing.at_end(summary)
        if summary
        else standing.so_far(run, _known(latencies, processes, errors)),
        events=_events(t0_unix_ns, dumps),
        problems=[*problems, *_problems(dumps), *(_why_invalid(summary) if summary else [])],
        verdict=str(summary["verdict"]["status"]) if summary else "",
    )


def _nats(run: RunSpec, dumps: Mapping[str, HostDump]) -> tuple[NatsSample | None, int | None]:
    """Return the last look at NATS, and how old its figures are: Unix ns, by the common time.

    None before the first look of the run: counters go on from T0, and would stand beside figures
    from before.
    """
    for host, part in dumps.items():
        if part.nats and run.is_armed:
            last = part.nats[-1]
            looked_ns = (last.lag.unix_ns if last.lag else None) or last.unix_ns
            unix_ns = min(looked_ns, last.unix_ns) + run.clock_shift_ns(host)
            return (last, unix_ns) if unix_ns >= run.t0_unix_ns else (None, None)
    return None, None


def _sources(parts: Sequence[HostDump], agent: str) -> list[_Source]:
    """Return the samples of an agent on each host, of consumers those of each worker."""
    found: list[_Source] = []
    for part in parts:
        has_ended = any(one.agent == agent and one.state in ENDED for one in part.statuses)
        series = part.workers if agent == CONSUMERS else [getattr(part, agent)]
        found += [(samples, has_ended) for samples in series]
    return found


def _stopped_unix_ns(run: RunSpec, parts: Sequence[HostDump]) -> int | None:
    """Return when the last agent ended, if all did before their time: whatever the plan says."""
    statuses = [one for part in parts for one in part.statuses]
    if not statuses or any(one.state not in ENDED or one.state == State.DONE for one in statuses):
        return None
    last_unix_ns = max(one.unix_ns for one in statuses)
    return last_unix_ns if not run.is_armed or last_unix_ns < run.end_unix_ns else None


def _latency(leg: str, parts: Sequence[HostDump]) -> Latency:
    histogram: HdrHistogram = new_histogram()
    for part in parts:
        for payload in part.histograms.get(leg, []):
            try:
                histogram.decode_and_add(payload)
            except (ValueError, TypeError, binascii.Error, zlib.error):
                continue
    calls = [lines[-1].calls for part in parts for lines in part.workers if lines]
    calls += [part.shuffler[-1].calls for part in parts if part.shuffler]
    open_count = sum(count for one in calls if one and leg in one for _, count, _ in one[leg].open)
    if not histogram.get_total_count():
        return Latency(TITLES[leg], None, None, open_count)
    at = [histogram.get_value_at_percentile(percentile) / 1000 for percentile in (50, 99)]
    return Latency(TITLES[leg], at[0], at[1], open_count)


def _latency_at_end(leg: str, summary: Mapping[str, Any]) -> Latency:
    found = (summary.get("latency_ms") or {}).get(LEGS[leg]) or {}
    at_least = found.get("at_least") or {}
    return Latency(
        TITLES[leg],
        found.get("p50"),
        found.get("p99"),
        found.get("open_count") or 0,
        ("p50" in at_least, "p99" in at_least),
    )


def _processes(parts: Sequence[HostDump]) -> dict[str, tuple[float, float]]:
    """Return CPU in % of a core and memory in MB by process, all hosts added up."""
    found: dict[str, tuple[float, float]] = {}
    for part in parts:
        last_ns = max((one.unix_ns for one in part.processes), default=0)
        for one in part.processes:
            if one.unix_ns == last_ns:
                cpu, rss = found.get(one.process, (0.0, 0.0))
                found[one.process] = (cpu + (one.cpu_pct or 0.0), rss + (one.rss_mb or 0.0))
    return found


def _host(name: str, part: HostDump) -> Host:
    last = part.host[-1] if part.host else None
    agents = ", ".join(
        one.agent if one.state in (State.RUNNING, State.DONE) else f"{one.agent} {one.state}"
        for one in part.statuses
    )
    return Host(name, last.cpu_pct if last else None, last.mem_mb if last else None, agents)


def _problems(dumps: Mapping[str, HostDump]) -> list[str]:
    return [
        f"{host}: {one.agent} {one.state}: {one.message or 'it gives no reason'}"
        if one.state == State.FAILED
        else f"{host}: {one.agent}: {one.message}"
        for host, part in dumps.items()
        for one in part.statuses
        if one.state == State.FAILED
        # Messages of the others while they run say where they are.
        or (one.state == State.RUNNING and one.message and one.agent in TELL_TROUBLE)
    ]


def _why_invalid(summary: Mapping[str, Any]) -> list[str]:
    """Return why a run is invalid; why it failed is among its goals."""
    found = summary["verdict"]
    return list(found.get("reasons") or []) if found["status"] == INVALID else []


def _events(t0_unix_ns: int, dumps: Mapping[str, HostDump]) -> list[tuple[float, str]]:
    """Return a line for each event, by when it began; ends of a host's processes share one."""
    found = sorted(
        (
            ((event.begin_unix_ns - t0_unix_ns) / NS_PER_S, f"{host}: {writer}: ", event)
            for host, part in dumps.items()
            for writer, event in part.events_as_known_last()
            # That an agent has ended which was done is no event.
            if event.kind != PROCESS_ENDED or event.parameters.get("pid") not in _done_pids(part)
        ),
        key=lambda one: one[0],
    )
    lines: list[tuple[float, str, list[str]]] = []
    #: By what the line says: its place, and when the last of its processes ended.
    last: dict[str, tuple[int, float]] = {}
    for at_s, who, event in found:
        words, process = who + _words(event), event.parameters.get("process")
        if process and words in last and at_s - last[words][1] <= FOLDED_WITHIN_S:
            lines[last[words][0]][2].append(str(process))
        else:
            last[words] = (len(lines), at_s)
            lines.append((at_s, words, [str(process)] if process else []))
        last[words] = (last[words][0], at_s)
    return [(at_s, words + _named(processes)) for at_s, words, processes in lines]


def _done_pids(part: HostDump) -> set[int]:
    return {pid for one in part.statuses if one.state == State.DONE for pid in (one.pid, *one.pids)}


def _named(processes: Sequence[str]) -> str:
    counts = Counter(processes)
    names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items())
    return f": {names}" if names else ""


def _words(event: EventRecord) -> str:
    length = "" if event.end_unix_ns else " …"
    if event.end_unix_ns and event.end_unix_ns - event.begin_unix_ns >= NS_PER_S / 20:
        length = f" for {(event.end_unix_ns - event.begin_unix_ns) / NS_PER_S:.1f} s"
    do = event.parameters.get("do")
    what = f" {do} on {event.parameters.get('on')}" if do else ""
    kind = LOST.get(event.kind) or event.kind.replace("_", " ")
    return f"{kind}{what}{length}"


def _known(
    latencies: Sequence[Latency], processes: Mapping[str, tuple[float, float]], errors: int | None
) -> dict[str, float | None]:
    """Return what can be known by now of what goals are about; latencies are the last seconds'."""
    known: dict[str, float | None] = {"errors": errors}
    for leg, one in zip(TITLES, latencies, strict=True):
        known |= {f"{leg}_p50_ms": one.p50_ms, f"{leg}_p99_ms": one.p99_ms}
    for process, (cpu, rss) in processes.items():
        known |= {f"{process}_cpu_pct": cpu, f"{process}_rss_mb": rss}
    return known
