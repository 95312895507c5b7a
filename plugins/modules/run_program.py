"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: run_program
short_description: Run a program of the lab on a host, and fail with what it says
description:
  - As M(ansible.builtin.command) would, without a Python started on the host for each call.
  - >-
    Does nothing in check mode, unless C(check_mode: false) says otherwise.
options:
  argv:
    description: The program and its arguments.
    type: list
    elements: str
    required: true
  chdir:
    description: Directory that it starts in.
    type: path
  environment:
    description: Additional environment variables.
    type: dict
    default: {}
  stdin:
    description: What it reads.
    type: str
  may_end_with:
    description: Exit codes that are no failure.
    type: list
    elements: int
    default: [0]
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Ask the lab's program for its version
  fpaas.bench_lab.run_program:
    argv: [/opt/lab/bin/fpaas, --version]
"""

RETURN = """
rc:
  description: Its exit code.
  type: int
  returned: success
stdout:
  description: What it printed, without line ends around it.
  type: str
  returned: success
complaint:
  description: What it said on stderr, without the prefix that the lab's programs put before errors.
  type: str
  returned: success
"""
