"""Notes tasks that fail, for the program that plays the playbook."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible.plugins.callback import CallbackBase

from fpaas.control import play_notes

DOCUMENTATION = """
name: play_notes
type: aggregate
short_description: Notes tasks that fail, for the program that plays the playbook
description:
  - Adds a JSON object a line to a file that the environment names. Sweeps and the failure matrix
    read there why a run was not played.
requirements:
  - Enable it in the environment (C(ANSIBLE_CALLBACKS_ENABLED)).
author: FPaaS bench lab
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """See above."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = play_notes.CALLBACK
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002
        """Note it; of a loop, its items have been."""
        if not ignore_errors and "results" not in result._result:
            note(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:  # noqa: ANN401
        """Note one item of a loop."""
        note(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:  # noqa: ANN401
        """Note a host that cannot be reached."""
        note(result)


def note(result: Any) -> None:  # noqa: ANN401
    """Add it to the file; what cannot be written stays in the playbook's output."""
    # Ansible's own strings are none that records know.
    host, task = str(result._host.get_name()), str(result._task.get_name())
    message = str(result._result.get("msg") or f"task {task!r} failed; its output is hidden")
    with contextlib.suppress(OSError):
        play_notes.add(play_notes.TaskFailed(host, task, message))
