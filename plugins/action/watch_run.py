"""Waits for a run's end on one host, and shows how far it is."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from pathlib import Path
from typing import Any

import msgspec
from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from fpaas.control import play_notes, progress, signals, terminal_line
from fpaas.control.progress import Progress
from fpaas.records.control import ControlProblem, Trouble
from fpaas.records.events import HOST_SILENT, TROUBLE_NOTED, EventLog, EventRecord
from fpaas.spec import RunSpec
from fpaas.text import plain_output
from fpaas.verdict import codes

LOOK_INTERVAL_S = 1.0
#: Agents are about to end: who waits for that waits no longer than it takes.
LOOK_AT_END_INTERVAL_S = 0.25
GONE = "gone "
#: A host is given up when it did not answer for this long.
LOST_S = 30.0


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
        directory = arguments["directory"]
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
        with EventLog(path) as log:
            problems = self._follow(followed, directory, host, shown, log)
            for problem in problems:
                shown.say(codes.sentence(problem.reason()), color="red")
                noted = {"host": host, "problem": problem.problem.value, **problem.parameters}
                now = time.time_ns()
                log.begin(TROUBLE_NOTED, now, noted, end_unix_ns=now)
        return {**result, "changed": False, "problems": msgspec.to_builtins(problems)}

    def _follow(
        self, followed: Progress, directory: str, host: str, shown: Shown, log: EventLog
    ) -> list[ControlProblem]:
        control_pid = os.getppid()
        shift_ns = followed.run.control_clock_shift_ns
        seen_at = time.monotonic()
        trouble = ""
        silence: EventRecord | None = None
        while True:
            try:
                self._look(followed, directory)
                seen_at = time.monotonic()
                if silence is not None:
                    log.end(silence, time.time_ns(), silence.parameters)
                    silence = None
            except AnsibleConnectionFailure as error:
                if silence is None:
                    silence = log.begin(HOST_SILENT, time.time_ns(), {"host": host})
                self._connection.reset()
                silent_s = time.monotonic() - seen_at
                if silent_s > LOST_S:
                    return [
                        ControlProblem(
                            problem=Trouble.HOST_LOST,
                            host=host,
                            parameters={"silent_s": silent_s, "message": reason(error)},
                        )
                    ]
                time.sleep(LOOK_INTERVAL_S)
                continue
            now_unix_ns = time.time_ns() + shift_ns
            if followed.finished(now_unix_ns):
                problems = followed.problems(now_unix_ns)
                # Without any, nothing is left, though more time was planned.
                shown.end(
                    now_unix_ns if problems else max(now_unix_ns, followed.run.settled_unix_ns)
                )
                return problems
            if followed.nats_trouble != trouble:
                trouble = followed.nats_trouble
                said = f"in trouble: {trouble}" if trouble else "answers again"
                shown.say(f"{host}: NATS {said}", color="yellow")
            shown.update(now_unix_ns)
            at_end = now_unix_ns >= followed.run.end_unix_ns
            time.sleep(LOOK_AT_END_INTERVAL_S if at_end else LOOK_INTERVAL_S)
            if os.getppid() != control_pid:
                # ansible-playbook was killed: nobody is left to look for.
                os._exit(1)

    def _look(self, followed: Progress, directory: str) -> None:
        # In this order: one that ends in between has said so, and is not taken for dead.
        command = "".join(
            f"kill -0 {pid} 2>/dev/null || echo {GONE}{pid}; " for pid in followed.pids
        )
        command += f"cat {shlex.quote(directory)}/*.status.json 2>/dev/null"
        output = self._low_level_execute_command(command)
        lines = output.get("stdout_lines", [])
        gone = [int(line.removeprefix(GONE)) for line in lines if line.startswith(GONE)]
        followed.update(lines, gone)


class Shown:
    """Output of one host's worker: at a terminal a line that is written over, else lines.

    The line at a terminal is of all hosts, and one worker's; logs have each host's lines.
    """

    def __init__(self, followed: Progress, show_every_s: float, *, draws: bool) -> None:
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
                display(terminal_line.CLEAR + line, newline=False, screen_only=True)
        if time.monotonic() < self._show_at:
            return
        self._show_at += self._show_every_s
        if self._progress.shows_figures:
            display(progress.line(now), log_only=width is not None)
            with contextlib.suppress(OSError):
                play_notes.add(now)

    def say(self, text: str, color: str) -> None:
        """Show a line that stays."""
        if terminal_line.width_of(os.getppid()):
            display(terminal_line.CLEAR, newline=False, screen_only=True)
        display(text, color=color)

    def end(self, now_unix_ns: int) -> None:
        """Leave the last line where it is."""
        self._show_at = float("inf")
        self.update(now_unix_ns)
        if self._draws and terminal_line.width_of(os.getppid()):
            display("", screen_only=True)


def display(text: str, **options: Any) -> None:  # noqa: ANN401
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(plain_output.for_user(text, os.environ), **options)


def reason(error: Exception) -> str:
    """Say in one line why a host did not answer."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
