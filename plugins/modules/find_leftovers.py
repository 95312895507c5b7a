"""Finds what an earlier run has left on a host with systemd."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: find_leftovers
short_description: Find what an earlier run has left on a host with systemd
description:
  - Looks, and changes nothing. Needs nothing on the host but Python.
  - The lab's processes are those of its programs and of no unit. Queueing disciplines (tc) that
    shape a network are the lab's if their handle is C(f9aa:); others are somebody else's.
options:
  bin_dir:
    description: Where the lab's programs are.
    type: path
    required: true
  lab_dir:
    description: The lab's directory.
    type: path
    required: true
  unit_prefix:
    description: How the names of the lab's units begin.
    type: str
    required: true
  keep:
    description: Services that run between runs, too.
    type: list
    elements: str
    default: []
  host:
    description: The host's name in the inventory, by which a run knows how far its clock is off.
    type: str
    default: ""
  grace_s:
    description: Seconds that agents may take to write what they measured.
    type: float
    default: 0
author:
  - FPaaS bench lab
"""

EXAMPLES = """
- name: Look for what an earlier run has left
  fpaas.bench_lab.find_leftovers:
    lab_dir: /var/lib/lab
    bin_dir: /opt/lab/bin
    unit_prefix: lab-
"""

RETURN = """
units:
  description: Units that are active and should not be.
  type: list
  elements: str
  returned: always
processes:
  description: Processes of the lab's programs that no unit has started, by their pid.
  type: dict
  returned: always
qdiscs:
  description: Network interfaces whose root queueing discipline is one of the lab's, and its kind.
  type: dict
  returned: always
foreign_qdiscs:
  description: The same of those that shape the network and are not the lab's.
  type: dict
  returned: always
kept:
  description: Services among those to be kept that are active.
  type: list
  elements: str
  returned: always
run_id:
  description: The run that services write to; empty if there is none.
  type: str
  returned: always
left_s:
  description: Seconds until it has ended, 0 if it has, or if no agent of it is active.
  type: int
  returned: always
runs:
  description: Runs that are still here, all but the one in progress.
  type: list
  elements: str
  returned: always
"""


#: The handle that marks a queueing discipline as the lab's.
LAB_QDISC_HANDLE = "f9aa:"
#: Queueing disciplines that delay, drop or limit.
SHAPING_QDISCS = ("netem", "tbf", "htb", "hfsc", "cake", "cbq", "ets")


def output_of(*command: str) -> str:
    """Return what a command prints; nothing if it is missing or hangs."""
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def active_units(prefix: str) -> list[str]:
    """Return the lab's units that are starting, running or ending, without their suffix."""
    command = ["systemctl", "list-units", "--plain", "--no-legend", "--no-pager"]
    command += ["--state=active,activating,deactivating,reloading", f"{prefix}*.service"]
    names = [line.split()[0] for line in output_of(*command).splitlines() if line.strip()]
    return [name.removesuffix(".service") for name in names]


def stray_processes(bin_dir: str, unit_prefix: str, proc: Path = Path("/proc")) -> dict[str, str]:
    """Return the lab's processes that are of no unit: pid → command."""
    found = {}
    for directory in proc.glob("[0-9]*"):
        try:
            arguments = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
            cgroups = (directory / "cgroup").read_text(encoding="utf-8")
        except OSError:
            continue  # it has ended
        # A script is the second word, behind its interpreter.
        if not any(word.startswith(f"{bin_dir}/") for word in arguments[:2]):
            continue
        if f"/{unit_prefix}" not in cgroups:
            found[directory.name] = " ".join(arguments[:4]).strip()
    return found


def shaping_qdiscs(listed: str) -> tuple[dict[str, str], dict[str, str]]:
    """Sort interfaces with a shaping root qdisc, of `tc -json qdisc show`: the lab's, others'."""
    ours, others = {}, {}
    try:
        qdiscs = json.loads(listed or "[]")
    except ValueError:
        return {}, {}
    for qdisc in qdiscs:
        if not qdisc.get("root"):
            continue
        if qdisc.get("handle") == LAB_QDISC_HANDLE:
            ours[qdisc["dev"]] = qdisc["kind"]
        elif qdisc.get("kind") in SHAPING_QDISCS:
            others[qdisc["dev"]] = qdisc["kind"]
    return ours, others


def seconds_left(run_json: Path, host: str, now_s: float) -> float:
    """Return how long a run still takes, `now_s` by this host's clock; 0 if it is not known."""
    try:
        run = json.loads(run_json.read_bytes())
        takes_s = run["warmup_s"] + run["measure_s"] + run["drain_s"]
        # Runs of an older version have none.
        shift_s = run.get("clock_shifts_ns", {}).get(host, 0) / 1e9
        return max(0.0, float(run["t0_unix_ns"] / 1e9 + takes_s - shift_s - now_s))
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def main() -> None:
    """See DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "lab_dir": {"type": "path", "required": True},
            "bin_dir": {"type": "path", "required": True},
            "unit_prefix": {"type": "str", "required": True},
            "keep": {"type": "list", "elements": "str", "default": []},
            "host": {"type": "str", "default": ""},
            "grace_s": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    wanted: dict[str, Any] = module.params
    lab = Path(wanted["lab_dir"])
    prefix = wanted["unit_prefix"]
    active = active_units(prefix)
    kept = [name for name in wanted["keep"] if prefix + name in active]
    units = [unit for unit in active if unit.removeprefix(prefix) not in wanted["keep"]]
    current = lab / "current"
    run_id = current.resolve().name if current.exists() else ""
    left_s = seconds_left(current / "run.json", wanted["host"], time.time()) if units else 0.0
    if left_s:
        left_s += wanted["grace_s"]
    runs = sorted(
        path.name
        for path in (lab / "runs").glob("*")
        if path.is_dir() and not (left_s and path.name == run_id)
    )
    qdiscs, foreign_qdiscs = shaping_qdiscs(output_of("tc", "-json", "qdisc", "show"))
    module.exit_json(
        changed=False,
        units=units,
        processes=stray_processes(wanted["bin_dir"], prefix),
        qdiscs=qdiscs,
        foreign_qdiscs=foreign_qdiscs,
        kept=kept,
        run_id=run_id,
        left_s=int(left_s),
        runs=runs,
    )


if __name__ == "__main__":
    main()
