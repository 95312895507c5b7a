"""Documents the action of this name, which runs on the control node."""

from __future__ import annotations

DOCUMENTATION = """
module: show_text
short_description: Print text to the terminal as it is
description:
  - No task result in YAML or JSON is around it.
options:
  text:
    description: What is printed.
    type: str
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Show the plan
  fpaas.bench_lab.show_text:
    text: 100 consumers, polls every 60 s
"""

RETURN = ""
