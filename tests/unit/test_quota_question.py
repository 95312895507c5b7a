"""A limit of NATS's processors that a host takes, and does not enforce, is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT


def asked(tmp_path: Path, cpu_max: str | None, cores: str) -> subprocess.CompletedProcess[str]:
    group = tmp_path / "cgroup" / "nats.service"
    group.mkdir(parents=True)
    if cpu_max is not None:
        (group / "cpu.max").write_text(cpu_max + "\n", encoding="ascii")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho /nats.service\n", encoding="ascii")
    systemctl.chmod(0o755)
    variables = CHECKOUT / "roles" / "run" / "vars" / "main.yml"
    question: str = yaml.safe_load(variables.read_text(encoding="utf-8"))["run_quota_question"]
    here = question.replace("/sys/fs/cgroup", str(tmp_path / "cgroup"))
    return subprocess.run(
        ["sh", "-c", here, "sh", "nats.service", cores, "nats-1"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    # Units have whole per cents.
    [("50000 100000", "0.5"), ("200000 100000", "2"), ("12000 100000", "0.125")],
)
def test_a_limit_that_is_in_force(tmp_path: Path, cpu_max: str, cores: str) -> None:
    assert asked(tmp_path, cpu_max, cores).returncode == 0


@pytest.mark.parametrize("cpu_max", [None, "", "max 100000", "100000 100000"])
def test_a_limit_that_is_not_in_force(tmp_path: Path, cpu_max: str | None) -> None:
    said = asked(tmp_path, cpu_max, "0.5")
    assert said.returncode == 1
    assert said.stderr.startswith("nats_cpu_max_cores: 0.5 is not in force on nats-1 (")
