"""Addresses with ports, for templates."""

from __future__ import annotations

from collections.abc import Callable

from fpaas.control import lab_map

DOCUMENTATION = """
name: endpoint
short_description: Write an address and a port as URLs and configurations have them
description:
  - An IPv6 address gets its brackets.
positional: _input, port
options:
  _input:
    description: A name, or an IPv4 or IPv6 address.
    type: str
    required: true
  port:
    description: A port.
    type: int
    required: true
"""
EXAMPLES = """
listen: "{{ lab_address | fpaas.bench_lab.endpoint(nats_port) }}"
"""
RETURN = """
_value:
  description: C(address:port), or C([address]:port) of IPv6.
  type: str
"""


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return them."""
        return {"endpoint": lab_map.endpoint}
