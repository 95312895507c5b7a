"""Faults of networks and disks, on hosts that are network namespaces and a disk of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from fpaas.faults import disk
from fpaas.faults.disk import FillDisk
from fpaas.faults.injection import InjectionError
from fpaas.records import events
from fpaas.records.waiting_lines import WaitingLines
from fpaas.spec import Fault
from fpaas.spec.faults import LIST
from tests.support.arming import arm_once_up
from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.run_specs import build

pytestmark = pytest.mark.integration

HERE, THERE = "10.99.7.1", "10.99.7.2"
PORT = 5000


def why_not() -> str:
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "nft", "tc", "unshare") if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", "--net", "nft", "add", "table", "inet", "t"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "no nftables in this kernel"


needs_root = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Hosts:
    """Two hosts, `a` with the faults agent and another that listens, and a link between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._names = [f"fpaas-{os.getpid()}-{side}" for side in ("a", "b")]
        self._processes: list[subprocess.Popen[bytes]] = []
        here, there = self._names
        for name in self._names:
            self._ip("netns", "add", name)
        link = f"v{os.getpid() % 100000}"
        peer = ("peer", "name", "eth0", "netns", there)
        self._ip("link", "add", link, "netns", here, "type", "veth", *peer)
        self._ip("-n", here, "link", "set", link, "name", "eth0")
        for name, address in ((here, HERE), (there, THERE)):
            self._ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                self._ip("-n", name, "link", "set", device, "up")
        sink = (
            "import socket\n"
            f"s = socket.create_server(({THERE!r}, {PORT}))\n"
            "while True:\n"
            "  c, _ = s.accept()\n"
            "  while c.recv(65536): pass\n"
            "  c.close()\n"
        )
        self._processes.append(subprocess.Popen([*self._in(there), sys.executable, "-c", sink]))
        deadline = time.monotonic() + PATIENCE_S
        while not self.reaches():
            assert time.monotonic() < deadline

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    def _in(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", name]

    def send(self, size: int) -> float | None:
        """Send bytes to the other host; returns how long it took, None if it was not reached."""
        code = (
            "import socket, sys, time\n"
            "t = time.monotonic()\n"
            f"s = socket.create_connection(({THERE!r}, {PORT}), timeout=1)\n"
            f"s.settimeout(60); s.sendall(bytes({size})); s.shutdown(1); s.recv(1)\n"
            "print(time.monotonic() - t)\n"
        )
        done = subprocess.run(
            [*self._in(self._names[0]), sys.executable, "-c", code],
            capture_output=True,
            check=False,
        )
        return float(done.stdout) if done.returncode == 0 else None

    def reaches(self) -> bool:
        return self.send(1) is not None

    def sends_at_once(self, size: int) -> bool:
        took_s = self.send(size)
        return took_s is not None and took_s < 1

    def run(self, *faults: dict[str, Any]) -> subprocess.Popen[bytes]:
        entries = LIST.read("faults", list(faults))
        hosts = {"relay": ["a"], "nats": ["b"], "shuffler": ["a"], "consumers": ["a", "b", "c"]}
        addresses = {"a": HERE, "b": THERE, "c": THERE}
        path = self.directory / "run.json"
        run = replace(
            build(),
            t0_unix_ns=0,
            hosts=hosts,
            addresses=addresses,
            faults=[Fault(**entry) for entry in entries],
        )
        path.write_text(run.to_json())
        words = ["faults", "--run", str(path), "--out", str(self.directory), "--host", "a"]
        command = [*self._in(self._names[0]), str(SCRIPTS / "fpaas"), *words]
        self._processes.append(subprocess.Popen(command))
        arm_once_up(path, "faults", lead_s=1)
        return self._processes[-1]

    @property
    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "faults.status.json").read_text())
        return content

    def shaped(self) -> bool:
        listed = subprocess.run(
            [*self._in(self._names[0]), "tc", "qdisc", "show"], capture_output=True, check=True
        )
        return b"f9aa:" in listed.stdout

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for name in self._names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    yield made
    made.end()


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what a fault, or its undo, brings about: on a busy machine, it may come late."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


PARTITION = {"do": "partition", "on": "shuffler", "peer": "nats", "at_s": 1, "for_s": 8}


@needs_root
def test_a_partition_is_one_until_its_end(hosts: Hosts) -> None:
    agent = hosts.run(PARTITION)
    wait_until(lambda: not hosts.reaches())
    assert agent.wait(timeout=PATIENCE_S) == 0
    wait_until(hosts.reaches)
    found, _ = events.read(hosts.directory / "faults.events.jsonl")
    assert found[0].parameters["addresses"] == THERE


@needs_root
def test_a_partition_ends_if_the_agent_is_killed(hosts: Hosts) -> None:
    hosts.run({**PARTITION, "for_s": 300})
    wait_until(lambda: not hosts.reaches())
    os.kill(hosts.status["pid"], signal.SIGKILL)
    wait_until(hosts.reaches)


@needs_root
def test_a_link_is_capped_until_its_end(hosts: Hosts) -> None:
    size = 1_000_000
    wait_until(lambda: hosts.sends_at_once(size))
    fault = {"do": "limit", "on": "a", "mbit_per_s": 4, "at_s": 1, "for_s": 300}
    agent = hosts.run(fault)
    wait_until(hosts.shaped)
    capped = hosts.send(size)
    assert capped is not None
    assert capped > 0.8 * 8 * size / 4e6
    os.kill(hosts.status["pid"], signal.SIGKILL)
    agent.wait()
    wait_until(lambda: not hosts.shaped())
    wait_until(lambda: hosts.sends_at_once(size))


@needs_root
def test_what_the_kernel_lacks_is_said(hosts: Hosts) -> None:
    trial = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
        pytest.skip("this kernel has netem")
    agent = hosts.run({"do": "delay", "on": "a", "delay_ms": 5, "at_s": 1, "for_s": 1})
    assert agent.wait(timeout=PATIENCE_S) == 3
    assert "bench_faults[0] (delay on a at 1 s)" in hosts.status["message"]
    assert not hosts.shaped()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def free_mb(place: Path) -> float:
    stat = os.statvfs(place)
    return stat.f_bavail * stat.f_frsize / 1e6


def test_a_disk_is_full_and_then_it_is_not(small_disk: Path) -> None:
    filled = FillDisk(small_disk, 2, for_s=60)
    assert free_mb(small_disk) > 19
    filled.begin()
    assert 1.9 < free_mb(small_disk) < 2.1
    assert list(small_disk.iterdir()) == []
    for undo in filled.undo:
        undo.perform()
    deadline = time.monotonic() + PATIENCE_S
    while free_mb(small_disk) < 19:
        assert time.monotonic() < deadline


def test_a_disk_that_was_not_full_in_its_time_is_said_to_be_that(small_disk: Path) -> None:
    filled = FillDisk(small_disk, 2, for_s=60)
    # As the dead man's timer does if filling takes too long.
    for undo in filled.undo:
        undo.perform()
    with pytest.raises(InjectionError, match=r"was not full when the fault's time was over"):
        filled.begin()
    assert free_mb(small_disk) > 19


def test_a_full_disk_is_free_again_if_everybody_is_gone(small_disk: Path) -> None:
    filled = FillDisk(small_disk, 0, for_s=0)
    filled.begin()
    assert free_mb(small_disk) < 0.1
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "more").write_bytes(bytes(1_000_000))
    [end] = filled.undo
    pid = end.processes[0].pid  # type: ignore[union-attr]
    deadline = time.monotonic() + disk.GRACE_S + PATIENCE_S
    while free_mb(small_disk) < 19:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_lines_wait_for_a_disk_that_is_full(small_disk: Path) -> None:
    lines = WaitingLines(small_disk / "lines", is_new=True)
    filled = FillDisk(small_disk, 0, for_s=60)
    filled.begin()
    texts = [f"{number} {'x' * 100}" for number in range(5000)]
    for text in texts:
        lines.write(text)
    taken = (small_disk / "lines").read_text()
    assert len(taken) < 10_000
    assert not taken or taken.endswith("\n")
    for undo in filled.undo:
        undo.perform()
    lines.close()
    assert not lines.loss
    assert [json.loads(line) for line in (small_disk / "lines").read_text().splitlines()] == texts


def test_a_faults_agent_tells_of_the_disk_that_it_fills(small_disk: Path, tmp_path: Path) -> None:
    [entry] = LIST.read("faults", [{"do": "fill_disk", "on": "nats", "at_s": 1, "for_s": 5}])
    hosts = {"relay": ["a"], "nats": ["b"], "shuffler": ["a"], "consumers": ["a"]}
    path = tmp_path / "run.json"
    path.write_text(replace(build(), t0_unix_ns=0, hosts=hosts, faults=[Fault(**entry)]).to_json())
    words = ["faults", "--run", str(path), "--out", str(small_disk), "--host", "b"]
    with subprocess.Popen([SCRIPTS / "fpaas", *words]) as agent:
        (tmp_path / "faults.status.json").symlink_to(small_disk / "faults.status.json")
        arm_once_up(path, "faults", lead_s=1)
        assert agent.wait(timeout=PATIENCE_S) == 0
    found, wrong = events.read(small_disk / "faults.events.jsonl")
    assert wrong is None
    assert [(one.kind, one.parameters["undone_by"]) for one in found] == [("fault", "faults")]
    assert json.loads((small_disk / "faults.status.json").read_text())["state"] == "done"
