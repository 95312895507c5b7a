"""How a fault is undone, as data, so that the dead man's process can do it as well as the agent.

Each can be done twice, and when there is nothing to undo: then it does nothing.
"""

from __future__ import annotations

import signal
import subprocess
import time

import msgspec

from fpaas.faults.processes import Process, await_death, await_end

COMMAND_S = 20.0


class UndoError(Exception):
    """It could not be undone; the message says what and why."""


class Continue(msgspec.Struct, frozen=True, tag=True):
    """Processes go on (SIGCONT)."""

    processes: list[Process]

    def perform(self) -> None:
        """Do it."""
        for process in self.processes:
            process.signal(signal.SIGCONT)


class Start(msgspec.Struct, frozen=True, tag=True):
    """A service is started, once its processes have ended; not if they have not.

    `outlives` a run: it is started even if the run is being ended.
    """

    processes: list[Process]
    argv: list[str]
    outlives: bool = False

    def perform(self) -> None:
        """Do it. Raises UndoError."""
        if not await_end(self.processes, COMMAND_S):
            run(self.argv)


class Run(msgspec.Struct, frozen=True, tag=True):
    """Runs a command; if it says that there is nothing to undo (`absent`), that is no error."""

    argv: list[str]
    absent: list[str]

    def perform(self) -> None:
        """Do it. Raises UndoError."""
        try:
            run(self.argv)
        except UndoError as error:
            if not any(words in str(error) for words in self.absent):
                raise


class End(msgspec.Struct, frozen=True, tag=True):
    """Processes that hold something are ended (SIGKILL), and what they held is free."""

    processes: list[Process]

    def perform(self) -> None:
        """Do it. Raises UndoError."""
        for process in self.processes:
            process.signal(signal.SIGKILL)
        if left := await_death(self.processes, COMMAND_S):
            raise UndoError(f"process {left[0].pid} does not end")


class SetClock(msgspec.Struct, frozen=True, tag=True):
    """The wall clock goes on as it had gone: this much ahead of the monotonic one."""

    ahead_ns: int

    def perform(self) -> None:
        """Do it. Raises UndoError."""
        try:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.monotonic_ns() + self.ahead_ns)
        except OSError as error:
            raise UndoError(f"the clock cannot be set: {error.strerror}") from error


Undo = Continue | Start | Run | End | SetClock


def perform_all(undos: list[Undo], *, is_ending: bool) -> None:
    """Undo a fault, all of it; `is_ending`: so is the run, so that nobody is started for it.

    Raises UndoError with the first error, after it has tried the others.
    """
    first: UndoError | None = None
    for undo in undos:
        if is_ending and isinstance(undo, Start) and not undo.outlives:
            continue
        try:
            undo.perform()
        except UndoError as error:
            first = first or error
    if first is not None:
        raise first


def run(argv: list[str], text: str | None = None) -> str:
    """Run a command, with a text for its standard input; returns what it printed.

    Raises UndoError with its message if it fails, does not exist or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603  (the lab's own)
            argv, input=text, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except FileNotFoundError as error:
        raise UndoError(f"{argv[0]}: there is no such program") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UndoError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"ended with {done.returncode}"
        raise UndoError(f"{' '.join(argv)}: {said}")
    return done.stdout
