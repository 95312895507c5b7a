"""Looks whether files are as they are to be, and has the module mend only those that are not.

To look takes a shell on the host; the module a Python, several times as long, and most playbooks
find everything in place.
"""

from __future__ import annotations

import hashlib
import shlex
from typing import Any

from ansible.plugins.action import ActionBase

ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "files": {"type": "dict", "required": True},
    "mode": {"type": "str", "required": True},
    "owner": {"type": "str"},
    "group": {"type": "str"},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, and let the module do what is to be done."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        looked = self._low_level_execute_command(question(arguments))
        if looked["rc"] == 0 and looked["stdout"].split() == answer(arguments):
            return {**result, "changed": False, "names": []}
        return {**result, **self._execute_module(task_vars=task_vars)}


def question(arguments: dict[str, Any]) -> str:
    """Write the command that `answer` is to come from: attributes of all files, then contents."""
    names = shlex.join(arguments["files"])
    asked = "%a"
    asked += " %U" if arguments["owner"] is not None else ""
    asked += " %G" if arguments["group"] is not None else ""
    place = shlex.quote(arguments["directory"])
    hashes = f'for name in {names}; do sha256sum <"$name" || exit; done'
    return f"cd {place} && stat -L -c '{asked}' -- {names} && {hashes}"


def answer(arguments: dict[str, Any]) -> list[str]:
    """Return what it says, word by word, if nothing is to be done."""
    files: dict[str, str] = arguments["files"]
    attributes = [f"{int(arguments['mode'], 8):o}", arguments["owner"], arguments["group"]]
    hashes = [hashlib.sha256(content.encode()).hexdigest() for content in files.values()]
    same = [one for one in attributes if one is not None]
    return same * len(files) + [word for one in hashes for word in (one, "-")]
