"""A lab that playbooks make, of a test's own; plays them as a user does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from fpaas.control import guard, lab_lock, lab_processes
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.ports import free_port

PORTS = (
    "relay_port",
    "nats_port",
    "nats_monitoring_port",
    "shuffler_metrics_port",
    "consumers_metrics_port",
    "relay_metrics_port",
    "probe_metrics_port",
    "prometheus_port",
)
SHORT = {
    "bench_consumers": 10,
    "bench_poll_interval_s": 2,
    "bench_firehose_rate_per_s": 100,
    "bench_warmup_s": 1,
    "bench_measure_s": 6,
    "bench_drain_s": 2,
}
PLAYBOOK_S = 600
#: From a playbook's death to the end of what it had started.
CLEAN_UP_S = guard.COLLECT_S + 30


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and lab_processes.runs(psutil.Process(pid))


@dataclass
class Lab:
    """A lab of this test's own: its directories, its ports."""

    directory: Path
    variables: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variables = {
            "lab_dir": str(self.lab_dir),
            "results_dir": str(self.results),
            **{port: free_port() for port in PORTS},
            **SHORT,
        }

    @property
    def lab_dir(self) -> Path:
        return self.directory / "a 100% lab für 'alle'"

    @property
    def results(self) -> Path:
        return self.directory / "results"

    def start(
        self, playbook: str = "scenario-1.yml", *arguments: str, **variables: object
    ) -> subprocess.Popen[str]:
        """Start a playbook as a user would in a terminal: in a process group of its own."""
        extra = json.dumps({**self.variables, **variables})
        return subprocess.Popen(
            [SCRIPTS / "ansible-playbook", playbook, "-e", extra, *arguments],
            cwd=CHECKOUT / "playbooks",
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(
        self, playbook: str = "scenario-1.yml", *arguments: str, **variables: object
    ) -> Played:
        process = self.start(playbook, *arguments, **variables)
        output, _ = process.communicate(timeout=PLAYBOOK_S)
        sys.stdout.write(output)
        return Played(process.returncode, output)

    def running(self) -> list[str]:
        """What of this lab is running, the guard included."""
        found = [str(process) for process in lab_processes.lab_processes(self.lab_dir)]
        holder = lab_lock.Lab(self.lab_dir).holder()
        if holder is not None and runs(holder.guard_pid):
            found.append(f"guard (pid {holder.guard_pid})")
        return found

    def end(self) -> None:
        """Leave nothing of it running, whatever a test left."""
        lab_processes.sweep(self.lab_dir)
        lab_lock.Lab(self.lab_dir).release()

    def listening(self) -> list[str]:
        found = []
        for name in PORTS:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.variables[name])) == 0:
                    found.append(name)
        return found

    def wait_until_nothing_runs(self) -> float:
        """Return how long it took."""
        started = time.monotonic()
        while self.running():
            assert time.monotonic() - started < CLEAN_UP_S, self.running()
            time.sleep(0.2)
        return time.monotonic() - started

    def bundles(self) -> list[Path]:
        return sorted(path for path in self.results.glob("*Z-*") if path.is_dir())

    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.results / "latest/summary.json").read_text())
        return content


@dataclass(frozen=True)
class Played:
    exit_code: int
    output: str

    @property
    def flat(self) -> str:
        """Ansible wraps messages; words do not."""
        return " ".join(self.output.split()).replace("''", "'")


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        if text in line:
            return
    pytest.fail(f"the playbook ended without {text!r}")
