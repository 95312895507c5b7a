"""The command that plays another playbook with the options of this one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.lookup import LookupBase

from fpaas.control import own_command

DOCUMENTATION = """
name: own_command
short_description: Write the command that plays another playbook with the options of this one
description:
  - For advice that works as it stands, in the directory that the user plays from.
options:
  _terms:
    description: Paths of playbooks.
    required: true
  run_id:
    description: A run's name, added as a variable.
    type: str
    required: true
author:
  - FPaaS bench lab
"""
EXAMPLES = """
advice: "{{ lookup('fpaas.bench_lab.own_command', 'playbooks/collect.yml', run_id=run_id) }}"
"""
RETURN = """
_raw:
  description: A command for each playbook, quoted for a shell.
  type: list
  elements: str
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: object = None, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """Return a command for each term."""
        self.set_options(var_options=variables, direct=kwargs)
        program = str(Path(sys.argv[0]).absolute())
        run_id = str(self.get_option("run_id"))
        return [
            own_command.command(
                program, str(term), sys.argv[1:], context.CLIARGS["args"], {"run_id": run_id}
            )
            for term in terms
        ]
