"""Prints text to the terminal as it is: no task result in JSON around it."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fpaas.text import plain_output

ARGUMENTS: dict[str, dict[str, Any]] = {"text": {"type": "str", "required": True}}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`show_text: {text: …}`."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        Display().display(plain_output.for_user(arguments["text"].strip("\n"), os.environ))
        return {**result, "changed": False}
