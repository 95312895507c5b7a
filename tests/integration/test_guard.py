"""The guard with real processes: whose they are, in which order they end, who holds a lab."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fpaas.control import guard, lab_lock, lab_processes
from fpaas.errors import BadInput
from fpaas.probe import seal
from tests.support.patience import PATIENCE_S
from tests.support.raw_run import RawRun

pytestmark = pytest.mark.integration

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
)
#: Writes when it is asked to end, as agents do.
DUTIFUL = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path(sys.argv[1]).write_text(str(time.monotonic_ns()))
    sys.exit()
signal.signal(signal.SIGTERM, end)
print(1, flush=True)
time.sleep(600)
"""


class Processes:
    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(self, lab: Path, name: str, code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={lab_processes.LAB_VARIABLE: str(lab), lab_processes.PROCESS_NAME_VARIABLE: name},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def test_sweep_ends_the_labs_own_agents_before_nats(tmp_path: Path, processes: Processes) -> None:
    lab, other = tmp_path / "lab", tmp_path / "other"
    nats = processes.start(lab, "nats", DUTIFUL, str(tmp_path / "nats"))
    relay = processes.start(lab, "relay", DUTIFUL, str(tmp_path / "relay"))
    bystander = processes.start(other, "relay", DUTIFUL, str(tmp_path / "bystander"))
    ended = lab_processes.sweep(lab)
    assert [str(p) for p in ended] == [f"relay (pid {relay.pid})", f"nats (pid {nats.pid})"]
    assert int((tmp_path / "relay").read_text()) < int((tmp_path / "nats").read_text())
    assert bystander.poll() is None
    assert lab_processes.sweep(lab) == []


def test_what_does_not_end_is_killed(tmp_path: Path, processes: Processes) -> None:
    stubborn = processes.start(tmp_path, "relay", STUBBORN + "; time.sleep(600)")
    started = time.monotonic()
    lab_processes.end_agents(tmp_path, patience_s=0.3)
    assert stubborn.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    assert time.monotonic() - started < 5 * PATIENCE_S


def test_lab_named_by_another_path_is_the_same(tmp_path: Path, processes: Processes) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (tmp_path / "link").symlink_to(lab)
    processes.start(tmp_path / "link", "relay", DUTIFUL, str(tmp_path / "ended"))
    assert len(lab_processes.lab_processes(lab)) == 1


def test_lab_is_held_by_one(tmp_path: Path) -> None:
    lab = lab_lock.Lab(tmp_path)
    this = psutil.Process()
    with lab.acquire() as lock:
        lab_lock.write_holder(lock, lab_lock.Holder.now(os.getpid(), this))
        with pytest.raises(BadInput, match=f"in progress here .*pid {this.pid}"):
            lab_lock.Lab(tmp_path).acquire()
    with lab_lock.Lab(tmp_path).acquire():
        assert lab.holder() is None


def test_who_waits_for_a_guard_is_told_and_nobody_waits_for_one_that_is_stopped(
    tmp_path: Path,
) -> None:
    gone = psutil.Popen(["sleep", "600"])
    playbook = psutil.Process(gone.pid)
    told: list[Path] = []
    with psutil.Popen(["sleep", "600"]) as guard, lab_lock.Lab(tmp_path).acquire() as lock:
        try:
            lab_lock.write_holder(lock, lab_lock.Holder.now(guard.pid, playbook))
            gone.kill()
            gone.wait()

            def stop_guard(lab: Path) -> None:
                told.append(lab)
                guard.suspend()

            with pytest.raises(BadInput, match=f"is stopped; .*kill -CONT {guard.pid}"):
                lab_lock.Lab(tmp_path).acquire(stop_guard)
        finally:
            guard.kill()
    assert told == [tmp_path]


@pytest.mark.parametrize("command", ["stop", "sweep"])
def test_another_playbooks_run_is_not_ended(
    tmp_path: Path, processes: Processes, command: str
) -> None:
    lab = tmp_path / "lab"
    agent = processes.start(lab, "relay", DUTIFUL, str(tmp_path / "ended"))
    # Holds the lab as a guard does, for a playbook that did not start the command.
    other = subprocess.Popen(["sleep", "600"])
    guard_code = (
        "import os, pathlib, sys, time, psutil; from fpaas.control import lab_lock\n"
        "lock = lab_lock.Lab(pathlib.Path(sys.argv[1])).acquire()\n"
        "playbook = psutil.Process(int(sys.argv[2]))\n"
        "lab_lock.write_holder(lock, lab_lock.Holder.now(os.getpid(), playbook))\n"
        "print(1, flush=True); time.sleep(600)"
    )
    processes.start(tmp_path / "none", "guard", guard_code, str(lab), str(other.pid))

    def play(*options: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "fpaas.cli", "guard", command, "--lab", str(lab), *options]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    try:
        refused = play()
        assert refused.returncode == 2
        assert f"a run is in progress here (ansible-playbook, pid {other.pid}" in refused.stderr
        assert agent.poll() is None
        if command == "stop":
            assert play("--force").returncode == 0
            assert agent.wait(timeout=PATIENCE_S) == 0
    finally:
        other.kill()
        other.wait()
    if command == "sweep":
        # It was killed: what it left is anybody's to end.
        assert play().returncode == 0
        assert agent.wait(timeout=PATIENCE_S) == 0


def test_reused_pid_is_not_the_playbook() -> None:
    now = lab_lock.Holder.now(1, psutil.Process())
    assert now.playbook_runs
    assert not lab_lock.Holder(
        1, now.playbook_pid, now.playbook_started - 100, now.since
    ).playbook_runs


def test_run_is_on_once_it_is_armed(tmp_path: Path) -> None:
    assert guard.current_run(tmp_path) is None
    run = tmp_path / "runs" / "20260101T000000Z-scenario-1"
    run.mkdir(parents=True)
    (tmp_path / "current").symlink_to(run.relative_to(tmp_path))
    assert guard.current_run(tmp_path) is None
    spec = RawRun().spec
    (run / "run.json").write_text(replace(spec, t0_unix_ns=0).to_json())
    assert guard.current_run(tmp_path) is None
    (run / "run.json").write_text(spec.to_json())
    assert guard.current_run(tmp_path) == run.name


def test_runs_are_removed_once_all_of_them_is_reported(tmp_path: Path) -> None:
    lab, results = tmp_path / "lab", tmp_path / "results"
    for name in ("reported", "unreported", "cut short", "never begun"):
        run, bundle = lab / "runs" / name, results / name
        run.mkdir(parents=True)
        (run / "probe.log").write_text("measured")
        if name != "never begun":
            seal.seal(run, "host")
        shutil.copytree(run, bundle / "hosts" / "host")
        if name != "unreported":
            (bundle / "summary.json").touch()
    (results / "cut short" / "hosts" / "host" / "probe.log").write_text("mea")
    guard.prune(lab, results)
    assert "reported" not in {run.name for run in (lab / "runs").iterdir()}
    assert len(list((lab / "runs").iterdir())) == 3


def test_guard_is_for_playbooks() -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "fpaas.cli", "guard", "start"),
            *("--lab", "/none", "--results", "/none", "true"),
        ],
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if result.returncode == 0:  # these tests may themselves be run by a playbook
        pytest.skip("a playbook runs these tests")
    assert result.returncode == 2
    assert "no ansible-playbook started it" in result.stderr


def test_whoever_interrupted_a_run_is_told_what_becomes_of_it(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    try:
        teller = guard.Teller(terminal)
        teller.collecting(tmp_path, tmp_path / guard.LOG)
        said = os.read(ours, 4096).decode()
        assert str(tmp_path) in said
        assert guard.LOG in said
        teller.collected(tmp_path)
        assert guard.COLLECT_LOG in os.read(ours, 4096).decode()
        (tmp_path / "report.html").touch()
        teller.collected(tmp_path)
        assert "report.html" in os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    # It was closed meanwhile, or there was none.
    teller.collected(tmp_path)
    guard.Teller(None).collected(tmp_path)
