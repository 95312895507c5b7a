"""What a container or a unit may use, by the kernel's files."""

from __future__ import annotations

import math
import os
import subprocess
import time
from pathlib import Path

import pytest

from fpaas.consumers.consumers import worker_count
from fpaas.measures.cgroup import Cgroup
from fpaas.probe.host_usage import HostUsage, counted_once


def group(directory: Path, **files: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("_", ".", 1)).write_text(content + "\n")
    return directory


def found(directory: Path, own: str, root: str = "/") -> Cgroup:
    mounts, self_cgroup = directory / "mountinfo", directory / "self"
    mounts.write_text(
        f"24 1 0:22 / /proc rw - proc proc rw\n30 24 0:26 {root} {directory}/cg rw - cgroup2 c rw\n"
    )
    self_cgroup.write_text(f"4:memory:/other\n0::{own}\n")
    return Cgroup.own(mounts, self_cgroup)


def test_the_tightest_limit_on_the_way_up_holds(tmp_path: Path) -> None:
    group(tmp_path / "cg")
    outer = group(tmp_path / "cg/lab.slice", cpu_max="50000 100000", memory_max="1000000000")
    inner = group(tmp_path / "cg/lab.slice/x.service", cpu_max="max 100000", memory_max="max")
    limited = found(tmp_path, "/lab.slice/x.service")
    assert (limited.cpu, limited.cpu_cores, limited.cores()) == (outer, 0.5, 0.5)
    assert (limited.memory, limited.memory_bytes) == (outer, 1_000_000_000)
    (inner / "cpu.max").write_text("20000 100000\n")
    assert found(tmp_path, "/lab.slice/x.service").cpu_cores == 0.2


def test_a_container_sees_its_own_limits_at_the_mounts_root(tmp_path: Path) -> None:
    group(tmp_path / "cg", cpu_max="150000 100000")
    assert found(tmp_path, "/").cpu_cores == 1.5
    # Its path is outside of the namespace, or as the host sees it.
    assert found(tmp_path, "/../../other").cpu_cores == 1.5
    assert found(tmp_path, "/docker/abc", root="/docker/abc").cpu_cores == 1.5


@pytest.mark.parametrize("own", ["/", "/nowhere"])
def test_without_limits_the_machine_is_the_limit(own: str, tmp_path: Path) -> None:
    group(tmp_path / "cg", cpu_max="max 100000", memory_max="max")
    free = found(tmp_path, own)
    assert free == Cgroup()
    assert free.cores() == len(os.sched_getaffinity(0))
    assert free.memory_left_bytes() == math.inf
    assert free.throttled_us() is free.oom_kills() is free.cpu_used_us() is None
    assert Cgroup.own(tmp_path / "none", tmp_path / "none") == Cgroup()


def test_a_sample_is_of_what_may_be_used_not_of_the_machine(tmp_path: Path) -> None:
    limited = group(
        tmp_path / "cg",
        cpu_max="50000 100000",
        cpu_stat="usage_usec 1000000\nthrottled_usec 7",
        cpu_pressure="some avg10=0.00 total=17",
        memory_max="1000000000",
        memory_current="700000000",
        memory_stat="inactive_file 200000000\nactive_file 5",
        memory_events="oom 4\noom_kill 3",
    )
    cgroup = found(tmp_path, "/")
    began = time.monotonic()
    usage = HostUsage(cgroup)
    time.sleep(0.2)
    (limited / "cpu.stat").write_text("usage_usec 1050000\nthrottled_usec 90000\n")
    sample = usage.sample()
    took_s = time.monotonic() - began
    # 50 ms of half a core, in what may have been longer on a busy machine.
    assert sample.cpu_pct is not None
    assert 100 * 0.05 / took_s / 0.5 <= sample.cpu_pct <= 100 * 0.05 / 0.2 / 0.5
    assert sample.throttled_us == 90_000
    assert (sample.mem_mb, sample.mem_total_mb, sample.oom_kills) == (500, 1000, 3)
    assert sample.cpu_pressure_us == 17
    assert cgroup.memory_left_bytes() == 500_000_000


@pytest.mark.parametrize(("cores", "workers"), [(0.5, 1), (2, 1), (4, 2), (4.5, 2), (16, 8)])
def test_workers_are_as_many_as_the_quota_has_room_for(cores: float, workers: int) -> None:
    assert worker_count("auto", 1000, cores) == workers


def interface(directory: Path, name: str, *, device: bool = False, kind: str = "1") -> Path:
    path = directory / name
    path.mkdir(parents=True)
    (path / "type").write_text(f"{kind}\n")
    if device:
        (path / "device").mkdir()
    return path


def test_bytes_are_counted_once_by_bridges_bonds_vlans_and_tunnels(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", device=True)
    interface(tmp_path, "eth1", device=True)
    for name, lower in (
        ("bond0", ("eth0", "eth1")),
        ("bond0.10", ("bond0",)),
        ("br0", ("bond0.10",)),
        ("docker0", ("veth1",)),
    ):
        path = interface(tmp_path, name)
        for one in lower:
            (path / f"lower_{one}").mkdir()
    (interface(tmp_path, "veth1") / "master").mkdir()
    interface(tmp_path, "wg0", kind="65534")
    names = [path.name for path in tmp_path.iterdir()]
    assert counted_once(names, tmp_path) == {"eth0", "eth1"}


def test_the_only_interface_of_a_container_is_its_network(tmp_path: Path) -> None:
    interface(tmp_path, "eth0")
    assert counted_once(["eth0"], tmp_path) == {"eth0"}
    interface(tmp_path, "tun0", kind="65534")
    assert counted_once(["tun0"], tmp_path) == {"tun0"}


def test_this_machine_is_read_without_error() -> None:
    assert Cgroup.own().cores() > 0
    HostUsage().sample()
    nproc = subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout
    assert Cgroup.own().cores() <= int(nproc)
