"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: await_agents
short_description: Wait until agents are up, and wait themselves for the run's T0
description:
  - Fails if an agent failed, or C(meanwhile), with what it says, or if one is not up in time.
  - Waits a while longer until the probe has compared the host's clock with the NATS host's.
options:
  directory:
    description: The run's directory on the host.
    type: path
    required: true
  agents:
    description: Agents that have to be up.
    type: list
    elements: str
    required: true
  patience_s:
    description: Seconds that they may take.
    type: float
    required: true
  meanwhile:
    description: A program and its arguments, to run on the host while they come up; none if empty.
    type: list
    elements: str
    default: []
  environment:
    description: Additional variables of that program's environment.
    type: dict
    default: {}
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Wait for the probe
  fpaas.bench_lab.await_agents:
    directory: /var/lib/lab/runs/one
    agents: [probe]
    patience_s: 60
"""

RETURN = """
directory:
  description: As it was given.
  type: str
  returned: success
stdout:
  description: What C(meanwhile) printed.
  type: str
  returned: success
call_s:
  description: Seconds that the slowest look at the host took.
  type: float
  returned: success
connect_s:
  description: Seconds that connecting to NATS takes on the slowest host; 0 if not measured.
  type: float
  returned: success
clock:
  description:
    - >-
      Between which nanoseconds the NATS host's clock minus this host's lies (offset_low_ns,
      offset_high_ns), and what the common time is ahead of the control node's clock, at least
      (common_minus_control_ns).
    - None of a host without a probe, or whose probe got no answer.
  type: dict
  returned: success
"""
