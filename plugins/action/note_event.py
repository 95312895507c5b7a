"""Appends to a run's event log what a playbook does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from fpaas.records.events import EventLog

ARGUMENTS: dict[str, dict[str, Any]] = {
    "log": {"type": "path", "required": True},
    "kind": {"type": "str", "required": True},
    "parameters": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Append one line; a disk that is full costs the event, not the run."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        # Ansible's own strings are none that records know.
        kind = str(arguments["kind"])
        parameters = {
            str(name): str(value) if isinstance(value, str) else value
            for name, value in arguments["parameters"].items()
        }
        path, now = Path(str(arguments["log"])), time.time_ns()
        path.parent.mkdir(parents=True, exist_ok=True)
        with EventLog(path) as log:
            log.begin(kind, now, parameters, end_unix_ns=now)
        return {**result, "changed": True}
