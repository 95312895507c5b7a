"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: check_ssh_keys
short_description: Refuse hosts whose SSH keys are not known, all of them at once
description:
  - >-
    Runs on the control node and asks no host. With unknown keys, ssh would ask about each host at
    the same time on one terminal, or fail for each.
  - Goes by ssh's own configuration; jump hosts are looked at, too.
options:
  hosts:
    description: All hosts of the lab.
    type: list
    elements: str
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Refuse hosts whose keys are not known
  fpaas.bench_lab.check_ssh_keys:
    hosts: [nats-1, shuffler-1, consumers-1]
"""

RETURN = ""
