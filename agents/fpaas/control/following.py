"""Follows one host through a run, up to its end there."""

from __future__ import annotations

import os
import shlex
import time
from typing import Protocol

from fpaas import common_time
from fpaas.control.lab_host import Host, HostSilentError
from fpaas.control.progress import Progress
from fpaas.records.control import ControlProblem, Trouble
from fpaas.records.events import HOST_SILENT, TROUBLE_NOTED, EventLog, EventRecord
from fpaas.verdict import codes

LOOK_INTERVAL_S = 1.0
#: Agents are about to end: who waits for that waits no longer than it takes.
LOOK_AT_END_INTERVAL_S = 0.25
GONE = "gone "
#: A host is given up when it did not answer for this long.
LOST_S = 30.0


class Shown(Protocol):
    """What users see of one host meanwhile."""

    def update(self, now_unix_ns: int) -> None:
        """Show how far it is, if it is time for that."""

    def say(self, text: str, color: str) -> None:
        """Show a line that stays."""

    def end(self, now_unix_ns: int) -> None:
        """Leave the last line where it is."""


def follow(
    followed: Progress, host: Host, directory: str, shown: Shown, log: EventLog
) -> list[ControlProblem]:
    """Look at the host until there is nothing left to wait for; returns its trouble, if any.

    It never fails because of one: measurements are collected in any case.
    """
    problems = _follow(followed, host, directory, shown, log)
    for problem in problems:
        shown.say(codes.sentence(problem.reason()), color="red")
        noted = {"host": followed.host, "problem": problem.problem.value, **problem.parameters}
        now = common_time.now_ns()
        log.begin(TROUBLE_NOTED, now, noted, end_unix_ns=now)
    return problems


def _follow(
    followed: Progress, host: Host, directory: str, shown: Shown, log: EventLog
) -> list[ControlProblem]:
    control_pid = os.getppid()
    shift_ns = followed.run.control_clock_shift_ns
    seen_at = time.monotonic()
    trouble = ""
    silence: EventRecord | None = None
    while True:
        try:
            _look(followed, host, directory)
            seen_at = time.monotonic()
            if silence is not None:
                log.end(silence, common_time.now_ns(), silence.parameters)
                silence = None
        except HostSilentError as error:
            if silence is None:
                silence = log.begin(HOST_SILENT, common_time.now_ns(), {"host": followed.host})
            host.reset()
            silent_s = time.monotonic() - seen_at
            if silent_s > LOST_S:
                return [
                    ControlProblem(
                        problem=Trouble.HOST_LOST,
                        host=followed.host,
                        parameters={"silent_s": silent_s, "message": reason(error)},
                    )
                ]
            time.sleep(LOOK_INTERVAL_S)
            continue
        now_unix_ns = common_time.now_ns() + shift_ns
        if followed.finished(now_unix_ns):
            problems = followed.problems(now_unix_ns)
            # Without any, nothing is left, though more time was planned.
            shown.end(now_unix_ns if problems else max(now_unix_ns, followed.run.settled_unix_ns))
            return problems
        if followed.nats_trouble != trouble:
            trouble = followed.nats_trouble
            said = f"in trouble: {trouble}" if trouble else "answers again"
            shown.say(f"{followed.host}: NATS {said}", color="yellow")
        shown.update(now_unix_ns)
        at_end = now_unix_ns >= followed.run.end_unix_ns
        time.sleep(LOOK_AT_END_INTERVAL_S if at_end else LOOK_INTERVAL_S)
        if os.getppid() != control_pid:
            # ansible-playbook was killed: nobody is left to look for.
            os._exit(1)


def _look(followed: Progress, host: Host, directory: str) -> None:
    # In this order: one that ends in between has said so, and is not taken for dead.
    command = "".join(f"kill -0 {pid} 2>/dev/null || echo {GONE}{pid}; " for pid in followed.pids)
    command += f"cat {shlex.quote(directory)}/*.status.json 2>/dev/null"
    lines = host.call(command).stdout.splitlines()
    gone = [int(line.removeprefix(GONE)) for line in lines if line.startswith(GONE)]
    followed.update(lines, gone)


def reason(error: Exception) -> str:
    """Say in one line why a host did not answer."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
