# ruff: noqa: INP001  (Ansible loads it by its path)
"""Waits for a run's end on one host, and shows how far it is."""

from __future__ import annotations

import os
import shlex
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fpaas.control.progress import Progress
from fpaas.spec import RunSpec

LOOK_INTERVAL_S = 1.0
GONE = "gone "


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`watch_run: {plan: run.json without T0, t0_unix_ns: …, directory: on the host, agents: […]}`.

    Returns `problems`: a message for each agent in trouble. It never fails because of one: what was
    measured is to be collected all the same.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the host until there is nothing left to wait for."""
        del tmp
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(
            {
                "plan": {"type": "path", "required": True},
                "t0_unix_ns": {"type": "int", "required": True},
                "directory": {"type": "path", "required": True},
                "agents": {"type": "list", "elements": "str", "required": True},
                "grace_s": {"type": "float", "required": True},
                "show_every_s": {"type": "float", "default": 5.0},
            }
        )
        result: dict[str, Any] = super().run(None, task_vars)
        run = replace(RunSpec.load(Path(arguments["plan"])), t0_unix_ns=arguments["t0_unix_ns"])
        progress = Progress(run, arguments["agents"], arguments["grace_s"])
        host = task_vars["inventory_hostname"]
        problems = self._follow(progress, arguments["directory"], arguments["show_every_s"], host)
        return {**result, "changed": False, "problems": problems}

    def _follow(
        self, progress: Progress, directory: str, show_every_s: float, host: str
    ) -> dict[str, str]:
        control_pid = os.getppid()
        show_at = time.monotonic()
        while True:
            self._look(progress, directory)
            now_unix_ns = time.time_ns()
            problems = progress.problems(now_unix_ns)
            for agent, problem in problems.items():
                show(f"{host}: {agent} {problem}", color="red")
            if progress.finished(now_unix_ns):
                return problems
            if time.monotonic() >= show_at:
                show_at += show_every_s
                show(f"{host}: {progress.line(now_unix_ns)}")
            time.sleep(LOOK_INTERVAL_S)
            if os.getppid() != control_pid:
                # ansible-playbook was killed: nobody is left to look for.
                os._exit(1)

    def _look(self, progress: Progress, directory: str) -> None:
        command = f"cat {shlex.quote(directory)}/*.status.json 2>/dev/null"
        for pid in progress.pids:
            command += f"; kill -0 {pid} 2>/dev/null || echo {GONE}{pid}"
        output = self._low_level_execute_command(command, sudoable=False)
        lines = output.get("stdout_lines", [])
        gone = [int(line.removeprefix(GONE)) for line in lines if line.startswith(GONE)]
        progress.update(lines, gone)


def show(text: str, color: str | None = None) -> None:
    """Show a line; Ctrl-C waits until that is done.

    Lines go through a queue of Ansible's. A worker that is ended while it holds the queue's lock
    leaves ansible-playbook waiting for the lock for ever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        Display().display(text, color=color)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
