"""What a container or a unit may use of the machine around it, and uses: cgroup v2's own files.

Limits hold for all below them, so a host's is the tightest on the way from this process's group up
to what is mounted. If a group sets no limit, the machine does.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Cgroup:
    """The groups that limit this process; each None if nothing does."""

    #: The group with the tightest cpu.max, and how many cores that is.
    cpu: Path | None = None
    cpu_cores: float | None = None
    #: The group with the tightest memory.max, and how much that is.
    memory: Path | None = None
    memory_bytes: int | None = None

    @classmethod
    def own(cls, mounts: Path = MOUNTS, own: Path = OWN) -> Cgroup:
        """Find those of this process."""
        groups = _groups(_read(mounts), _read(own))
        cores = [(limit, group) for group in groups if (limit := _cpu_limit(group)) is not None]
        memory = [(limit, group) for group in groups if (limit := _memory_limit(group)) is not None]
        cpu_cores, cpu = min(cores, default=(None, None))
        memory_bytes, memory_group = min(memory, default=(None, None))
        return cls(cpu, cpu_cores, memory_group, memory_bytes)

    def cores(self) -> float:
        """Return how many cores this process and those beside it may use, a part of one too."""
        allowed = len(os.sched_getaffinity(0))
        if self.cpu_cores is None or self.cpu_cores >= allowed:
            return allowed
        return self.cpu_cores

    def cpu_used_us(self) -> int | None:
        """Return what the limited group has used of processors; None if it does not say."""
        return None if self.cpu is None else _entry(self.cpu / "cpu.stat", "usage_usec")

    def throttled_us(self) -> int | None:
        """Return how long the group was held back; None if nothing limits it."""
        return None if self.cpu is None else _entry(self.cpu / "cpu.stat", "throttled_usec")

    def memory_used_bytes(self) -> int | None:
        """Return what the limited group holds beside files that the kernel may drop."""
        if self.memory is None:
            return None
        current = _read(self.memory / "memory.current").strip()
        droppable = _entry(self.memory / "memory.stat", "inactive_file") or 0
        return int(current) - droppable if current.isdecimal() else None

    def memory_left_bytes(self) -> float:
        """Return what the limited group may still take; endless if nothing limits it."""
        if self.memory_bytes is None:
            return math.inf
        return max(0, self.memory_bytes - (self.memory_used_bytes() or 0))

    def oom_kills(self) -> int | None:
        """Return how many processes of the limited group were killed because memory ran out."""
        return None if self.memory is None else _entry(self.memory / "memory.events", "oom_kill")

    def pressure(self, resource: str) -> str:
        """Return `<resource>.pressure` of the group that is limited; empty if there is none."""
        group = self.memory if resource == "memory" else self.cpu
        return "" if group is None else _read(group / f"{resource}.pressure")


def _groups(mounts: str, own: str) -> list[Path]:
    """Return this process's group and those above it, as far as they are mounted."""
    mounted = [line.split() for line in mounts.splitlines() if " - cgroup2 " in line]
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::/")), None)
    if not mounted or path is None:
        return []
    root, mount = mounted[0][3], Path(mounted[0][4])
    # If a group is outside of the mount, as in a namespace, only the mount itself can be seen.
    inside = path.removeprefix(root) if root != "/" and path.startswith(root) else path
    parts = [part for part in inside.split("/") if part]
    if ".." in parts:
        parts = []
    below = [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return [group for group in below if group.is_dir()]


def _cpu_limit(group: Path) -> float | None:
    """Read `cpu.max`: quota and period in us.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
    """
    match = re.fullmatch(r"(\d+) (\d+)\s*", _read(group / "cpu.max"))
    return int(match[1]) / int(match[2]) if match and int(match[2]) else None


def _memory_limit(group: Path) -> int | None:
    content = _read(group / "memory.max").strip()
    return int(content) if content.isdecimal() else None


def _entry(path: Path, name: str) -> int | None:
    match = re.search(rf"^{name} (\d+)$", _read(path), re.MULTILINE)
    return int(match[1]) if match else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
