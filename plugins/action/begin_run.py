"""Begins a run on the embedded lab: starts all that it needs, and gives it its T0."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fpaas.control import signals
from fpaas.control.kept_lab import CannotBeginError, KeptLab, KeptSettings
from fpaas.spec import RunSpec, SpecError
from fpaas.text import plain_output

ARGUMENTS: dict[str, dict[str, Any]] = {
    "plan": {"type": "path", "required": True},
    "kept": {"type": "dict", "required": True},
    "results": {"type": "path", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return T0 as `t0_unix_ns`."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        settings = KeptSettings.read(arguments["kept"], Path(arguments["results"]), {})
        try:
            planned = RunSpec.load(Path(arguments["plan"]))
            armed = KeptLab(settings, lambda _: None, show, is_held=True).begin(planned)
        except (CannotBeginError, SpecError) as error:
            raise AnsibleActionFail(str(error)) from error
        return {**result, "changed": True, "t0_unix_ns": armed.t0_unix_ns}


def show(text: str) -> None:
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(plain_output.for_user(text, os.environ))
