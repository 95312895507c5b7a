"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: play_sweep
short_description: Play a sweep or a search
description:
  - Goes on where an earlier call was ended. In check mode it lists what it would play.
  - >-
    Each run has its own ansible-playbook; on the embedded lab only the first has, and those
    that need another lab.
options:
  grid:
    description: Values by variable; every combination is a point.
    type: raw
  search:
    description:
      - Search instead for the heaviest load that holds the goals.
      - A dictionary of variable, least, most, resolution_pct and long_run.
    type: dict
  is_frontier:
    description: Whether to play only points that tell which ones of the grid hold the goals.
    type: bool
    default: false
  sweep_id:
    description: Name of the sweep's directory; follows from what is played if it is empty.
    type: str
    default: ""
  name:
    description: Begins the sweep's id, and ends those of its runs.
    type: str
    required: true
  title:
    description: Heads the report.
    type: str
    required: true
  goal:
    description: What it is to find out.
    type: str
    required: true
  variables:
    description: Variables that all points have in common.
    type: dict
    default: {}
  repeats:
    description: Runs of each point.
    type: raw
    required: true
  retries:
    description: How often a point is tried again if its run is invalid.
    type: int
    required: true
  topology:
    description: Hosts by group, and URLs, as in run.json.
    type: dict
    required: true
  lab:
    description: Name of the lab; sweeps of other labs are other sweeps.
    type: str
    required: true
  known:
    description: Variables that a grid may vary.
    type: list
    elements: str
    required: true
  kept:
    description: The embedded lab's settings, to keep it up between runs; empty if that cannot be.
    type: dict
    default: {}
  parts:
    description: What each host plays, for runs without a playbook each; empty if that cannot be.
    type: dict
    default: {}
  provisioned_by:
    description: Variables that make a lab what it is; a run that has others needs another lab.
    type: list
    elements: str
    default: []
  collects:
    description: Whether a run that goes on without its playbook is collected later.
    type: bool
    required: true
  results:
    description: Directory of results on the control node.
    type: path
    required: true
  playbooks:
    description: Directory of the playbooks.
    type: path
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Play two points
  fpaas.bench_lab.play_sweep:
    grid:
      bench_consumers: [10, 100]
    name: sweep
    title: Sweep
    goal: how cost grows
    repeats: 1
    retries: 1
    topology: "{{ run_topology }}"
    lab: localhost
    known: [bench_consumers]
    collects: false
    results: results
    playbooks: playbooks
"""

RETURN = ""
