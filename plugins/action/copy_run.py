"""Seals what a run left on the embedded lab, and copies it into its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from click import ClickException

from fpaas.control import collecting

ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "bundle": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
    "nats_server": {"type": "path", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy it; fails if it is not whole."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        # Ansible's own strings are none that records know.
        directory, bundle, nats_server = (
            Path(str(arguments[name])) for name in ("directory", "bundle", "nats_server")
        )
        try:
            collecting.copy(directory, bundle, str(arguments["host"]), nats_server)
        except (OSError, ClickException) as error:
            raise AnsibleActionFail(str(error)) from error
        return {**result, "changed": True}
