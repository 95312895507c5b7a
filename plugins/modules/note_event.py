"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: note_event
short_description: Append to a run's event log what a playbook does
description:
  - What a playbook does in a run is among the run's events, beside what agents see.
options:
  log:
    description: The file, in the run's bundle on the control node.
    type: path
    required: true
  kind:
    description: What it is, as in C(fpaas.records.events).
    type: str
    required: true
  parameters:
    description: What there is to know about it.
    type: dict
    default: {}
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Note that all have ended
  fpaas.bench_lab.note_event:
    log: results/one/control.events.jsonl
    kind: agents_stopped
"""

RETURN = ""
