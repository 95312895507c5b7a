"""What an earlier run has left on a host: the lab's own, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.plugin_modules import load

find_leftovers = load("modules/find_leftovers.py")


def process(proc: Path, pid: int, command: list[str], cgroup: str) -> None:
    directory = proc / str(pid)
    directory.mkdir()
    (directory / "cmdline").write_bytes("\0".join([*command, ""]).encode())
    (directory / "cgroup").write_text(f"0::{cgroup}\n")


def test_processes_are_the_labs_where_no_unit_has_started_them(tmp_path: Path) -> None:
    fpaas = "/opt/fpaas/agents/bin/fpaas"
    python = "/opt/fpaas/agents/bin/python"
    session = "/user.slice/user-1000.slice/session-1.scope"
    process(tmp_path, 10, [python, fpaas, "relay"], "/system.slice/fpaas-relay.service")
    process(tmp_path, 11, [python, fpaas, "shuffler"], session)
    process(tmp_path, 12, ["/usr/bin/less", "notes", fpaas], session)
    (tmp_path / "13").mkdir()  # has ended meanwhile
    found = find_leftovers.stray_processes("/opt/fpaas/agents/bin", "fpaas-", tmp_path)
    assert found == {"11": f"{python} {fpaas} shuffler"}


def test_queueing_disciplines_are_the_labs_by_their_handle() -> None:
    listed = [
        {"kind": "tbf", "handle": "f9aa:", "dev": "eth0", "root": True},
        {"kind": "netem", "handle": "f9aa:", "dev": "eth1", "parent": "1:1"},
        {"kind": "netem", "handle": "1:", "dev": "eth2", "root": True},
        {"kind": "fq_codel", "handle": "0:", "dev": "eth3", "root": True},
        {"kind": "noqueue", "handle": "0:", "dev": "lo", "root": True},
    ]
    found = find_leftovers.shaping_qdiscs(json.dumps(listed))
    assert found == ({"eth0": "tbf"}, {"eth2": "netem"})


@pytest.mark.parametrize("printed", ["", "Cannot open netlink socket", "[]", "[{}]"])
def test_no_queueing_discipline_is_none(printed: str) -> None:
    assert find_leftovers.shaping_qdiscs(printed) == ({}, {})


@pytest.mark.parametrize(("host", "ahead_s"), [("near", 0), ("far", 300), ("old run", 0)])
def test_a_run_has_so_long_to_go_by_whatever_clock(host: str, ahead_s: int, tmp_path: Path) -> None:
    shifts = {"near": 0, "far": -300 * 10**9}
    run = {"t0_unix_ns": 1000 * 10**9, "warmup_s": 1, "measure_s": 20, "drain_s": 3}
    (tmp_path / "run.json").write_text(json.dumps({**run, "clock_shifts_ns": shifts}))
    now_s = 1004.0 + ahead_s
    assert find_leftovers.seconds_left(tmp_path / "run.json", host, now_s) == 20
    assert find_leftovers.seconds_left(tmp_path / "missing.json", host, now_s) == 0
