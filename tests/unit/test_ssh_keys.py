"""Hosts whose SSH keys are not known are named before any is asked, as ssh's own settings say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.plugin_modules import load

check_ssh_keys = load("action/check_ssh_keys.py")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJrkFGxqvqN0cvPOAkgHVbHdPaB3ZKtMyrKKxwJ1Ls0E"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known_hosts"
    path.write_text(f"10.0.0.1 {KEY}\n[10.0.0.2]:2201 {KEY}\nnats-alias {KEY}\n")
    # Names are not to be seen in it.
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    return path


def unknown(known: Path, *arguments: str) -> list[str]:
    files = ["-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/nowhere"]
    return list(check_ssh_keys.unknown_keys(["ssh", "-F", "none", *files, "-l", "lab", *arguments]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["10.0.0.1"],
        ["-p", "2201", "10.0.0.2"],
        ["-o", "HostKeyAlias=nats-alias", "10.0.0.9"],
        ["-o", "StrictHostKeyChecking=no", "10.0.0.9"],
        ["-o", "StrictHostKeyChecking=accept-new", "10.0.0.9"],
    ],
)
def test_known_or_not_asked_about(known: Path, arguments: list[str]) -> None:
    assert unknown(known, *arguments) == []


@pytest.mark.parametrize(
    ("arguments", "login"),
    [
        (["10.0.0.9"], "ssh lab@10.0.0.9"),
        (["-p", "2202", "10.0.0.2"], "ssh -p 2202 lab@10.0.0.2"),
        (["-o", "StrictHostKeyChecking=yes", "fd00::9"], "ssh lab@fd00::9"),
    ],
)
def test_unknown(known: Path, arguments: list[str], login: str) -> None:
    assert unknown(known, *arguments) == [login]


def test_a_jump_host_is_looked_at_too(known: Path) -> None:
    found = unknown(known, "-J", "me@192.0.2.1:2222", "10.0.0.9")

    assert found[0] == "ssh -p 2222 me@192.0.2.1"
    assert found[1].endswith(" lab@10.0.0.9")
    assert len(found) == 2


def test_one_message_names_all() -> None:
    said = check_ssh_keys.message({"ssh lab@a": ["relay", "nats"], "ssh lab@b": ["consumers"]})

    assert "ssh lab@a  (relay, nats)" in said
    assert "ssh lab@b  (consumers)" in said


def test_what_is_not_reached_by_ssh_is_not_looked_at() -> None:
    local = {"ansible_connection": "local"}
    unchecked = {"ansible_host_key_checking": False}

    assert check_ssh_keys.ssh_command(local, "localhost") == []
    assert check_ssh_keys.ssh_command(unchecked, "nats-1") == []
    command = check_ssh_keys.ssh_command(
        {"ansible_host": "10.0.0.1", "ansible_port": 2201, "ansible_ssh_common_args": "-J jump"},
        "nats-1",
    )
    assert command[0] == "ssh"
    assert command[-1] == "10.0.0.1"
    assert "-J jump" in " ".join(command)
    assert "-p 2201" in " ".join(command)
