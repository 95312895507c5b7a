"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: copy_run
short_description: Copy a run of the embedded lab into its bundle, sealed
description:
  - When that began and ended is noted in the bundle's events.
options:
  directory:
    description: The run's directory in the lab.
    type: path
    required: true
  bundle:
    description: The run's directory of results.
    type: path
    required: true
  host:
    description: The lab's only host.
    type: str
    required: true
  nats_server:
    description: The nats-server binary, to record its version.
    type: path
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Copy what was measured
  fpaas.bench_lab.copy_run:
    directory: .lab/runs/one
    bundle: results/one
    host: localhost
    nats_server: .venv/bin/nats-server
"""

RETURN = ""
