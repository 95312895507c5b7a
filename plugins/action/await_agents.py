"""Waits on one host until the agents are up, wait for the run's T0, and know the host's clock."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.fpaas.bench_lab.plugins.action.run_program import (
    ERROR_PREFIX,
    command_line,
)

from fpaas.control import agents_up

ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "agents": {"type": "list", "elements": "str", "required": True},
    "patience_s": {"type": "float", "required": True},
    "meanwhile": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`await_agents: {directory: the run's on the host, agents: […], patience_s: …}`.

    While they come up, it runs the program `meanwhile`, if there is one, in the additional
    `environment`. Fails if that fails, or an agent, with what it says, or if one is not up in time.
    Returns `directory`, `stdout` of the program, `connect_s` and `call_s`: how long connecting and
    a look take, and `clock`: how far the host's is off, None if there is no probe, or NATS does
    not answer.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the host until all are up."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = {**super().run(None, task_vars), "changed": False}
        directory = arguments["directory"]
        said = ""
        if arguments["meanwhile"]:
            ended = self._low_level_execute_command(
                command_line(arguments["meanwhile"], arguments["environment"])
            )
            said = ended["stdout"].strip("\n")
            if ended["rc"]:
                message = ended["stderr"].strip() or said
                message = message or f"{arguments['meanwhile'][0]} ended with {ended['rc']}"
                return {**result, "failed": True, "msg": message.removeprefix(ERROR_PREFIX)}

        def look() -> list[str]:
            output = self._low_level_execute_command(f"cat {shlex.quote(directory)}/*.status.json")
            lines: list[str] = output.get("stdout_lines", [])
            return lines

        try:
            up = agents_up.wait(look, arguments["agents"], arguments["patience_s"], directory)
        except agents_up.NotUpError as error:
            return {**result, "failed": True, "msg": str(error)}
        clock = None if up.clock is None else up.clock.to_dict()
        return {
            **result,
            "directory": directory,
            "stdout": said,
            "clock": clock,
            "connect_s": up.connect_s,
            "call_s": up.call_s,
        }
