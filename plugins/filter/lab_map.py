"""The lab's map, for templates: which host plays what, listens where and talks to which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from fpaas.control import lab_map
from fpaas.spec import SpecError

DOCUMENTATION = """
name: lab_map
short_description: Draw the map of a lab
description:
  - Which host plays what, listens where and talks to which, from the inventory's groups.
  - A host that the play leaves out listens as this one does, on its own address.
positional: _input, hostvars, here
options:
  _input:
    description: The inventory's groups, as in C(groups).
    type: dict
    required: true
  hostvars:
    description: Variables of each host by its name; of these C(lab_listens) is read.
    type: dict
    required: true
  here:
    description: Address and ports of this host by their variables' names.
    type: dict
    required: true
  own_relay:
    description: Whether the firehose is the lab's own.
    type: bool
    default: true
"""
EXAMPLES = """
map: "{{ groups | fpaas.bench_lab.lab_map(hostvars, lab_listens) }}"
agents: "{{ map.plays[inventory_hostname].agents }}"
"""
RETURN = """
_value:
  description: >-
    C(topology) as in run.json, C(scrape_targets) by job, C(talkers), and C(plays) with the agents,
    services, servers and clients of each host.
  type: dict
"""


def draw(
    groups: Mapping[str, Any],
    hostvars: Mapping[str, Any],
    here: Mapping[str, Any],
    own_relay: bool = True,  # noqa: FBT001, FBT002  (a filter's arguments)
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    hosts = {host: lab_map.listens(hostvars[host], here, host) for host in lab_map.hosts_of(groups)}
    try:
        return lab_map.draw(groups, hosts, own_relay=own_relay)
    except SpecError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"lab_map": draw}
