"""manifest.json: where and with what a run was made, and the checksums of its files."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import HostPart
from fpaas.probe import seal
from fpaas.records.manifest import NAME, SCHEMA, Manifest, RunHost
from fpaas.records.probe import MachineFacts
from fpaas.records.seal import NATS_SERVER, HostFacts
from fpaas.spec import NS_PER_S
from fpaas.verdict import codes


def describe(bundle: Bundle) -> Manifest:
    """Return the content of manifest.json; what nobody noted is None.

    Raises errors.RunInvalid that names a file which cannot be read.
    """
    entries = seal.checksums(bundle.directory)
    entries.pop(NAME, None)
    return Manifest(
        schema=SCHEMA,
        run_id=bundle.spec.run_id,
        fpaas_version=metadata.version("fpaas"),
        git_commit=bundle.control.git_commit if bundle.control else None,
        control=bundle.control,
        hosts={host: _host(part) for host, part in bundle.hosts.items()},
        network=[link for part in bundle.hosts.values() for link in part.links],
        network_measured_before_t0_s=network_ages_s(bundle),
        problems=[codes.sentence(problem) for problem in bundle.problems],
        problem_codes=[codes.record(problem) for problem in bundle.problems],
        files=entries,
    )


def network_ages_s(bundle: Bundle) -> dict[str, float]:
    """Return how long before T0 each host measured the network, s, by the common time."""
    spec = bundle.spec
    return {
        host: (spec.t0_unix_ns - spec.clock_shift_ns(host) - part.links_unix_ns) / NS_PER_S
        for host, part in bundle.hosts.items()
        if part.links_unix_ns is not None
    }


def _host(part: HostPart) -> RunHost:
    facts = part.seal.facts if part.seal else part.probe
    known: dict[str, Any] = dict.fromkeys(MachineFacts.__struct_fields__)
    names = HostFacts.__struct_fields__
    known |= {name: getattr(facts, name) for name in names if hasattr(facts, name)}
    return RunHost(
        **known,
        nats_server=part.seal.facts.versions.get(NATS_SERVER) if part.seal else None,
        clock=part.probe.clock if part.probe else None,
    )
