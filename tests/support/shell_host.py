"""Hosts that are shells on this machine."""

from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpaas.control.host_part import HostPart, ServiceCommands
from fpaas.control.lab_host import Ended, HostSilentError
from tests.support.checkout import SCRIPTS

WRITE_STATUS = """
for agent; do
  printf '{"agent": "%s", "state": "done", "unix_ns": 1, "pid": 1, "message": "", "figures": {}}' \\
    $agent >"$0/current/$agent.status.json"
done
"""


@dataclass
class Shell:
    """A host that is a directory of this machine."""

    directory: Path
    scripts: list[str] = field(default_factory=list)
    #: It answers no more once a script begins with this.
    silent_from: str = "\0"
    is_silent: bool = False
    was_called_at_once: bool = False
    _is_at_work: threading.Lock = field(default_factory=threading.Lock)

    def call(self, script: str, stdin: str = "") -> Ended:
        self.scripts.append(script)
        self.is_silent |= script.startswith(self.silent_from)
        if self.is_silent:
            raise HostSilentError("no route to host")
        self.was_called_at_once |= self._is_at_work.locked()
        with self._is_at_work:
            ended = subprocess.run(
                ["sh", "-c", script], input=stdin, capture_output=True, text=True, check=False
            )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def fetch(self, path: str, into: Path) -> None:
        shutil.copy(path, into)

    def reset(self) -> None:
        """Have no connection to forget."""


def make_part(directory: Path, **different: Any) -> HostPart:  # noqa: ANN401
    """Return what a host plays whose lab is a directory; its agents end as soon as they start."""
    commands = ServiceCommands(
        busy=["false"],
        first=[],
        start=["sh", "-c", WRITE_STATUS, str(directory), "{}"],
        stop=["touch", str(directory / "stopped")],
        free=["touch", str(directory / "freed")],
        said=["true"],
        unit="{}.service",
    )
    usual: dict[str, Any] = {
        "agents": ["shuffler"],
        "services": [],
        "lab": str(directory),
        "fpaas": str(SCRIPTS / "fpaas"),
        "owner": "",
        "commands": commands,
        "nats_server": "",
        "nats_environment": {},
        "limit_question": [],
        "servers": [],
        "clients": 0,
        "network_listen": "",
        "keep_options": [],
        "keep_login": "",
    }
    return HostPart(**usual | different)
