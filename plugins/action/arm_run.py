"""Sets the time at which a planned run begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from fpaas.control import arming
from fpaas.spec import RunSpec, SpecError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "plan": {"type": "path", "required": True},
    "lead_s": {"type": "float", "required": True},
    "lead_s_per_1000_consumers": {"type": "float", "required": True},
    "connect_s": {"type": "float", "default": 0.0},
    "call_s": {"type": "float", "default": 0.0},
    "clocks": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the armed run.json."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        try:
            planned = RunSpec.load(Path(arguments["plan"]))
        except SpecError as error:
            raise AnsibleActionFail(str(error)) from error
        clocks = {
            host: arming.HostClock.from_dict(clock)
            for host, clock in arguments["clocks"].items()
            if clock is not None
        }
        armed = arming.arm(
            planned,
            time.time_ns(),
            arguments["lead_s"],
            arguments["lead_s_per_1000_consumers"],
            clocks,
            connect_s=arguments["connect_s"],
            call_s=arguments["call_s"],
        )
        return {
            **result,
            "changed": False,
            "run_json": armed.to_json(),
            "t0_unix_ns": armed.t0_unix_ns,
        }
