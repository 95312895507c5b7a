"""Processes of the lab on this host: which they are, and whether they are still the same."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from fpaas.records import files, status
from fpaas.records.status import AgentStatus
from fpaas.spec.faults import CONSUMERS, NATS

GONE_LOOK_INTERVAL_S = 0.01


class NoProcessError(Exception):
    """There is no such process on this host; the message says which, and who should know it."""


class Process(msgspec.Struct, frozen=True):
    """A process by its id and its start, so that nobody else who gets the id is meant."""

    pid: int
    created_s: float

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has an id now. Raises NoProcessError."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error as error:
            raise NoProcessError(f"there is no process {pid}") from error

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            if self.exists():
                os.kill(self.pid, number)

    def exists(self) -> bool:
        """Whether it has not ended; a zombie has not been taken note of yet, and exists."""
        try:
            return psutil.Process(self.pid).create_time() == self.created_s
        except psutil.Error:
            return False

    def is_alive(self) -> bool:
        """Whether it has not ended; a zombie has."""
        try:
            return self.exists() and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def await_end(processes: Iterable[Process], patience_s: float) -> list[Process]:
    """Wait until processes have ended and their parents know; returns those that have not."""
    return _await_none(Process.exists, processes, patience_s)


def await_death(processes: Iterable[Process], patience_s: float) -> list[Process]:
    """Wait until processes hold nothing any more, known to have ended or not; returns who does."""
    return _await_none(Process.is_alive, processes, patience_s)


def _await_none(
    holds: Callable[[Process], bool], processes: Iterable[Process], patience_s: float
) -> list[Process]:
    deadline_s = time.monotonic() + patience_s
    left = list(processes)
    while left and time.monotonic() < deadline_s:
        time.sleep(GONE_LOOK_INTERVAL_S)
        left = [process for process in left if holds(process)]
    return left


@dataclass(frozen=True)
class Services:
    """Where to find the processes of this host's services."""

    directory: Path
    nats_pid_file: Path | None

    def processes(self, group: str, worker: int | None = None) -> list[Process]:
        """Return the processes of a service, its head first; or one worker of the consumers.

        Raises NoProcessError if it does not run.
        """
        if group == NATS:
            return [self._nats()]
        agent = self._status(group)
        if worker is not None:
            # A single worker is the agent itself.
            workers = agent.pids[1:] or agent.pids
            if worker >= len(workers):
                raise NoProcessError(f"there is no worker {worker}: the agent has {len(workers)}")
            return [Process.of(workers[worker])]
        pids = agent.pids if group == CONSUMERS else [agent.pid]
        head = self.head(group)
        others = []
        for pid in pids:
            with contextlib.suppress(NoProcessError):
                others += [Process.of(pid)] if pid != head.pid else []
        return [head, *others]

    def head(self, group: str) -> Process:
        """Return the process of an agent that its service manager knows. Raises NoProcessError."""
        return Process.of(self._status(group).pid)

    def _status(self, agent: str) -> AgentStatus:
        path = self.directory / status.name(agent)
        try:
            return files.read(path, AgentStatus)
        except (OSError, files.UnreadableError) as error:
            raise NoProcessError(f"{path}: does not say who the {agent} is: {error}") from error

    def _nats(self) -> Process:
        if self.nats_pid_file is None:
            raise NoProcessError("nobody says where NATS keeps its process id (--nats-pid-file)")
        try:
            return Process.of(int(self.nats_pid_file.read_text()))
        except (OSError, ValueError) as error:
            raise NoProcessError(f"{self.nats_pid_file}: {error}") from error
