"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: play_runs
short_description: Play a run, and repeat it, on hosts that a playbook has prepared
description:
  - >-
    From the run's directory to its report, in one task for all hosts. It connects to each as
    Ansible would for a task of its own, and talks to all of them at the same time.
  - Whatever becomes of a run, its measurements are collected; a lost host takes no other with it.
options:
  plan:
    description: The planned run, a file on the control node.
    type: path
    required: true
  times:
    description: How often to play it. Repetitions get ids of their own.
    type: int
    default: 1
  hosts:
    description: What each host plays, as C(run_own_part) of the role C(run) has it.
    type: dict
    required: true
  missing:
    description: Hosts that could not be prepared. With any, the run does not begin.
    type: list
    elements: str
    default: []
  lab:
    description: What all runs of the lab share, as C(run_on_hosts) has it.
    type: dict
    required: true
  control:
    description: What the control node knows of a run.
    type: dict
    required: true
  collect:
    description: The playbook that brings and reports a run, for advice.
    type: path
    required: true
  show_every_s:
    description: Seconds between lines of progress.
    type: float
    default: 5.0
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Play the run
  fpaas.bench_lab.play_runs:
    plan: "{{ run_planned_file }}"
    times: "{{ bench_repeat }}"
    hosts: "{{ run_host_parts }}"
    lab: "{{ run_on_hosts }}"
    control: "{{ run_control }}"
    collect: playbooks/collect.yml
  run_once: true
"""

RETURN = """
runs:
  description: Of each run C(run_id), and its report's exit code C(rc), C(text) and C(complaint).
  type: list
  elements: dict
  returned: success
"""
