"""Brings what agents have written: from a directory here, or from the hosts of an inventory."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpaas import common_time, regular, utf8_locale
from fpaas.bundle import lacking
from fpaas.errors import BadInput, SpecError
from fpaas.live import dump
from fpaas.live.dump import HostDump
from fpaas.spec import RunSpec

ANSWER_LIMIT_S = 60.0
#: That of this checkout, wherever the user is.
PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks" / "watch.yml"


class Here:
    """A run directory on this machine, one that goes on or a bundle."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        hosts = directory / "hosts"
        self._parts = (
            {one.name: one for one in sorted(hosts.iterdir()) if one.is_dir()}
            if hosts.is_dir()
            else {"localhost": directory}
        )

    def dumps(self) -> dict[str, HostDump]:
        """Return each host's part. Raises BadInput."""
        return {name: self._dump(part) for name, part in self._parts.items()}

    def _dump(self, part: Path) -> HostDump:
        try:
            done = subprocess.run(  # noqa: S603  ours
                ["/bin/sh", "-c", dump.COMMAND],
                cwd=part,
                capture_output=True,
                timeout=ANSWER_LIMIT_S,
                check=False,
            )
        except OSError as error:
            raise BadInput(f"{part}: {error.strerror}") from error
        return dump.parse(done.stdout.decode(errors="replace"))

    def run(self, dumps: Mapping[str, HostDump]) -> RunSpec:
        """Return what the run is. Raises BadInput."""
        path = self.directory / "run.json"
        try:
            return RunSpec.load(path)
        except (OSError, SpecError) as error:
            del dumps
            raise BadInput(str(error)) from error

    def now_unix_ns(self, run: RunSpec, dumps: Mapping[str, HostDump]) -> int:
        """Return the run's time, by this machine's clock."""
        del dumps
        return common_time.now_ns() + run.control_clock_shift_ns

    def summary(self) -> Mapping[str, Any] | None:
        """Return a reported run's summary; None while there is none that can be read."""
        try:
            content = json.loads(regular.read_bytes(self.directory / "summary.json"))
            status = content["verdict"]["status"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return content if isinstance(status, str) else None

    def problems(self) -> list[str]:
        """Return what a reported run lacks: its verdict may be of more than is here."""
        is_reported = self.summary() is not None
        return [what] if is_reported and (what := lacking.sentence(self.directory)) else []


class OverHosts:
    """The hosts of an inventory, asked as Ansible reaches them; nothing is installed there."""

    def __init__(self, inventory: Path) -> None:
        self._inventory = inventory
        self._unreached: list[str] = []

    def dumps(self) -> dict[str, HostDump]:
        """Return the part of each host that answers. Raises BadInput if none does."""
        if not PLAYBOOK.exists():
            raise BadInput(f"{PLAYBOOK}: is not there; use the checkout's own .venv/bin/fpaas")
        program = Path(sys.executable).with_name("ansible-playbook")
        command = {"watch_command": f"{{ {dump.COMMAND.strip()}\n}}"}
        arguments = [str(program), str(PLAYBOOK), "-i", str(self._inventory)]
        arguments += ["-e", json.dumps(command)]
        environment = {
            **utf8_locale.for_ansible(os.environ),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
        }
        try:
            done = subprocess.run(  # noqa: S603  the lab's own
                arguments,
                capture_output=True,
                text=True,
                env=environment,
                timeout=ANSWER_LIMIT_S,
                check=False,
            )
            # A user's own callbacks may write beside it.
            content, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
            answers = content["plays"][-1]["tasks"][-1]["hosts"]
        except (OSError, ValueError, LookupError, subprocess.TimeoutExpired) as error:
            raise BadInput(
                f"{self._inventory}: its hosts could not be queried: {error}; try "
                f"`ansible -i {shlex.quote(str(self._inventory))} all -m ping`"
            ) from error
        self._unreached = unreached(answers)
        found = {
            host: dump.parse(answer["stdout"])
            for host, answer in answers.items()
            if answer.get("rc") == 0
        }
        if not found:
            raise BadInput("\n".join(self._unreached) or f"{self._inventory}: has no hosts")
        return found

    def run(self, dumps: Mapping[str, HostDump]) -> RunSpec:
        """Return what the run is. Raises BadInput."""
        text = next((one.run_json for one in dumps.values() if one.run_json), "")
        try:
            return RunSpec.from_json(text, "run.json")
        except SpecError as error:
            raise BadInput(str(error)) from error

    def now_unix_ns(self, run: RunSpec, dumps: Mapping[str, HostDump]) -> int:
        """Return the run's time by its hosts' clocks: nobody knows what is off the viewer's."""
        return max(
            (
                one.clock_unix_ns + run.clock_shift_ns(host)
                for host, one in dumps.items()
                if one.clock_unix_ns is not None
            ),
            default=common_time.now_ns() + run.control_clock_shift_ns,
        )

    def summary(self) -> None:
        """Return nothing: the report is made on the control node."""
        return

    def problems(self) -> list[str]:
        """Return why hosts brought nothing when they were asked last."""
        return self._unreached


def unreached(answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say why hosts bring nothing; those with the same reason share a line."""
    hosts: dict[str, list[str]] = {}
    for host, answer in answers.items():
        if answer.get("unreachable"):
            hosts.setdefault(f"does not answer: {_why(answer)}", []).append(host)
        elif answer.get("rc") != 0:
            hosts.setdefault(_why(answer), []).append(host)
    return [f"{', '.join(names)}: {why}" for why, names in hosts.items()]


def _why(answer: Mapping[str, Any]) -> str:
    said = str(answer.get("stderr") or answer.get("stdout") or answer.get("msg") or "").strip()
    return said.splitlines()[-1] if said else "it gives no reason"
