"""Waits for a run's end on one host, and shows how far it is."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fpaas.bench_lab.plugins.plugin_utils import lab_hosts

from fpaas.control import following, play_notes, progress, signals, terminal_line
from fpaas.control.lab_host import HostError
from fpaas.control.progress import Progress
from fpaas.records.events import EventLog
from fpaas.spec import RunSpec
from fpaas.text import plain_output

ARGUMENTS: dict[str, dict[str, Any]] = {
    "directory": {"type": "path", "required": True},
    "agents": {"type": "list", "elements": "str", "required": True},
    "grace_s": {"type": "float", "required": True},
    "show_every_s": {"type": "float", "default": 5.0},
    "events": {"type": "path", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`watch_run: {directory: the run's on the host, agents: […], grace_s: …}`.

    Returns `problems`, as control.json has them: one for each agent in trouble, or for the host
    itself. It never fails because of one: measurements are collected in any case.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the host until there is nothing left to wait for."""
        del tmp
        task_vars = task_vars or {}
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        directory = str(arguments["directory"])
        spec = self._low_level_execute_command(f"cat {shlex.quote(directory)}/run.json")
        if spec["rc"]:
            return {**result, "failed": True, "msg": f"run.json: {spec['stderr'].strip()}"}
        run = RunSpec.from_json(spec["stdout"], "run.json")
        # Ansible's own strings are none that records know.
        host = str(task_vars["inventory_hostname"])
        agents = [str(agent) for agent in arguments["agents"]]
        followed = Progress(run, host, agents, arguments["grace_s"])
        # If there is a terminal, one worker draws for all of them.
        draws = host == next(iter(task_vars.get("ansible_play_hosts") or [host]))
        shown = Shown(followed, arguments["show_every_s"], draws=draws)
        path = Path(str(arguments["events"]))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with EventLog(path) as log:
                way = lab_hosts.of_action(self)
                problems = following.follow(followed, way, directory, shown, log)
        except HostError as error:
            raise AnsibleActionFail(str(error)) from error
        return {**result, "changed": False, "problems": msgspec.to_builtins(problems)}


class Shown:
    """Output of one host's worker: at a terminal a line that is written over, else lines.

    The line at a terminal is of all hosts, and one worker's; logs have each host's lines.
    """

    def __init__(
        self,
        followed: Progress,
        show_every_s: float,
        *,
        draws: bool,
        display: Callable[..., None] | None = None,
    ) -> None:
        self._display = display or show
        self._progress = followed
        self._show_every_s = show_every_s
        self._draws = draws
        self._show_at = time.monotonic()
        self._board = terminal_line.Board(Path(constants.DEFAULT_LOCAL_TMP), followed.run.run_id)

    def update(self, now_unix_ns: int) -> None:
        """Show how far it is, if it is time for that."""
        width = terminal_line.width_of(os.getppid())
        now = self._progress.at(now_unix_ns)
        if width:
            self._board.note(now)
            if self._draws:
                line = progress.bar_line(now, self._board.total(), width)
                self._display(terminal_line.CLEAR + line, newline=False, screen_only=True)
        if time.monotonic() < self._show_at:
            return
        self._show_at += self._show_every_s
        if self._progress.shows_figures:
            self._display(progress.line(now), log_only=width is not None)
            with contextlib.suppress(OSError):
                play_notes.add(now)

    def say(self, text: str, color: str) -> None:
        """Show a line that stays."""
        if terminal_line.width_of(os.getppid()):
            self._display(terminal_line.CLEAR, newline=False, screen_only=True)
        self._display(text, color=color)

    def end(self, now_unix_ns: int) -> None:
        """Leave the last line where it is."""
        self._show_at = float("inf")
        self.update(now_unix_ns)
        if self._draws and terminal_line.width_of(os.getppid()):
            self._display("", screen_only=True)


def show(text: str, **options: Any) -> None:  # noqa: ANN401
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(plain_output.for_user(text, os.environ), **options)
