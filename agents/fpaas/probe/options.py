"""Options of a probe: what it watches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fpaas.jetstream.nats_address import NatsAddress
from fpaas.probe.server_monitor import MonitoringPort
from fpaas.spec import RunSpec


@dataclass(frozen=True)
class Options:
    """What to sample; NATS is asked about itself if `monitoring` is given."""

    spec: RunSpec
    directory: Path
    host: str
    nats: NatsAddress
    monitoring: MonitoringPort | None
    #: For servers: process → the file that has its pid.
    pid_files: Mapping[str, Path]
    #: Where it serves /metrics, `host:port`; None: nowhere.
    metrics_listen: str | None = None
    metrics_each_consumer: bool = False

    @property
    def is_clustered(self) -> bool:
        """Whether there are several NATS servers."""
        return len(self.spec.hosts.get("nats", [])) > 1

    @property
    def own_nats(self) -> NatsAddress | None:
        """The server on this host; None if there is none."""
        hosts, servers = self.spec.hosts.get("nats", []), self.nats.servers
        if self.host not in hosts:
            return None
        # The run's URL has them in the order of the hosts.
        own = servers[hosts.index(self.host) % len(servers)]
        return replace(self.nats, servers=(own,))

    @property
    def is_alone(self) -> bool:
        """Whether the lab is one host."""
        return all(host == self.host for hosts in self.spec.hosts.values() for host in hosts)
