"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: begin_run
short_description: Begin a run on the embedded lab that its playbook holds
description:
  - >-
    Makes the run's directory, starts the service manager, NATS and the agents, recreates the stream
    and its consumers, and gives the run its T0 once all are up. What was started goes on if that
    fails, so that it can be asked why.
options:
  plan:
    description: The run as it was planned, on the control node.
    type: path
    required: true
  kept:
    description: The lab's settings.
    type: dict
    required: true
  results:
    description: Directory of results on the control node.
    type: path
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Begin
  fpaas.bench_lab.begin_run:
    plan: control/run.json
    kept: "{{ run_kept }}"
    results: results
"""

RETURN = """
t0_unix_ns:
  description: T0 in Unix nanoseconds.
  type: int
  returned: success
"""
