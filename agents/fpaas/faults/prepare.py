"""Which injection a fault is on this host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fpaas.faults import network
from fpaas.faults.clock_step import StepClock
from fpaas.faults.disk import FillDisk
from fpaas.faults.injection import Injection, InjectionError, ServiceCommands, on_processes
from fpaas.faults.leader import leads
from fpaas.faults.processes import Services
from fpaas.spec import Fault, RunSpec
from fpaas.spec.faults import GROUPS, KINDS, LEADER, OfHost


@dataclass(frozen=True)
class Preparation:
    """Prepares faults on one host."""

    spec: RunSpec
    host: str
    directory: Path
    services: Services
    commands: ServiceCommands
    #: For the NATS server on this host.
    monitoring_url: str

    def __call__(self, one: OfHost) -> Injection | None:
        """Prepare a fault; None if it is on the leader, and that is elsewhere.

        Raises NoProcessError or InjectionError if there is nothing to hit.
        """
        fault = one.fault
        if fault.on == LEADER and not leads(self.monitoring_url, self.spec.stream.name):
            return None
        makers: dict[str, Callable[[], Injection]] = {
            "process": lambda: on_processes(fault, one.targets, self.services, self.commands),
            "partition": lambda: network.Partition(one.number, self._addresses(fault)),
            "link": lambda: network.slow(fault, self._addresses(fault)),
            "disk": lambda: FillDisk(self.directory, fault.free_mb or 0, fault.for_s),
            "clock": lambda: StepClock(fault.step_s or 0.0),
        }
        return makers[KINDS[fault.do].shares]()

    def _addresses(self, fault: Fault) -> list[str]:
        """Return the addresses of the other hosts that a fault is about."""
        groups = GROUPS if fault.peer is None else (fault.peer,)
        hosts = {host for group in groups for host in self.spec.hosts.get(group, ())} - {self.host}
        try:
            return [self.spec.addresses[host] for host in sorted(hosts)]
        except KeyError as error:
            raise InjectionError(f"run.json does not say where {error} is") from error
