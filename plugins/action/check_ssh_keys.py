"""Refuses hosts whose SSH keys are not known, all of them at once."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

ARGUMENTS: dict[str, dict[str, Any]] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
}
#: With others ssh takes a new key, or any, without asking.
ASKS_OR_REFUSES = ("ask", "true", "yes")
SSH_PORT = "22"
#: As `ssh -G` has each host of ProxyJump.
HOP = re.compile(
    r"(?:ssh://)?(?P<user>.+@)?(?:\[(?P<v6>[^]]+)\]|(?P<host>[^][:]+))(?::(?P<port>\d+))?"
)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with the hosts whose keys are not known."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        hostvars = (task_vars or {})["hostvars"]
        unknown: dict[str, list[str]] = {}
        for host in arguments["hosts"]:
            for ssh in unknown_keys(ssh_command(hostvars[host], host)):
                unknown.setdefault(ssh, []).append(host)
        if unknown:
            return {**result, "failed": True, "msg": message(unknown)}
        return {**result, "changed": False}


def ssh_command(variables: Mapping[str, Any], host: str) -> list[str]:
    """Return how Ansible calls ssh for a host; empty if it does not, or checks no key."""

    def option(name: str) -> Any:  # noqa: ANN401
        return constants.config.get_config_value(
            name, plugin_type="connection", plugin_name="ssh", variables=variables
        )

    # Its options are known once it was loaded.
    connection_loader.get("ssh", class_only=True)
    connection = variables.get("ansible_connection", constants.DEFAULT_TRANSPORT)
    if connection.rpartition(".")[2] not in ("ssh", "smart") or not option("host_key_checking"):
        return []
    command = [option("ssh_executable")]
    for name in ("ssh_args", "ssh_common_args", "ssh_extra_args"):
        command += shlex.split(option(name) or "")
    for flag, name in (("-p", "port"), ("-l", "remote_user")):
        command += [flag, str(option(name))] if option(name) else []
    return [*command, str(variables.get("ansible_host", host))]


def unknown_keys(command: list[str]) -> Iterator[str]:
    """Yield the `ssh …` that log in to a host and to those before it whose keys are not known."""
    if not command:
        return
    asked = subprocess.run(  # noqa: S603  (as Ansible will)
        [command[0], "-G", *command[1:]], capture_output=True, text=True, check=False
    )
    # ssh itself will say what it does not understand.
    settings = dict(line.split(" ", 1) for line in asked.stdout.splitlines() if " " in line)
    jumps = [] if settings.get("proxyjump", "none") == "none" else settings["proxyjump"].split(",")
    for jump in jumps:
        if hop := HOP.fullmatch(jump):
            on_port = ["-p", hop["port"]] if hop["port"] else []
            user = hop["user"] or ""
            yield from unknown_keys([command[0], *on_port, user + (hop["v6"] or hop["host"])])
    if settings.get("stricthostkeychecking") not in ASKS_OR_REFUSES:
        return
    if settings.get("knownhostscommand", "none") != "none":
        return
    name, port = settings["hostname"], settings["port"]
    names = [settings["hostkeyalias"]] if "hostkeyalias" in settings else [name]
    if port != SSH_PORT:
        names.append(f"[{names[0]}]:{port}")
    files = f"{settings['userknownhostsfile']} {settings['globalknownhostsfile']}".split()
    if not any(is_in(file, one) for file in files for one in names):
        options = (["-J", ",".join(jumps)] if jumps else []) + (
            ["-p", port] if port != SSH_PORT else []
        )
        yield shlex.join(["ssh", *options, f"{settings['user']}@{name}"])


def is_in(known_hosts: str, name: str) -> bool:
    """Whether a file has a key for a host."""
    path = Path(known_hosts).expanduser()
    command = ["ssh-keygen", "-F", name, "-f", str(path)]
    return (
        path.exists()
        and not subprocess.run(  # noqa: S603
            command, capture_output=True, check=False
        ).returncode
    )


def message(unknown: Mapping[str, list[str]]) -> str:
    """Say whose keys are not known, and what to do."""
    lines = [f"  {ssh}  ({', '.join(hosts)})" for ssh, hosts in unknown.items()]
    return "\n".join(
        [
            "ssh does not know the keys of these hosts. Log in to each once and compare its key:",
            *lines,
            "or have keys taken as they come. In the inventory:",
            "  ansible_ssh_common_args: -o StrictHostKeyChecking=accept-new",
        ]
    )
