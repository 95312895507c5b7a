"""Refuses an inventory that is none of a lab, and says what beside it has no effect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader, lookup_loader, test_loader
from ansible.utils.display import Display

from fpaas.control import inventory_checks, unused_variables
from fpaas.text import plain_output

ARGUMENTS: dict[str, dict[str, Any]] = {
    "groups": {"type": "dict", "required": True},
    "needed": {"type": "list", "elements": "str", "required": True},
    "sources": {"type": "list", "elements": "str", "required": True},
    "checkout": {"type": "path", "required": True},
    "played": {"type": "list", "elements": "str"},
    "is_whole": {"type": "bool", "default": False},
}
#: Ansible plays each task in a fork, which would look for these and import their modules every
#: time: a quarter of a playbook's time. Every playbook begins with this file, and modules that are
#: loaded before a fork are there for all tasks.
LOADED_ONCE = {
    filter_loader: ("ansible.builtin.bool", "run_account", "host_shortages", "lab_map", "endpoint"),
    test_loader: ("ansible.builtin.match",),
    lookup_loader: ("ansible.builtin.file", "ansible.builtin.template", "ansible.builtin.vars"),
}
for loader, names in LOADED_ONCE.items():
    for name in names:
        loader.get(name if "." in name else f"fpaas.bench_lab.{name}")


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with all that is wrong."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        groups, sources = arguments["groups"], arguments["sources"]
        checkout = Path(arguments["checkout"])
        problems = list(inventory_checks.problems(groups, arguments["needed"], sources, checkout))
        played = arguments["played"]
        if played is not None:
            is_whole = arguments["is_whole"]
            problems += inventory_checks.left_out(groups, played, is_whole=is_whole)
        own_tags = {*self._task.tags} - {"always"}
        run_tags, skipped = (context.CLIARGS.get(name, ()) for name in ("tags", "skip_tags"))
        problems += inventory_checks.tags_that_skip(run_tags or ["all"], skipped, own_tags)
        if arguments["needed"]:
            problems += inventory_checks.several_here(_connections(groups, task_vars or {}))
        if problems:
            return {**result, "failed": True, "msg": "\n".join(problems)}
        # Playbooks that take whatever is there, as teardown does, use no variables of groups.
        if arguments["needed"]:
            for note in unused_variables.notes(groups, sources, checkout):
                Display().display(plain_output.for_user(note, os.environ), color="yellow")
        return {**result, "changed": False}


def _connections(groups: dict[str, list[str]], task_vars: dict[str, Any]) -> dict[str, str]:
    names = [*inventory_checks.GROUPS, inventory_checks.MONITORING]
    hosts = dict.fromkeys(host for name in names for host in groups.get(name) or ())
    known = task_vars["hostvars"]
    return {host: known.raw_get(host).get("ansible_connection", "") for host in hosts}
