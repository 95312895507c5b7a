"""Waits on one host until the agents are up, wait for the run's T0, and know the host's clock."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase

from fpaas.control import agents_up

ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "agents": {"type": "list", "elements": "str", "required": True},
    "patience_s": {"type": "float", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`await_agents: {directory: the run's on the host, agents: […], patience_s: …}`.

    Fails if one of them failed, with what it says, or is not up in time. Returns `directory`,
    `connect_s`: how long connecting takes, and `clock`: how far the host's is off, None if there
    is no probe, or NATS does not answer.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the host until all are up."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = {**super().run(None, task_vars), "changed": False}
        directory = arguments["directory"]

        def look() -> list[str]:
            output = self._low_level_execute_command(f"cat {shlex.quote(directory)}/*.status.json")
            lines: list[str] = output.get("stdout_lines", [])
            return lines

        try:
            up = agents_up.wait(look, arguments["agents"], arguments["patience_s"], directory)
        except agents_up.NotUpError as error:
            return {**result, "failed": True, "msg": str(error)}
        clock = None if up.clock is None else up.clock.to_dict()
        return {**result, "directory": directory, "clock": clock, "connect_s": up.connect_s}
