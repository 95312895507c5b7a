"""Waits on one host until the agents are up, wait for the run's T0, and know the host's clock."""

from __future__ import annotations

import shlex
import time
from typing import Any

from ansible.plugins.action import ActionBase

from fpaas.control.arming import PROBE, HostClock
from fpaas.records.status import CONNECT_S, AgentStatus, State

LOOK_INTERVAL_S = 0.1
#: A probe that has not compared clocks this long after all are up is not waited for: its host's
#: clock is taken as it is, and the run's report says that it is not known.
CLOCK_PATIENCE_S = 15.0


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
        deadline = time.monotonic() + arguments["patience_s"]
        clock_deadline = None
        while True:
            statuses = self._statuses(directory)
            if message := failure(statuses):
                return {**result, "failed": True, "msg": message}
            missing = [agent for agent in arguments["agents"] if agent not in statuses]
            if not missing:
                clock = clock_of(statuses)
                clock_deadline = clock_deadline or time.monotonic() + CLOCK_PATIENCE_S
                is_late = time.monotonic() > clock_deadline
                if clock is not None or PROBE not in statuses or is_late:
                    told = None if clock is None else clock.to_dict()
                    connect_s = max(s.figures.get(CONNECT_S, 0.0) for s in statuses.values())
                    up = {"directory": directory, "clock": told, "connect_s": connect_s}
                    return {**result, **up}
            elif time.monotonic() > deadline:
                message = (
                    f"not up within {arguments['patience_s']:g} s: {', '.join(missing)}; "
                    f"their logs are in {directory}, or in the host's journal"
                )
                return {**result, "failed": True, "msg": message}
            time.sleep(LOOK_INTERVAL_S)

    def _statuses(self, directory: str) -> dict[str, AgentStatus]:
        output = self._low_level_execute_command(f"cat {shlex.quote(directory)}/*.status.json")
        found = map(AgentStatus.parse, output.get("stdout_lines", []))
        return {status.agent: status for status in found if status is not None}


def clock_of(statuses: dict[str, AgentStatus]) -> HostClock | None:
    """Return what the probe says of the host's clock, if it does."""
    probe = statuses.get(PROBE)
    return None if probe is None else HostClock.seen(probe, time.time_ns())


def failure(statuses: dict[str, AgentStatus]) -> str:
    """Say which agents failed and why; empty if none did."""
    return "; ".join(
        f"the {name} failed: {status.message}"
        for name, status in sorted(statuses.items())
        if status.state == State.FAILED
    )
