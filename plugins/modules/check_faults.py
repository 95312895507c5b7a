"""Checks whether a host can inject the faults that a run has on it, before anything is started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: check_faults
short_description: Check whether a host can inject its faults
description:
  - Tries what needs the kernel in a network namespace that is gone with the command, and changes
    nothing. Needs nothing on the host but Python, and root if a fault does.
options:
  faults:
    description: Faults that the faults agent of the host is to inject, C(do) and C(label) of each.
    type: list
    elements: dict
    required: true
  directory:
    description: The lab's directory, whose disk is to be filled.
    type: path
    required: true
  is_own:
    description: Whether the host is the lab's own, to cut its network and to fill its disk.
    type: bool
    required: true
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Check whether the host can inject its faults
  fpaas.bench_lab.check_faults:
    faults:
      - {do: partition, label: "bench_faults[0] (partition on nats at 20 s)"}
    directory: /var/lib/fpaas
    is_own: true
"""

RETURN = """
problems:
  description: What it cannot do, each with the entry, why, what to do, and the code.
  type: list
  elements: str
  returned: always
codes:
  description: The same for programs, C(label), C(do) and C(code) of each.
  type: list
  elements: dict
  returned: always
"""

#: do → the program that it needs, and a command that tries it as the faults agent does it.
TRIALS = {
    "partition": ("nft", "nft add table inet fpaas_trial"),
    "limit": (
        "tc",
        "tc qdisc add dev lo root handle f9aa: tbf rate 1mbit burst 32kb latency 400ms",
    ),
    "delay": ("tc", "tc qdisc add dev lo root netem delay 10ms"),
}
PACKAGES = {"nft": "nftables", "tc": "iproute2"}
CAP_SYS_TIME = 25


class Problem(NamedTuple):
    """Why a host cannot inject a fault: for programs, and in words."""

    code: str
    sentence: str


def problem_of(do: str, directory: Path, *, is_own: bool) -> Problem | None:
    """Say why a host cannot inject a fault, if so."""
    if do not in (*TRIALS, "fill_disk", "step_clock"):
        return None
    problem = None
    if not is_own:
        problem = Problem(
            "fault_on_own_machine",
            f"{do} needs a host of the lab's own, and this is the machine that you work at",
        )
    elif os.geteuid() != 0:
        problem = Problem(
            "fault_needs_root", f"{do} needs root, and this is user {os.geteuid()} (ansible_become)"
        )
    elif do == "fill_disk":
        problem = disk_problem(directory)
    elif do == "step_clock":
        problem = clock_problem()
    else:
        problem = network_problem(do)
    return problem


def network_problem(do: str) -> Problem | None:
    """Say why a network cannot be cut or slowed down, if so."""
    program, trial = TRIALS[do]
    if shutil.which(program) is None:
        return Problem(
            "fault_program_missing",
            f"{do} needs the program {program} (apt-get install {PACKAGES[program]})",
        )
    command = ["unshare", "--net", *trial.split()]
    try:
        tried = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Problem("fault_not_tried", f"{do} could not be tried: {error}")
    if tried.returncode:
        said = " ".join((tried.stderr or tried.stdout).split())
        return Problem(
            "fault_not_in_kernel",
            f"{do} is not in this host's kernel, or is not allowed here: {said}",
        )
    return None


def disk_problem(directory: Path) -> Problem | None:
    """Say why a disk must not be filled, if so: a container's may be the whole machine's."""
    existing = directory
    while not existing.exists():
        existing = existing.parent
    if in_container() and existing.stat().st_dev == Path("/").stat().st_dev:
        return Problem(
            "fault_disk_shared",
            "fill_disk would fill the disk of the machine that this container is on; give it a "
            f"file system of its own at {directory}",
        )
    return None


def clock_problem(status: Path = Path("/proc/self/status")) -> Problem | None:
    """Say why the clock cannot be set, if so."""
    if in_container():
        return Problem(
            "fault_clock_shared",
            "step_clock would set the clock of the machine that this container is on; it needs a "
            "host with a clock of its own, a virtual machine for instance (make vms)",
        )
    found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)", status.read_text())
    if found and not int(found.group(1), 16) >> CAP_SYS_TIME & 1:
        return Problem(
            "fault_not_allowed", "step_clock needs the capability to set the clock (CAP_SYS_TIME)"
        )
    return None


def in_container() -> bool:
    """Whether this host is a container, as systemd sees it."""
    command = ["systemd-detect-virt", "--container", "--quiet"]
    try:
        return subprocess.run(command, timeout=10, check=False).returncode == 0  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return Path("/run/systemd/container").exists()


def main() -> None:
    """See DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "faults": {"type": "list", "elements": "dict", "required": True},
            "directory": {"type": "path", "required": True},
            "is_own": {"type": "bool", "required": True},
        },
        supports_check_mode=True,
    )
    wanted: dict[str, Any] = module.params
    directory, is_own = Path(wanted["directory"]), wanted["is_own"]
    found = [
        (fault, problem)
        for fault in wanted["faults"]
        if (problem := problem_of(fault["do"], directory, is_own=is_own)) is not None
    ]
    module.exit_json(
        changed=False,
        problems=[f"{fault['label']}: {one.sentence} [{one.code}]" for fault, one in found],
        codes=[
            {"label": fault["label"], "do": fault["do"], "code": one.code} for fault, one in found
        ],
    )


if __name__ == "__main__":
    main()
