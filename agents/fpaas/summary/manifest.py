"""manifest.json: where and with what a run was made, and the checksums of its files."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fpaas.bundle.bundle import Bundle, HostPart
from fpaas.probe import seal
from fpaas.verdict import codes

SCHEMA = 1
NAME = "manifest.json"


def describe(bundle: Bundle) -> dict[str, Any]:
    """Return the content of manifest.json; what nobody noted is None.

    Raises errors.RunInvalid that names a file which cannot be read.
    """
    control = bundle.control or {}
    files = seal.checksums(bundle.directory)
    files.pop(NAME, None)
    return {
        "schema": SCHEMA,
        "run_id": bundle.spec.run_id,
        "fpaas_version": metadata.version("fpaas"),
        "git_commit": control.get("git_commit"),
        "control": bundle.control,
        "hosts": {host: _host(part) for host, part in bundle.hosts.items()},
        "network": [link for part in bundle.hosts.values() for link in part.links],
        "problems": [codes.sentence(problem) for problem in bundle.problems],
        "problem_codes": [codes.to_dict(problem) for problem in bundle.problems],
        "files": files,
    }


def _host(part: HostPart) -> dict[str, Any]:
    """Return a host's facts (machine, kernel, limits, versions) and how its clock is bound."""
    facts = (part.seal or {}).get("facts") or {}
    probe = part.probe or {}
    return {
        **{name: probe.get(name) for name in ("cpu_count", "mem_total_mb", "kernel", "python")},
        **facts,
        "nats_server": (facts.get("versions") or {}).get("nats-server"),
        "clock": probe.get("clock"),
    }
