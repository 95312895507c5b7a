"""One line at a terminal that is written over, by workers of a playbook that share it.

Each host's worker notes what it sees in a directory that all of them have; one of them draws.
Ansible's workers have no terminal of their own: whether there is one, and how wide, is looked up at
their parent's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

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
    """What all hosts' workers see of a run, a file each."""

    def __init__(self, directory: Path, run_id: str) -> None:
        self._directory = directory
        self._prefix = f"progress-{run_id}-"

    def note(self, host: str, figures: Mapping[str, float]) -> None:
        """Write down what a host counts; what cannot be written is not shown."""
        path = self._directory / f"{self._prefix}{host}"
        temporary = path.with_name(f"{path.name}.tmp")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(dict(figures)), encoding="utf-8")
            temporary.replace(path)

    def total(self) -> dict[str, float]:
        """Add up what all hosts count."""
        found: dict[str, float] = {}
        for path in self._directory.glob(f"{self._prefix}*"):
            if path.suffix == ".tmp":
                continue
            with contextlib.suppress(OSError, ValueError):
                for name, count in json.loads(path.read_text(encoding="utf-8")).items():
                    found[name] = found.get(name, 0) + count
        return found
