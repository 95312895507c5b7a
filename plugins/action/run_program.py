"""Runs a program of the lab on a host, and fails with the program's words.

`ansible.builtin.command` would do, at the price of a Python started on the host for each, half a
second every time, and say "non-zero return code" instead of the program's words.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase

#: How click begins a message.
ERROR_PREFIX = "Error: "


ARGUMENTS: dict[str, dict[str, Any]] = {
    "argv": {"type": "list", "elements": "str", "required": True},
    "chdir": {"type": "path"},
    "environment": {"type": "dict", "default": {}},
    "stdin": {"type": "str"},
    "may_end_with": {"type": "list", "elements": "int", "default": [0]},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`run_program: {argv: […], chdir: …, environment: {…}, stdin: …, may_end_with: [0, …]}`.

    Returns rc, stdout and complaint; on failure `msg` is what it said. Does nothing in check mode.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        if self._task.check_mode:
            return {**result, "skipped": True, "msg": "not run in check mode"}
        stdin = arguments["stdin"]
        ended = self._low_level_execute_command(
            command_line(arguments["argv"], arguments["environment"], arguments["chdir"]),
            in_data=stdin.encode() if stdin is not None else None,
        )
        rc, stdout, stderr = ended["rc"], ended["stdout"].strip("\n"), ended["stderr"].strip()
        result |= {"rc": rc, "changed": True}
        if rc not in arguments["may_end_with"]:
            said = stderr or stdout or f"{arguments['argv'][0]} ended with {rc} and said nothing"
            return {**result, "failed": True, "msg": said.removeprefix(ERROR_PREFIX)}
        # Said outright: Ansible takes any rc but 0 for a failure otherwise.
        complaint = stderr.removeprefix(ERROR_PREFIX)
        return {**result, "failed": False, "stdout": stdout, "complaint": complaint}


def command_line(argv: list[str], environment: dict[str, str], chdir: str | None = None) -> str:
    """Quote a program, its arguments and its additional environment for a shell."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    command = shlex.join([*(["env", *settings] if settings else []), *argv])
    return f"cd {shlex.quote(chdir)} && {command}" if chdir else command
