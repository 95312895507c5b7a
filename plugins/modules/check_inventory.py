"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: check_inventory
short_description: Refuse an inventory that is none of a lab, or a part of one
description:
  - Judges names and numbers of hosts, before any of them is asked anything.
  - Refuses C(--tags) that leave nothing to do.
  - >-
    Says which files in C(group_vars) and C(host_vars) beside the inventory are named after no group
    or host of it, and so have no effect; that is no reason to refuse it.
options:
  groups:
    description: The hosts of each group.
    type: dict
    required: true
  needed:
    description: Groups that must have hosts.
    type: list
    elements: str
    required: true
  sources:
    description: The inventory's files.
    type: list
    elements: str
    required: true
  checkout:
    description: Where the collection is.
    type: path
    required: true
  played:
    description: Hosts that C(--limit) leaves; one has to be of the lab. All, if not given.
    type: list
    elements: str
  is_whole:
    description: Whether all hosts of the lab have to be left.
    type: bool
    default: false
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Refuse what is not a lab
  fpaas.bench_lab.check_inventory:
    groups: "{{ groups }}"
    needed: [nats]
    sources: "{{ ansible_inventory_sources }}"
    checkout: /home/me/lab
"""

RETURN = ""
