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
  began:
    description: >-
      C(begin_unix_ns) of what began earlier, and has ended now. Without it, it begins now;
      what C(lasts) is noted without an end.
    type: int
  lasts:
    description: Whether it takes time, so that its end is noted by another task.
    type: bool
    default: false
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Note that collecting begins
  fpaas.bench_lab.note_event:
    log: results/one/control.events.jsonl
    kind: run_collected
    parameters:
      host: nats-1
    lasts: true
  register: begun

- name: Note that it has ended
  fpaas.bench_lab.note_event:
    log: results/one/control.events.jsonl
    kind: run_collected
    parameters:
      host: nats-1
    began: "{{ begun.begin_unix_ns }}"
"""

RETURN = """
begin_unix_ns:
  description: When it began, in Unix nanoseconds of the control node.
  type: int
  returned: success
"""
