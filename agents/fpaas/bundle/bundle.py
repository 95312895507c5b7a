"""One run's results, as they were read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpaas.bundle.parts import HostPart, ServerFinal, WorkerPart, cumulative
from fpaas.reason import Reason
from fpaas.records.control import ControlAccount
from fpaas.records.events import EventRecord
from fpaas.records.relay import RelayResult
from fpaas.records.shuffler import ShufflerResult
from fpaas.records.status import State
from fpaas.spec import RunSpec

#: The groups whose hosts run agents; monitoring only watches.
LOAD_GROUPS = ("relay", "nats", "shuffler", "consumers")


@dataclass
class Bundle:
    """One run's results. `problems` has what is missing, torn or changed, as codes of reasons."""

    directory: Path
    spec: RunSpec
    hosts: dict[str, HostPart] = field(default_factory=dict)
    #: Hosts that only watch, for what their processes used; a run does not need them.
    watching: list[HostPart] = field(default_factory=list)
    problems: list[Reason] = field(default_factory=list)
    control: ControlAccount | None = None
    #: From the control node's own event log.
    control_events: list[EventRecord] = field(default_factory=list)
    #: Reasons given from outside, such as an interrupted playbook.
    invalid_reasons: list[str] = field(default_factory=list)
    #: Results of merging its files, which takes long.
    merged: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    def parts(self, group: str) -> list[HostPart]:
        """Host parts of an inventory group."""
        return [self.hosts[host] for host in self.spec.hosts.get(group, []) if host in self.hosts]

    @property
    def relay(self) -> RelayResult | None:
        """Our relay's account; None if it was a foreign relay, or its file is missing."""
        return next((part.relay for part in self.parts("relay") if part.relay), None)

    @property
    def shuffler(self) -> ShufflerResult | None:
        """The shuffler's account."""
        return next((part.shuffler for part in self.parts("shuffler") if part.shuffler), None)

    @property
    def server_final(self) -> ServerFinal | None:
        """The server's final figures; of a cluster, those of the host that saw most durables."""
        finals = [part.server_final for part in self.parts("nats") if part.server_final]
        return max(finals, key=lambda final: len(final.durables), default=None)

    @property
    def stream_made_after(self) -> str | None:
        """When a stream was made that the shuffler knew nothing of, as the server has it; or None.

        If NATS loses the stream when the shuffler has ended, consumers make an empty one.
        """
        final, shuffler = self.server_final, self.shuffler
        if final is None or shuffler is None or shuffler.stream_created is None:
            return None
        created = final.stream_before.created
        return None if created in (None, shuffler.stream_created) else created

    @property
    def stream_final(self) -> ServerFinal | None:
        """The server's final figures, if they are of the stream that the shuffler published to."""
        return self.server_final if self.stream_made_after is None else None

    def consumer_counters(self, name: str) -> list[list[tuple[int, float]]]:
        """Return a counter of the consumers as (Unix ns, value), over all lives of a worker."""
        series: dict[tuple[str, int], list[tuple[int, float]]] = {}
        for part, worker in self.workers:
            first = worker.worker if worker.result is None else worker.result.first
            one = series.setdefault((part.host, first), [])
            before = one[-1][1] if one else 0.0
            one += [(at, before + value) for at, value in cumulative(worker.samples, name)]
        return list(series.values())

    @property
    def lasted_until_unix_ns(self) -> int:
        """When the run was over: as planned, or when its agents were stopped.

        In a run that was stopped, no agent of the load came to its own end.
        """
        was_stopped = False
        seen_ns: list[int] = []
        for agent in ("relay", "shuffler", "consumers"):
            for part in self.parts(agent):
                seen_ns += part.last_samples(agent)
                status = part.statuses.get(agent)
                if status is not None and status.state == State.DONE:
                    return self.spec.end_unix_ns
                was_stopped |= status is not None and status.state == State.STOPPED
        if not was_stopped:
            return self.spec.end_unix_ns
        return min([self.spec.end_unix_ns, max(seen_ns, default=self.spec.end_unix_ns)])

    @property
    def workers(self) -> list[tuple[HostPart, WorkerPart]]:
        """Every consumers worker, with its host."""
        return [(part, worker) for part in self.parts("consumers") for worker in part.workers]


def uses_own_relay(spec: RunSpec) -> bool:
    """Whether the run's firehose is our relay rather than a foreign one."""
    return spec.firehose.rate_per_s is not None


def hosts_of(spec: RunSpec) -> list[str]:
    """Hosts that run agents, each once, in the order of the data's way."""
    groups = [group for group in LOAD_GROUPS if group != "relay" or uses_own_relay(spec)]
    return list(dict.fromkeys(host for group in groups for host in spec.hosts.get(group, [])))
