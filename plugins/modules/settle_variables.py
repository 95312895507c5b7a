"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: settle_variables
short_description: Check what the user has set, and have it apply to the whole lab
description:
  - >-
    Runs on the control node and asks no host. Looks at all that inventories, group_vars,
    host_vars and C(-e) set for the host.
  - >-
    Fails if a name is none of the lab's tunables but looks like one, if a value is not of its
    variable's type, or if hosts disagree about what is one for the whole lab.
  - >-
    A variable of the whole lab that is set for some hosts only is set for the others as well,
    where inventories set variables: scenarios and C(-e) win over it.
options:
  hosts:
    description: All hosts of the lab. Names are checked on the host itself as well.
    type: list
    elements: str
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Settle what the user has set
  fpaas.bench_lab.settle_variables:
    hosts: [nats-1, shuffler-1, consumers-1]
"""

RETURN = """
overridden:
  description: >-
    The user's settings over which the scenario wins: name, and a sentence that has both values but
    none that a vault has.
  type: list
  returned: success
"""
