"""Use of the lab's processes, found by their status files and servers' pid files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fpaas import common_time
from fpaas.records import files
from fpaas.records.files import UnreadableError
from fpaas.records.probe import ProcessSample
from fpaas.records.status import AgentStatus

#: psutil knows a process's start to the second.
_START_TOLERANCE_S = 2.0


@dataclass(frozen=True)
class Listed:
    """A process that a file names; `listed_unix_s` is when, None if the file does not say."""

    process: str
    pid: int
    listed_unix_s: float | None


def read_status_files(directory: Path) -> list[Listed]:
    """Return all processes that agents' status files name; a file that is no status is skipped.

    Files come and go while agents do.
    """
    listed = []
    for path in sorted(directory.glob("*.status.json")):
        with contextlib.suppress(OSError, UnreadableError):
            status = files.read(path, AgentStatus)
            # By the clock that the kernel knows processes' starts by.
            listed_unix_s = path.stat().st_mtime
            listed += [Listed(status.agent, pid, listed_unix_s) for pid in status.pids]
    return listed


def read_pid_file(path: Path, process: str) -> list[Listed]:
    """Return the process that a pid file names; none if there is no such file, or no pid."""
    try:
        return [Listed(process, int(path.read_text(encoding="ascii")), None)]
    except (OSError, ValueError):
        return []


@dataclass
class _Watched:
    process: psutil.Process
    cpu_s: float
    monotonic_s: float


class ProcessUsage:
    """Samples of the lab's live processes; `cpu_pct` is of one core, since the sample before."""

    def __init__(self, directory: Path, pid_files: Mapping[str, Path]) -> None:
        self._directory = directory
        self._pid_files = pid_files
        self._watched: dict[int, _Watched] = {}

    def sample(self) -> list[ProcessSample]:
        """Return lines of probe.processes.jsonl, one a live process."""
        unix_ns = common_time.now_ns()
        listed = read_status_files(self._directory)
        for name, path in self._pid_files.items():
            listed += read_pid_file(path, name)
        lines = []
        watched = {}
        for entry in listed:
            with contextlib.suppress(psutil.Error):
                before = self._watched.get(entry.pid)
                process = before.process if before else psutil.Process(entry.pid)
                if not _is_meant(process, entry):
                    continue
                now_s = time.monotonic()
                now = _read(process)
                cpu_pct = None
                if before is not None:
                    spent_s = now["cpu_s"] - before.cpu_s
                    cpu_pct = 100 * spent_s / (now_s - before.monotonic_s)
                lines.append(
                    ProcessSample(
                        unix_ns=unix_ns,
                        process=entry.process,
                        pid=entry.pid,
                        cpu_pct=cpu_pct,
                        **now,
                    )
                )
                watched[entry.pid] = _Watched(process, now["cpu_s"], now_s)
        self._watched = watched
        return lines


def _is_meant(process: psutil.Process, entry: Listed) -> bool:
    """Whether a live process is the one that was listed, and not a later one with its pid."""
    if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
        return False
    if entry.listed_unix_s is None:
        return True
    return process.create_time() <= entry.listed_unix_s + _START_TOLERANCE_S


def _read(process: psutil.Process) -> dict[str, Any]:
    with process.oneshot():
        cpu = process.cpu_times()
        switches = process.num_ctx_switches()
        return {
            "cpu_s": cpu.user + cpu.system,
            "rss_mb": process.memory_info().rss / 1e6,
            "fds": _file_descriptors(process),
            "threads": process.num_threads(),
            "ctx_switches_voluntary": switches.voluntary,
            "ctx_switches_involuntary": switches.involuntary,
        }


def _file_descriptors(process: psutil.Process) -> int | None:
    # Another user's process keeps these, and only these, to itself.
    try:
        return process.num_fds()
    except psutil.AccessDenied:
        return None
