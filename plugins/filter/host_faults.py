"""The faults that a run has on a host, for templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from fpaas.spec import RunSpec, SpecError
from fpaas.spec.faults import label, of_host

DOCUMENTATION = """
name: host_faults
short_description: Name the faults that the faults agent of a host injects in a run
description:
  - Those that our relay injects itself are not among them.
positional: _input, host
options:
  _input:
    description: The run's C(run.json), as text.
    type: str
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
"""
EXAMPLES = """
faults: "{{ lookup('file', 'run.json') | fpaas.bench_lab.host_faults(inventory_hostname) }}"
"""
RETURN = """
_value:
  description: C(do) of each, and C(label), which names its entry of C(bench_faults).
  type: list
  elements: dict
"""


def host_faults(run_json: str, host: str) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    try:
        run = RunSpec.from_json(run_json, "run.json")
    except SpecError as error:
        raise AnsibleFilterError(str(error)) from error
    return [
        {"do": one.fault.do, "label": label(one.number, one.fault)}
        for one in of_host(run.faults, run.hosts, host)
    ]


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"host_faults": host_faults}
