"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: watch_run
short_description: Wait for a run's end on one host, and show how far it is
description:
  - >-
    Never fails because of an agent in trouble: measurements are collected in any case.
options:
  directory:
    description: The run's directory on the host.
    type: path
    required: true
  agents:
    description: Agents that play on this host.
    type: list
    elements: str
    required: true
  grace_s:
    description: Seconds that they may take to write what they measured.
    type: float
    required: true
  show_every_s:
    description: Seconds between lines of progress.
    type: float
    default: 5.0
  events:
    description: The run's event log on the control node, to which trouble is appended.
    type: path
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Follow the run
  fpaas.bench_lab.watch_run:
    directory: /var/lib/lab/runs/one
    agents: [probe]
    grace_s: 20
    events: results/one/control.events.jsonl
"""

RETURN = """
problems:
  description: Trouble with agents, or with the host itself, as in control.json.
  type: list
  returned: success
"""
