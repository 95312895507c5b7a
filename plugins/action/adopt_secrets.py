"""Copies a lab's secrets from the control directory that only a file's name had named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from fpaas.control import labs

ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "former": {"type": "path", "required": True},
    "nats_addresses": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy them, if they are this lab's."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        try:
            names = labs.adopt(
                Path(arguments["directory"]),
                Path(arguments["former"]),
                arguments["nats_addresses"],
                copies=not self._task.check_mode,
            )
        except OSError as error:
            message = f"{error.filename}: cannot be copied: {error.strerror}"
            raise AnsibleActionFail(message) from error
        return {**result, "changed": bool(names), "names": names}
