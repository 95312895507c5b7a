"""What starts and ends a lab of virtual machines, as far as no machine is needed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.patience import PATIENCE_S

FILES = CHECKOUT / "roles/machine_lab/files"
#: One lab's name begins like the other's.
OURS, THEIRS = "FPAAS_MACHINE_LAB=/labs/a", "FPAAS_MACHINE_LAB=/labs/a-2"


def play(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", FILES / script, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def processes() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    started = {}
    for mark in (OURS, THEIRS):
        name, _, value = mark.partition("=")
        started[mark] = subprocess.Popen(["sleep", "600"], env=os.environ | {name: value})
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def test_ends_its_own_lab_only(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    done = play("lab-end", OURS)

    assert int(done.stdout.split()[0]) == processes[OURS].pid
    assert processes[OURS].wait(PATIENCE_S) != 0
    assert processes[THEIRS].poll() is None
    # And nothing to end is no error, and no change.
    again = play("lab-end", OURS)
    assert (again.returncode, again.stdout) == (0, "")


def test_number_of_another_process_is_not_taken_for_the_lab(
    tmp_path: Path, processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    pid_file = tmp_path / "pid"
    assert play("lab-runs", pid_file, OURS, "0").returncode != 0
    pid_file.write_text(f"{processes[THEIRS].pid}\n")
    assert play("lab-runs", pid_file, OURS, "0").returncode != 0
    pid_file.write_text(f"{processes[OURS].pid}\n")
    assert play("lab-runs", pid_file, OURS, "0").returncode == 0
    assert play("lab-runs", pid_file, OURS, "1").returncode != 0
