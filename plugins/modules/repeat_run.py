"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: repeat_run
short_description: Repeat a run on the embedded lab that its playbook holds
description:
  - Nothing is provisioned again. NATS, the stream and the agents are new for each run.
options:
  plan:
    description: The first run as it was planned, on the control node.
    type: path
    required: true
  times:
    description: How often.
    type: int
    required: true
  kept:
    description: The lab's settings.
    type: dict
    required: true
  control:
    description: What the control node knows of a run.
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
- name: Do it four times more
  fpaas.bench_lab.repeat_run:
    plan: control/run.json
    times: 4
    kept: "{{ run_kept }}"
    control: "{{ run_control }}"
    results: results
"""

RETURN = """
runs:
  description: Of each run its C(run_id), and its report's exit code C(rc) and C(text).
  type: list
  elements: dict
"""
