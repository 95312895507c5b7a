"""What a bundle's files say of themselves, and of each other, that is not so.

A file may say that it is of another run, host or process than the place that it is in, or another
that it had more lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from fpaas.bundle.parts import HostPart
from fpaas.records import consumers, control, nats, probe, seal, status
from fpaas.records.control import ControlAccount
from fpaas.spec import RunSpec


def of_host(part: HostPart) -> Iterator[tuple[str, str]]:
    """Iterate over (file, what it says) of a host's files that are of others."""
    hosts = {
        seal.NAME: part.seal and part.seal.host,
        probe.NAME: part.probe and part.probe.host,
    }
    for file, host in hosts.items():
        # Null of older probes.
        if host not in (None, part.host):
            yield file, f"is of the host {host}"
    for agent, one in part.statuses.items():
        if one.agent != agent:
            yield status.name(agent), f"is of another agent ({one.agent})"
    for worker in part.workers:
        if worker.result is not None and worker.result.worker != worker.worker:
            yield consumers.name(worker.worker), f"is of worker {worker.result.worker}"


def lines_missing(part: HostPart) -> Iterator[tuple[str, str]]:
    """Iterate over (file, how much of it is there) of samples that the probe counted."""
    if part.probe is None:
        return
    for name, counted, lines in (
        (probe.HOST, part.probe.samples, len(part.host_samples)),
        (nats.SAMPLES, part.probe.nats_samples, len(part.nats_samples)),
    ):
        # Null of older probes.
        if counted is not None and lines < counted.taken:
            yield name, f"has {lines} of {counted.taken} lines"


def of_control(account: ControlAccount, spec: RunSpec) -> Iterator[tuple[str, str]]:
    """Iterate over what the control node noted of another run; null of older ones."""
    if account.run_id not in (None, spec.run_id):
        yield control.NAME, f"is of the run {account.run_id}"


def differing(played: RunSpec, spec: RunSpec) -> str:
    """Say in what the run that a host's agents played differs from the bundle's; empty: nothing."""
    names = [
        one.name for one in fields(spec) if getattr(played, one.name) != getattr(spec, one.name)
    ]
    return f"differs from the bundle's in {', '.join(names)}" if names else ""
