"""Checks whether a host can start units with their sandbox, and names what it cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: check_sandbox
short_description: Name the directives of a unit's sandbox that keep it from starting
description:
  - >-
    In some containers (LXC without nesting, for one) systemd cannot make the sandbox of a unit.
    Starts C(true) in that of each unit; if that fails, finds out which of its directives are to
    blame.
  - Needs nothing on the host but Python and systemd.
options:
  units:
    description: Paths of unit files.
    type: list
    elements: path
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Check the sandboxes
  fpaas.bench_lab.check_sandbox:
    units: [/etc/systemd/system/fpaas-nats.service]
"""

RETURN = """
directives:
  description: Names of those that a unit cannot be started with.
  type: list
  elements: str
  returned: always
said:
  description: How it failed, empty if nothing did.
  type: str
  returned: always
"""

#: Settings of [Service] that are no part of the sandbox.
NOT_SANDBOX = (
    *("Type", "ExecStart", "Environment", "WorkingDirectory", "Restart", "RestartSec"),
    *("TimeoutStopSec", "LimitNOFILE", "UMask", "ReadWritePaths"),
)
#: A sandbox's needs depend on the user that a unit runs as.
ALWAYS = ("User", "Group")
#: Settings of one directive, by its name.
Sandbox = dict[str, list[str]]


def sandbox_of(unit: str) -> Sandbox:
    """Read the sandbox from the text of a unit file."""
    service = unit.partition("[Service]")[2].partition("\n[")[0]
    found: Sandbox = {}
    for line in service.splitlines():
        name, equals, _ = line.partition("=")
        if equals and not line.startswith("#") and name not in NOT_SANDBOX:
            found.setdefault(name, []).append(line)
    return found


def to_blame(sandbox: Sandbox, starts: Callable[[list[str]], bool]) -> list[str]:
    """Return the names of directives that keep a unit from starting, empty if it starts.

    Where each alone works, those are named of which any, left out, lets the others work.
    """

    def without(name: str) -> list[str]:
        return [line for other, lines in sandbox.items() if other != name for line in lines]

    if starts(without("")):
        return []
    names = [name for name in sandbox if name not in ALWAYS]
    as_whom = [line for name in ALWAYS for line in sandbox.get(name, [])]
    alone = [name for name in names if not starts(as_whom + sandbox[name])]
    return alone or [name for name in names if starts(without(name))] or names


def main() -> None:
    """See DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={"units": {"type": "list", "elements": "path", "required": True}},
        supports_check_mode=True,
    )
    said: list[str] = []

    def starts(lines: list[str]) -> bool:
        command = ["systemd-run", "--wait", "--quiet", "--collect"]
        options = [part for line in lines for part in ("--property", line)]
        ended = subprocess.run(  # noqa: S603  (the lab's own)
            [*command, *options, "/bin/true"], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            said.append(ended.stderr.strip() or f"systemd-run ended with {ended.returncode}")
        return not ended.returncode

    # Most units have the same.
    sandboxes: list[Sandbox] = []
    for path in module.params["units"]:
        sandbox = sandbox_of(Path(path).read_text(encoding="utf-8"))
        if sandbox not in sandboxes:
            sandboxes.append(sandbox)
    found = [name for sandbox in sandboxes for name in to_blame(sandbox, starts)]
    module.exit_json(
        changed=False, directives=list(dict.fromkeys(found)), said=said[0] if said else ""
    )


if __name__ == "__main__":
    main()
