"""One line at a terminal that is written over, by workers of a playbook that share it.

Each host's worker notes what it sees in a directory that all of them have; one of them draws.
Ansible's workers have no terminal: whether there is one, and how wide, is looked up at
their parent's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from fpaas.control.play_notes import RunProgress
from fpaas.records import files

#: To the line's start, and nothing after it.
CLEAR = "\r\x1b[K"


def opened(pid: int) -> int | None:
    """Open the terminal that a process prints to; None if it has none."""
    try:
        terminal = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NOCTTY)
    except OSError:
        return None
    if os.isatty(terminal):
        return terminal
    os.close(terminal)
    return None


def width_of(pid: int) -> int | None:
    """Return how wide the terminal is that a process prints to; None if it has none."""
    terminal = opened(pid)
    if terminal is None:
        return None
    try:
        if os.environ.get("TERM", "dumb") == "dumb":
            return None
        return os.get_terminal_size(terminal).columns or shutil.get_terminal_size().columns
    except OSError:
        return None
    finally:
        os.close(terminal)


class Board:
    """The run as all hosts' workers see it, a file each."""

    def __init__(self, directory: Path, run_id: str) -> None:
        self._directory = directory
        self._prefix = f"progress-{run_id}-"

    def note(self, progress: RunProgress) -> None:
        """Write down how far a host is; what cannot be written is not shown."""
        with contextlib.suppress(OSError):
            files.write(self._directory / f"{self._prefix}{progress.host}", progress)

    def total(self) -> dict[str, float]:
        """Add up what all hosts count."""
        found: dict[str, float] = {}
        for path in self._directory.glob(f"{self._prefix}*"):
            if path.suffix == ".tmp":
                continue
            with contextlib.suppress(OSError, files.UnreadableError):
                for figures in files.read(path, RunProgress).figures.values():
                    for name, count in figures.items():
                        found[name] = found.get(name, 0) + count
        return found
