"""What becomes a host's Prometheus, and what is refused before it is kept as a service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.playbook_lab import Lab, Played

pytestmark = pytest.mark.integration


def play(lab: Lab, role: str, tasks_from: str, **variables: object) -> Played:
    task = {
        "ansible.builtin.include_role": {
            "name": f"fpaas.bench_lab.{role}",
            "tasks_from": tasks_from,
        }
    }
    path = lab.directory / "play.yml"
    path.write_text(json.dumps([{"hosts": "monitoring", "gather_facts": False, "tasks": [task]}]))
    return lab.play(str(path), **variables)


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'promtool, version 2.42.0'; echo 'build date: then'",
            "does not run here as Prometheus: promtool, version 2.42.0. Name another one",
        ),
        ("echo 'libc.so.6: GLIBC_2.99 not found' >&2; exit 1", "Prometheus: libc.so.6: GLIBC_2.99"),
        ("exit 1", "does not run here as Prometheus: it says nothing"),
        ("echo 'prometheus, version 2.42.0+ds (branch: sid)'", ""),
    ],
)
def test_what_is_no_prometheus_here_is_refused(tmp_path: Path, script: str, said: str) -> None:
    binary = program(tmp_path / "prometheus", script)
    played = play(Lab(tmp_path), "prometheus", "try", prometheus_binary=str(binary))
    assert played.exit_code == (2 if said else 0)
    assert said in played.flat


@pytest.mark.parametrize(
    ("address", "is_open"),
    [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("10.9.9.9", False), ("::12", False)],
)
def test_it_asks_for_a_password_wherever_others_can_reach_it(
    tmp_path: Path, address: str, *, is_open: bool
) -> None:
    lab = Lab(tmp_path)
    task = {"ansible.builtin.assert": {"that": f"prometheus_tls == {not is_open}"}}
    role = {"role": "fpaas.bench_lab._defaults"}
    path = lab.directory / "play.yml"
    play = {"hosts": "monitoring", "gather_facts": False, "roles": [role], "tasks": [task]}
    path.write_text(json.dumps([play]))
    assert lab.play(str(path), lab_address=address).exit_code == 0


def test_a_package_that_cannot_be_installed_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "dpkg-query", "exit 1")
    program(tmp_path / "bin" / "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    played = play(
        Lab(tmp_path),
        "_service",
        "package",
        _service_package="prometheus",
        _service_package_variable="prometheus_source",
    )
    assert played.exit_code == 2
    assert (
        "prometheus_source: package: localhost cannot install prometheus: E: Unable" in played.flat
    )
    assert "name a program or an archive on the control node" in played.flat
