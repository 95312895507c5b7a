"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: fetch_run
short_description: Fetch one host's part of a run, sealed, compressed and verified
description:
  - What is here already, as it was sealed, is not fetched again, and its host is not asked.
  - The run is removed from the host once it is here.
options:
  seal:
    description: Command that seals the run on the host.
    type: list
    elements: str
    required: true
  directory:
    description: The run's directory on the host.
    type: path
    required: true
  archive:
    description: File on the host that it is packed into for the journey.
    type: path
    required: true
  bundle:
    description: >-
      The run's directory of results on the control node. When fetching began and ended is noted in
      its events.
    type: path
    required: true
  host:
    description: The host's name; its part is put in C(hosts/) there, under it.
    type: str
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Fetch what was measured
  fpaas.bench_lab.fetch_run:
    seal: [/opt/lab/bin/fpaas, seal, /var/lib/lab/runs/one, --host, nats-1]
    directory: /var/lib/lab/runs/one
    archive: /var/lib/lab/runs/one.tar.gz
    bundle: results/one
    host: nats-1
"""

RETURN = ""
