"""Resources that a host has too little of, for templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from fpaas.plan import capacity
from fpaas.plan.shortages import HostSize, shortages
from fpaas.spec import RunSpec, SpecError

DOCUMENTATION = """
name: host_shortages
short_description: Say what a host is too small for in a run
description:
  - Memory, disk and network, against what the run is planned to take of them.
positional: _input, host, size
options:
  _input:
    description: The run's C(run.json), as text.
    type: str
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  size:
    description: What M(fpaas.bench_lab.check_host) returned as C(size).
    type: dict
    required: true
"""
EXAMPLES = """
short: "{{ lookup('file', 'run.json') | fpaas.bench_lab.host_shortages('nats-1', checked.size) }}"
"""
RETURN = """
_value:
  description: A sentence for each.
  type: list
  elements: str
"""


def host_shortages(run_json: str, host: str, size: dict[str, Any]) -> list[str]:
    """See DOCUMENTATION."""
    try:
        run = RunSpec.from_json(run_json, "run.json")
    except SpecError as error:
        raise AnsibleFilterError(str(error)) from error
    return list(shortages(run, capacity.predict(run), host, HostSize(**size)))


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"host_shortages": host_shortages}
