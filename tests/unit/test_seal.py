"""Sealing and verifying a run's files."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpaas import common_time
from fpaas.commands.seal import command
from fpaas.errors import BadInput, RunInvalid
from fpaas.probe import host_facts, seal
from fpaas.records import files
from fpaas.records.seal import Seal
from fpaas.spec import NS_PER_S
from tests.support.raw_run import RawRun


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    (directory / "logs").mkdir(parents=True)
    (directory / "b.jsonl").write_text("{}\n")
    (directory / "a.bin").write_bytes(bytes(300_000))
    (directory / "logs" / "relay.log").write_text("")
    (directory / "link").symlink_to("b.jsonl")
    return directory


def test_seal_describes_host_and_files(directory: Path) -> None:
    path = seal.seal(directory, "nats-1")
    content = json.loads(path.read_text())
    assert content["host"] == "nats-1"
    assert list(content["files"]) == ["a.bin", "b.jsonl", "logs/relay.log"]
    assert content["files"]["a.bin"] == {
        "bytes": 300_000,
        "sha256": hashlib.sha256(bytes(300_000)).hexdigest(),
    }
    facts = content["facts"]
    assert facts["cpu_count"] > 0
    assert facts["limits"]["nofile_soft"] > 0
    assert {"fpaas", "nats-py", "uvloop", "websockets"} <= set(facts["versions"])
    assert facts["versions"]["nats-server"] is None
    assert seal.verify(directory) == []


def test_sealing_again_changes_nothing_but_the_time(directory: Path) -> None:
    before = json.loads(seal.seal(directory, "h").read_text())
    after = json.loads(seal.seal(directory, "h").read_text())
    del before["unix_ns"], after["unix_ns"]
    assert before == after


def test_what_changed_is_named(directory: Path) -> None:
    seal.seal(directory, "h")
    (directory / "a.bin").write_bytes(b"\1" + bytes(299_999))
    (directory / "b.jsonl").write_text("{")
    (directory / "logs" / "relay.log").unlink()
    (directory / "new.txt").write_text("of no concern")
    changed, shortened, missing = seal.verify(directory)
    assert "a.bin" in changed
    assert "SHA-256" in changed
    assert "b.jsonl: has 1 bytes, 3 were sealed" in shortened
    assert "relay.log" in missing


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(content=st.binary(max_size=200), position=st.integers(0, 199), flip=st.integers(1, 255))
def test_any_flipped_byte_is_found(
    tmp_path: Path, content: bytes, position: int, flip: int
) -> None:
    (tmp_path / "file").write_bytes(content)
    seal.seal(tmp_path, "h")
    assert seal.verify(tmp_path) == []
    if position < len(content):
        changed = bytearray(content)
        changed[position] ^= flip
        (tmp_path / "file").write_bytes(changed)
        assert len(seal.verify(tmp_path)) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read"),
        ("{", "its end is missing"),
        ('{"schema": 9}', "$.schema"),
        ("[]", "is not what it should be"),
    ],
)
def test_a_bad_seal_is_a_problem(tmp_path: Path, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "seal.json").write_text(content)
    (problem,) = seal.verify(tmp_path)
    assert "seal.json" in problem
    assert expected in problem


def test_missing_directory_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such run directory"):
        seal.seal(tmp_path / "absent", "h")
    result = CliRunner().invoke(command, [str(tmp_path / "absent")])
    assert result.exit_code == 2
    assert "absent" in result.output


def test_full_disk_names_the_file(directory: Path) -> None:
    (directory / "seal.json.tmp").symlink_to("/dev/full")
    with pytest.raises(RunInvalid, match=r"seal\.json.*No space left.*free space"):
        seal.seal(directory, "h")
    assert not (directory / "seal.json").exists()
    assert not (directory / "seal.json.tmp").is_symlink()


def test_command_prints_the_seal(directory: Path) -> None:
    result = CliRunner().invoke(command, [str(directory), "--host", "relay-1"])
    assert result.exit_code == 0
    assert result.output.strip() == str(directory / "seal.json")
    assert files.read(directory / "seal.json", Seal).host == "relay-1"


def test_host_facts_from_text() -> None:
    assert (
        host_facts.cpu_model("processor: 0\nmodel name\t: Fast CPU @ 3GHz\n") == "Fast CPU @ 3GHz"
    )
    assert host_facts.cpu_model("processor: 0\n") is None
    assert host_facts.virtualization(dmi="QEMU Standard PC", has_hypervisor=True) == "qemu"
    assert host_facts.virtualization(dmi=" ", has_hypervisor=True) == "unknown hypervisor"
    assert host_facts.virtualization(dmi="LENOVO 20XW", has_hypervisor=False) is None
    assert host_facts.container(has_docker_file=True, systemd_container=None) == "docker"
    assert host_facts.container(has_docker_file=True, systemd_container="lxc") == "lxc"
    assert host_facts.container(has_docker_file=False, systemd_container=None) is None
    assert host_facts.parse_nats_server_version("nats-server: v2.10.3-RC.1\n") == "2.10.3-RC.1"
    assert host_facts.parse_nats_server_version("bash: no such thing") is None
    assert host_facts.nats_server_version(Path("/nonexistent/nats-server")) is None


def test_the_journal_is_asked_by_its_hosts_own_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common_time, "_shift_ns", 0)
    asked = tmp_path / "asked"
    journalctl = tmp_path / "bin" / "journalctl"
    journalctl.parent.mkdir()
    journalctl.write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    journalctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{journalctl.parent}:/usr/bin:/bin")
    run = tmp_path / "20260102T030405Z-scenario-1"
    run.mkdir()
    # The NATS host is 10 s ahead of the control node, and this one 300 s ahead of the NATS host.
    spec = replace(
        RawRun().spec,
        clock_shifts_ns={"far": -300 * NS_PER_S},
        control_clock_shift_ns=10 * NS_PER_S,
    )
    (run / "run.json").write_text(spec.to_json())
    arguments = [str(run), "--host", "far", "--journal", "relay=fpaas-relay.service"]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert f"--since @{1767323045 + 310}" in asked.read_text()
    sealed_unix_ns = json.loads((run / "seal.json").read_text())["unix_ns"]
    assert time.time_ns() - sealed_unix_ns == pytest.approx(300 * NS_PER_S, abs=10 * NS_PER_S)
