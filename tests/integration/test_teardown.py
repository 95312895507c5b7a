"""Teardown of hosts with systemd; what systemctl would say is said by a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.raw_run import RawRun

pytestmark = pytest.mark.integration

RUN_ID = "20260101T000000Z-scenario-1"
SYSTEMCTL = """#!/bin/sh
case "$1" in
  list-units) echo "fpaas-relay.service loaded active running" ;;
  *) echo "$@" >>"$0.log" ;;
esac
"""
# Only what teardown does first: this machine stays as it is.
PLAYBOOK = """
- hosts: all
  gather_facts: false
  strategy: ansible.builtin.linear
  tasks:
    - ansible.builtin.import_role:
        name: fpaas.bench_lab._service
        rolespec_validate: false
        tasks_from: remove
"""


def tear_down(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Play it on a host that only watches, and on one with a run that has a minute left."""
    (directory / "systemctl").write_text(SYSTEMCTL)
    (directory / "systemctl").chmod(0o755)
    (directory / "units").mkdir(exist_ok=True)
    (directory / "units" / "fpaas-relay.service").touch()
    run = directory / "busy" / "runs" / RUN_ID
    run.mkdir(parents=True, exist_ok=True)
    spec = replace(RawRun().spec, t0_unix_ns=time.time_ns() + 60 * 10**9)
    (run / "run.json").write_text(spec.to_json())
    (directory / "busy" / "current").unlink(missing_ok=True)
    (directory / "busy" / "current").symlink_to(f"runs/{RUN_ID}")
    (directory / "teardown.yml").write_text(PLAYBOOK)
    shared = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": str(SCRIPTS / "python"),
        "lab_service_manager": "systemd",
    }
    hosts = {name: shared | {"lab_dir": str(directory / name)} for name in ("watching", "busy")}
    (directory / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
    units = json.dumps({"_service_units_dir": str(directory / "units")})
    return subprocess.run(
        [
            *(str(SCRIPTS / "ansible-playbook"), str(directory / "teardown.yml")),
            *("-i", str(directory / "hosts.yml"), "-e", units, *arguments),
        ],
        cwd=CHECKOUT / "playbooks",
        env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_in_progress_is_not_ended_unless_it_is_asked_for(tmp_path: Path) -> None:
    refused = tear_down(tmp_path)
    flat = " ".join(refused.stdout.split())
    assert refused.returncode != 0
    assert f"busy: the run {RUN_ID} is in progress here" in flat
    assert "-e lab_ends_run=true" in flat
    # Nor is anything on the other host.
    assert "Stop the units" not in flat
    assert (tmp_path / "units" / "fpaas-relay.service").exists()
    assert not (tmp_path / "systemctl.log").exists()

    asked = tear_down(tmp_path, "-e", "lab_ends_run=true")
    assert "is in progress here" not in asked.stdout
    assert "Stop the units" in asked.stdout


REST = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: fpaas.bench_lab.common
        tasks_from: teardown
"""


@pytest.mark.parametrize(("limit", "is_removed"), [("one", False), ("all", True)])
def test_secrets_stay_as_long_as_a_host_does(
    tmp_path: Path,
    limit: str,
    is_removed: bool,  # noqa: FBT001
) -> None:
    (tmp_path / "play.yml").write_text(REST)
    (tmp_path / "control").mkdir()
    host = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": str(SCRIPTS / "python"),
        "lab_service_manager": "systemd",
        "lab_control_dir": str(tmp_path / "control"),
        "lab_dir": str(tmp_path / "lab"),
        "lab_install_dir": str(tmp_path / "programs"),
        "lab_user": "fpaas-nobody",
    }
    groups = {"nats": {"hosts": {"one": host}}, "consumers": {"hosts": {"other": host}}}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}))
    # This machine stays as it is.
    printed = play_rest(tmp_path, "--check", "--diff", "--limit", limit)
    said = f"path: {tmp_path}/control" in printed
    assert said == is_removed, printed


def test_on_this_machine_other_labs_keep_their_secrets_and_keys(tmp_path: Path) -> None:
    lab = tmp_path / "a lab [1]"
    (lab / "runs" / RUN_ID).mkdir(parents=True)
    for path in (lab / "credentials", lab / "control/plan.json", lab / "guard.json"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    others = [lab / "control/my-lab-12345678/ca.key", lab / "ssh/cloud-x/id_ed25519"]
    for path in others:
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "play.yml").write_text(REST)
    hosts = {"here": {"ansible_connection": "local", "lab_dir": str(lab)}}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts}}))

    assert "changed=1" in play_rest(tmp_path)
    assert sorted(path for path in lab.rglob("*") if path.is_file()) == sorted(others)
    assert "changed=0" in play_rest(tmp_path)
    for path in others:
        path.unlink()
        path.parent.rmdir()
    (lab / "ssh").rmdir()
    play_rest(tmp_path)
    assert not lab.exists()


def play_rest(directory: Path, *options: str) -> str:
    """Play play.yml with hosts.yml, both in a directory; return what it printed."""
    playbook, inventory = directory / "play.yml", directory / "hosts.yml"
    done = subprocess.run(
        [SCRIPTS / "ansible-playbook", playbook, "-i", inventory, *options],
        cwd=CHECKOUT / "playbooks",
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
