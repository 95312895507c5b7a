"""Who holds an embedded lab: one playbook at a time, and the guard that watches it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import psutil

from fpaas.control.lab_processes import SERVERS_END_S, runs
from fpaas.errors import BadInput

#: A guard that cleans up after an earlier run is waited for this long, its COLLECT_S included.
LAB_BUSY_S = 90.0
PLAYBOOK = "ansible-playbook"


def playbook_above() -> psutil.Process:
    """Return the ansible-playbook that this process was started by: the main one, not a worker.

    A worker is a fork and has its command line; one with another command line is a sweep's, which
    started this one as a run of its own. Raises BadInput if there is none.
    """
    playbook = None
    for parent in psutil.Process().parents():
        command = _cmdline(parent)
        is_playbook = any(Path(part).name == PLAYBOOK for part in command[:3])
        if is_playbook and (playbook is None or command == _cmdline(playbook)):
            playbook = parent
        elif playbook is not None:
            break
    if playbook is None:
        raise BadInput("`fpaas guard start` is for playbooks: no ansible-playbook started it")
    return playbook


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


@dataclass(frozen=True)
class Holder:
    """Who holds a lab: the guard, and the playbook that it watches."""

    guard_pid: int
    playbook_pid: int
    playbook_started: float
    since: str

    @classmethod
    def now(cls, guard_pid: int, playbook: psutil.Process) -> Holder:
        """Describe a guard that starts."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(guard_pid, playbook.pid, playbook.create_time(), since)

    @property
    def playbook_runs(self) -> bool:
        """Whether the playbook is still the same process, and alive."""
        try:
            process = psutil.Process(self.playbook_pid)
            same = abs(process.create_time() - self.playbook_started) < 1.0
        except psutil.Error:
            return False
        return same and runs(process)


class Lab:
    """The lab's directory, and the lock on it that the guard holds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock_path = directory / "guard.json"

    def acquire(self, say_waiting: Callable[[Path], None] | None = None) -> TextIO:
        """Take the lab; the caller holds it for as long as the file stays open.

        Waits while a guard cleans up; `say_waiting` is told so once, with the lab's directory.
        Raises BadInput if another playbook uses the lab, or its guard is stopped.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = self._lock_path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + LAB_BUSY_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    self._check_is_cleaned_up(until_s=deadline)
                except BadInput:
                    lock.close()
                    raise
                if say_waiting is not None:
                    say_waiting(self.directory)
                    say_waiting = None
                time.sleep(0.2)
            else:
                lock.truncate(0)  # the former holder's pid may be anybody's by now
                return lock

    def _check_is_cleaned_up(self, until_s: float) -> None:
        """Raise BadInput if who holds the lab will not be done soon (`until_s`: monotonic)."""
        holder = self.holder()
        if holder is not None and holder.playbook_runs:
            raise self._in_progress(holder)
        if holder is not None and _is_stopped(holder.guard_pid):
            raise BadInput(
                f"{self.directory}: the process that cleans up after an interrupted run is "
                f"stopped; let it go on with `kill -CONT {holder.guard_pid}`"
            )
        if time.monotonic() > until_s:
            raise BadInput(
                f"{self.directory}: still being cleaned up after an interrupted run; see "
                f"{self.directory}/guard.log, or end it with `make teardown`"
            )

    def refuse_others(self) -> None:
        """Raise BadInput if a playbook uses the lab that did not start this process."""
        try:
            lock = self._lock_path.open(encoding="utf-8")
        except FileNotFoundError:
            return
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.holder()
            else:
                return  # it was used; nobody holds it now
        if holder is None or not holder.playbook_runs:
            return
        if holder.playbook_pid not in {parent.pid for parent in psutil.Process().parents()}:
            raise self._in_progress(holder)

    def _in_progress(self, holder: Holder) -> BadInput:
        return BadInput(
            f"{self.directory}: a run is in progress here (ansible-playbook, pid "
            f"{holder.playbook_pid}, since {holder.since}); wait for it, or interrupt it: what it "
            "measured is kept"
        )

    def holder(self) -> Holder | None:
        """Return who holds the lab, or held it last."""
        try:
            return Holder(**json.loads(self._lock_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def release(self) -> None:
        """End the guard without its doing anything, and wait until it has let go."""
        if not self._lock_path.exists():
            return
        with self._lock_path.open("a+", encoding="utf-8") as lock:
            deadline = time.monotonic() + SERVERS_END_S
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._signal_guard()
                    time.sleep(0.05)
                else:
                    return

    def _signal_guard(self) -> None:
        holder = self.holder()
        if holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder.guard_pid, signal.SIGTERM)


def write_holder(lock: TextIO, holder: Holder) -> None:
    """Write into a lab's lock who holds it."""
    json.dump(asdict(holder), lock)
    lock.flush()
