"""Checks this machine here, and others by the module: a Python less for the embedded lab's runs."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fpaas.bench_lab.plugins.modules import check_host

ARGUMENTS: dict[str, dict[str, Any]] = check_host.ARGUMENTS


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check it."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        if self._connection.transport != "local" or self._connection.become is not None:
            return {**result, **self._execute_module(task_vars=task_vars)}
        return {**result, "changed": False, **check_host.check(arguments)}
