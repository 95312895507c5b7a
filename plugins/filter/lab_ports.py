"""Ports that have to be free on a host, for templates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from fpaas.control import lab_map

DOCUMENTATION = """
name: lab_ports
short_description: Name the ports that have to be free on a host before a run
description:
  - By the variables that set them.
positional: _input, host, ports
options:
  _input:
    description: The inventory's groups, as in C(groups).
    type: dict
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  ports:
    description: All ports of the host by their variables' names.
    type: dict
    required: true
  own_relay:
    description: Whether the firehose is the lab's own.
    type: bool
    default: true
  up:
    description: The lab's own services that hold their ports already.
    type: list
    elements: str
    default: []
"""
EXAMPLES = """
ports: "{{ groups | fpaas.bench_lab.lab_ports(inventory_hostname, lab_listens) }}"
"""
RETURN = """
_value:
  description: Ports by the variables that set them.
  type: dict
"""


def ports(
    groups: Mapping[str, Any],
    host: str,
    ports: Mapping[str, Any],
    own_relay: bool = True,  # noqa: FBT001, FBT002  (a filter's arguments)
    up: Collection[str] = (),
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    return lab_map.ports_of(host, groups, ports, own_relay=own_relay, up=up)


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"lab_ports": ports}
