"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: adopt_secrets
short_description: Copy a lab's secrets from a control directory that only a file's name had named
description:
  - Two inventories with the same file name shared one. What is in it is copied only if its
    certificates or its last plan say that it is of the same NATS hosts, and only into a directory
    that has no secrets yet.
options:
  directory:
    description: The lab's control directory.
    type: path
    required: true
  former:
    description: The directory that it had by its inventory's file name; it stays.
    type: path
    required: true
  nats_addresses:
    description: Addresses of the lab's NATS hosts by name.
    type: dict
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Find secrets of before
  fpaas.bench_lab.adopt_secrets:
    directory: .lab/control/my-lab-0a1b2c3d
    former: .lab/control/my-lab
    nats_addresses:
      nats-1: 10.0.0.21
"""

RETURN = """
names:
  description: Files that were copied.
  type: list
  returned: success
"""
