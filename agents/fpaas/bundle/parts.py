"""A bundle's parts: of each host, and of each worker."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.records.consumers import WorkerResult, WorkerSample
from fpaas.records.events import CLOCK_SET, EventRecord
from fpaas.records.nats import DurableState, NatsSample, ServerLife, StreamAtEnd, StreamState
from fpaas.records.network import Link
from fpaas.records.probe import AGENT as PROBE
from fpaas.records.probe import ClockExchange, HostSample, ProbeResult, ProcessSample
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.records.seal import Seal
from fpaas.records.shuffler import ShufflerResult, ShufflerSample
from fpaas.records.status import AgentStatus

JsonObject = dict[str, Any]
#: A line of samples with plain counters and figures.
Sample = RelaySample | ShufflerSample | WorkerSample | HostSample | ProcessSample
AgentSample = RelaySample | ShufflerSample | WorkerSample


@dataclass(frozen=True)
class ServerFinal:
    """`probe.final.json`: the server's own figures after the run."""

    unix_ns: int
    stream_before: StreamState
    stream_after: StreamState
    durables: dict[str, DurableState]
    server: ServerLife | None
    #: When it was complete.
    until_unix_ns: int
    #: Each of several streams; the figures above have them together.
    streams: Sequence[StreamAtEnd] = ()


@dataclass
class WorkerPart:
    """All files of one consumers worker; None or empty if a file is missing."""

    worker: int
    result: WorkerResult | None = None
    deliveries: list[ConsumerDeliveries] | None = None
    #: By stream, in the order of `result.streams`; a worker that was killed leaves none.
    first_fetches: list[array[int] | None] = field(default_factory=list)
    samples: list[WorkerSample] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    #: When another worker took over its consumers, if it ended in the run.
    gone_on_unix_ns: int | None = None

    @property
    def was_killed(self) -> bool:
        """Whether it ended before its time, and no other worker went on with its consumers."""
        is_cut = self.result is not None and not self.result.complete
        return is_cut and self.gone_on_unix_ns is None

    @property
    def last_sign_unix_ns(self) -> int | None:
        """When it was last heard of; None if it never was."""
        return self.samples[-1].unix_ns if self.samples else None


@dataclass
class HostPart:
    """What one host brought back; None or empty if a file is missing or not this host's."""

    host: str
    directory: Path
    statuses: dict[str, AgentStatus] = field(default_factory=dict)
    relay: RelayResult | None = None
    relay_samples: list[RelaySample] = field(default_factory=list)
    shuffler: ShufflerResult | None = None
    shuffler_samples: list[ShufflerSample] = field(default_factory=list)
    dids: array[int] | None = None
    #: The same of streams that were lost, in order.
    lost_dids: list[array[int] | None] = field(default_factory=list)
    #: The same of each of several streams, in place of `dids`.
    dids_by_stream: list[array[int] | None] = field(default_factory=list)
    #: With them: relay seqs by place; see records.shuffler.SEQS.
    seqs_by_stream: list[array[int] | None] = field(default_factory=list)
    #: For each stream, the last one last: which classes want each message; see publish_account.
    classes: list[array[int] | None] = field(default_factory=list)
    workers: list[WorkerPart] = field(default_factory=list)
    probe: ProbeResult | None = None
    host_samples: list[HostSample] = field(default_factory=list)
    process_samples: list[ProcessSample] = field(default_factory=list)
    nats_samples: list[NatsSample] = field(default_factory=list)
    clock_samples: list[ClockExchange] = field(default_factory=list)
    server_final: ServerFinal | None = None
    #: Events that each agent noted, by its name; workers have their own.
    events: dict[str, list[EventRecord]] = field(default_factory=dict)
    #: From this host to others, before the run.
    links: list[Link] = field(default_factory=list)
    #: When those were measured, by the host's own clock; None if there are none.
    links_unix_ns: int | None = None
    seal: Seal | None = None

    def histogram_logs(self, agent: str) -> list[Path]:
        """Paths of an agent's `.hlog` files; the consumers have one a worker."""
        pattern = "consumers-*.hlog" if agent == "consumers" else f"{agent}.hlog"
        return sorted(self.directory.glob(pattern))

    @property
    def clock_steps(self) -> list[tuple[int, float]]:
        """When this host's clock was set (Unix ns), and by how much (ms)."""
        # Earlier probes had them in their account.
        before = self.probe.clock_steps if self.probe is not None else []
        return [(one.unix_ns, one.step_ms) for one in before] + [
            (one.begin_unix_ns, step_ms)
            for one in self.events.get(PROBE, ())
            if one.kind == CLOCK_SET
            if isinstance(step_ms := one.parameters.get("step_ms"), float)
        ]

    def has_log(self, agent: str) -> bool:
        """Whether an agent's log is there and says anything."""
        log = self.directory / f"{agent}.log"
        return log.is_file() and log.stat().st_size > 0

    def last_samples(self, agent: str) -> Iterator[int]:
        """Iterate over times of an agent's last samples, later than what its status says (ns)."""
        by_agent: dict[str, Sequence[Sequence[Sample]]] = {
            "relay": [self.relay_samples],
            "shuffler": [self.shuffler_samples],
            "consumers": [worker.samples for worker in self.workers],
            "probe": [self.host_samples],
        }
        for samples in by_agent.get(agent, ()):
            yield from (sample.unix_ns for sample in samples[-1:])


def cumulative(samples: Iterable[Sample], name: str) -> Iterator[tuple[int, float]]:
    """Iterate over (unix_ns, value) of one counter or figure, of samples that have it."""
    for sample in samples:
        value: float | None = getattr(sample, name)
        if value is not None:
            yield sample.unix_ns, value
