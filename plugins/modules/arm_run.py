"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: arm_run
short_description: Set the time at which a planned run begins
description:
  - >-
    T0 is now and the lead, up to the next tenth of a second. Nothing is written; the plan with
    its T0, and with what each host's clock is off, is returned, to be brought to every host.
options:
  plan:
    description: The planned run.json on the control node.
    type: path
    required: true
  lead_s:
    description: Seconds until T0, in which agents hear of it and connect.
    type: float
    required: true
  lead_s_per_1000_consumers:
    description: Seconds added to it.
    type: float
    required: true
  connect_s:
    description: Seconds that connecting was measured to take; twice as many are added, too.
    type: float
    default: 0.0
  call_s:
    description: Seconds that a call to the slowest host took; three times as many are added, too.
    type: float
    default: 0.0
  clocks:
    description: C(clock) of C(await_agents) by host; none of a host whose clock is taken as it is.
    type: dict
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Set T0
  fpaas.bench_lab.arm_run:
    plan: .lab/control/one.json
    lead_s: 3
    lead_s_per_1000_consumers: 0
    clocks:
      one: "{{ up.clock }}"
  run_once: true
  register: armed
"""

RETURN = """
run_json:
  description: The run.json with its T0.
  type: str
  returned: success
t0_unix_ns:
  description: T0 in Unix nanoseconds.
  type: int
  returned: success
"""
