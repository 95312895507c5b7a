"""Brings one host's part of a run to the control node: sealed, compressed, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.fpaas.bench_lab.plugins.plugin_utils import lab_hosts

from fpaas.control import collecting, fetching
from fpaas.control.lab_host import HostError, HostSilentError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "seal": {"type": "list", "elements": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "archive": {"type": "path", "required": True},
    "bundle": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`fetch_run: {seal: argv, directory: …, archive: …, bundle: the run's, host: its name}`.

    Parts that are here already, as they were sealed, are not fetched again, and their hosts not
    asked. On the host the run is removed once it is here.
    """

    TRANSFERS_FILES = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring it, or say what failed."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        # Ansible's own strings are none that records know.
        bundle, name = Path(str(arguments["bundle"])), str(arguments["host"])
        directory, archive = str(arguments["directory"]), str(arguments["archive"])
        host = lab_hosts.of_action(self)
        try:
            with collecting.noted(bundle, name):
                changed = fetching.bring(
                    host, arguments["seal"], directory, archive, bundle / "hosts" / name
                )
                if changed:
                    fetching.remove(host, directory, archive)
        except HostSilentError as error:
            raise AnsibleConnectionFailure(str(error)) from error
        except HostError as error:
            raise AnsibleActionFail(str(error)) from error
        return {**result, "changed": changed}
