"""Checks whether a host can play its part in a run, before anything is started on it."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: check_host
short_description: Check a host before a run
description:
  - Looks for anything that would make a run fail later, and changes nothing.
  - Needs nothing on the host but Python.
options:
  address:
    description: Address that the ports are bound to.
    type: str
    required: true
  ports:
    description: Ports that must be free, by the name of the variable that sets each.
    type: dict
    default: {}
  directories:
    description: >-
      Directories that files will be written to, by their variables' names; they need not exist yet.
    type: dict
    default: {}
  free_mb:
    description: Megabytes that must be free there.
    type: int
    required: true
  open_files:
    description: Files and sockets that one process must be able to open.
    type: int
    required: true
  nats_server:
    description: The nats-server binary, if this host needs one.
    type: str
  nats_server_oldest:
    description: Oldest version of it that will do.
    type: str
    default: "2.10.0"
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Check the host
  fpaas.bench_lab.check_host:
    address: 127.0.0.1
    ports:
      nats_port: 4222
    free_mb: 1000
    open_files: 1024
"""

RETURN = """
problems:
  description: What is wrong, each with what to do.
  type: list
  elements: str
  returned: always
size:
  description: >-
    What the host has: memory_mb, disk_free_mb (of the first directory; 10^6 bytes) and
    net_mbit_per_s (of its fastest interface); null if it does not say.
  type: dict
  returned: always
"""


def port_problems(address: str, ports: dict[str, Any]) -> list[str]:
    """Try to listen on each port."""
    problems = []
    taken: dict[int, str] = {}
    for variable, value in ports.items():
        if not re.fullmatch(r"[0-9]{1,5}", str(value)) or not 0 < int(value) < 65_536:
            problems.append(f"{variable}: {value!r} is not allowed; allowed: a port, 1 to 65535")
            continue
        port = int(value)
        if port in taken:
            problems.append(f"{variable}: port {port} is {taken[port]}'s already; choose another")
            continue
        taken[port] = variable
        problem = port_problem(address, port)
        if problem:
            where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            problems.append(f"{variable}: {where} {problem}; free it or set {variable}")
    return problems


def port_problem(address: str, port: int) -> str | None:
    """Say why nothing could listen there, if so."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            # As servers do: a connection that ended a moment ago is in nobody's way.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "is in use by another process"
        return f"cannot be listened on: {error.strerror}"
    return None


def disk_problems(directories: dict[str, str], free_mb: int) -> list[str]:
    """Check free space and writability of directories, or of their nearest parents.

    `directories` are by their variables' names.
    """
    problems = []
    for variable, directory in directories.items():
        existing = Path(os.path.expanduser(directory))  # noqa: PTH111  (takes unknown users)
        while not existing.exists():
            existing = existing.parent
        free = shutil.disk_usage(existing).free / 1e6
        if free < free_mb:
            needed = f"{free_mb} MB needed (lab_free_disk_mb)"
            problems.append(f"{variable}: {directory}: {free:.0f} MB free, {needed}")
        if not existing.is_dir():
            problems.append(
                f"{variable}: {directory} cannot be a directory: {existing} is none; "
                "give a directory, or a place for one"
            )
        elif not os.access(existing, os.W_OK | os.X_OK):
            problems.append(
                f"{variable}: {existing} cannot be written to; change its owner or its mode"
            )
    return problems


def open_files_problems(needed: int) -> list[str]:
    """Check the limit that a process may raise its own to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard in (resource.RLIM_INFINITY, -1) or hard >= needed:
        return []
    remedy = f"raise it (`ulimit -n {needed}`, or nofile in /etc/security/limits.conf)"
    return [f"limit of open files: {hard}, {needed} needed; {remedy}"]


def version_of(text: str) -> tuple[int, ...] | None:
    """Find a version like v2.15.1 in a text."""
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else None


def nats_server_problems(binary: str, oldest: str) -> list[str]:
    """Run the binary and compare its version."""
    remedy = "set nats_server_binary to one, or remove .venv and run `make setup`"
    if shutil.which(binary) is None:
        why = "is not executable" if Path(binary).exists() else "there is no such program"
        return [f"nats_server_binary: {binary}: {why}; {remedy}"]
    try:
        answer = subprocess.run(  # noqa: S603  (the user names it)
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"nats_server_binary: {binary}: does not run: {error}; {remedy}"]
    version = version_of(answer.stdout)
    if version is None:
        said = (answer.stdout + answer.stderr).strip()[:200] or "nothing"
        return [f"nats_server_binary: {binary}: is no nats-server (it says {said!r}); {remedy}"]
    if version < (version_of(oldest) or ()):
        shown = ".".join(map(str, version))
        return [f"nats_server_binary: {binary}: is {shown}, {oldest} or newer is needed; {remedy}"]
    return []


def size_of(directory: str | None) -> dict[str, float | None]:
    """Return what the host has, by its container's limits if it is one."""
    existing = Path(directory or "/")
    while not existing.exists():
        existing = existing.parent
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    memory = [int(found[1]) * 1024] if found else []
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        memory += [int(_text(limit))] if _text(limit).isdigit() else []
    devices = Path("/sys/class/net").glob("*/device")
    speeds = [_text(device.parent / "speed") for device in devices]
    return {
        "memory_mb": min(memory) / 1e6 if memory else None,
        "disk_free_mb": shutil.disk_usage(existing).free / 1e6,
        "net_mbit_per_s": max((float(s) for s in speeds if s.isdigit() and s != "0"), default=None),
    }


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def check(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what RETURN says; `wanted` are the module's arguments."""
    problems = [
        *port_problems(wanted["address"], wanted["ports"]),
        *disk_problems(wanted["directories"], wanted["free_mb"]),
        *open_files_problems(wanted["open_files"]),
    ]
    if wanted["nats_server"]:
        problems += nats_server_problems(wanted["nats_server"], wanted["nats_server_oldest"])
    size = size_of(next(iter(wanted["directories"].values()), None))
    return {"problems": problems, "size": size}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "address": {"type": "str", "required": True},
    "ports": {"type": "dict", "default": {}},
    "directories": {"type": "dict", "default": {}},
    "free_mb": {"type": "int", "required": True},
    "open_files": {"type": "int", "required": True},
    "nats_server": {"type": "str"},
    "nats_server_oldest": {"type": "str", "default": "2.10.0"},
}


def main() -> None:
    """See DOCUMENTATION."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, **check(module.params))


if __name__ == "__main__":
    main()
