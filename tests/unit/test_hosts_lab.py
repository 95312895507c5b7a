"""Runs on hosts, played by few calls to each: here shells, whose agents end at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from fpaas.control import following
from fpaas.control.hosts_beginning import CannotBeginError, LeadTimes
from fpaas.control.hosts_lab import HostsLab, HostsSettings, View, login_in
from fpaas.control.hosts_network import Network
from fpaas.control.lab_host import HostError
from fpaas.records import control, files
from fpaas.records.control import ControlAccount, ControlProblem, Trouble
from fpaas.spec import RunSpec
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.raw_run import RawRun
from tests.support.shell_host import Shell, make_part


class Silence:
    """Shows nothing."""

    def update(self, now_unix_ns: int) -> None: ...
    def say(self, text: str, color: str) -> None: ...
    def end(self, now_unix_ns: int) -> None: ...


@dataclass
class Lab:
    """Two hosts, and what was reported."""

    hosts: dict[str, Shell]
    settings: HostsSettings
    planned: RunSpec
    reported: list[Path] = field(default_factory=list)

    def play(self, *, is_checked: bool = False) -> ControlAccount:
        view = View(lambda _: None, lambda *_: Silence(), lambda: None)
        lab = HostsLab(self.settings, self.hosts, view, self.reported.append, lambda: None)
        lab.play(self.planned, is_checked=is_checked)
        return files.read(self.bundle / control.NAME, ControlAccount)

    @property
    def bundle(self) -> Path:
        return self.settings.results / self.planned.run_id

    def run_directory(self, host: str) -> Path:
        return self.hosts[host].directory / "runs" / self.planned.run_id


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[..., Lab]:
    """Make a lab; `busy` is how a host tells that a run is on, with its name behind it."""

    def make(busy: str = "exit 1", first: str = "exit 0") -> Lab:
        hosts = {name: Shell(tmp_path / name) for name in ("a", "b")}
        parts = {}
        for name, host in hosts.items():
            (host.directory / "runs").mkdir(parents=True)
            fpaas = host.directory / "fpaas"
            fpaas.write_text(
                f'#!/bin/sh\n[ "$1" = provision ] || exec {SCRIPTS}/fpaas "$@"\n'
                'echo stream >>"$0.calls"\n'
            )
            fpaas.chmod(0o755)
            usual = make_part(host.directory, fpaas=str(fpaas))
            commands = replace(
                usual.commands,
                busy=["sh", "-c", busy, name],
                first=[["sh", "-c", first, name]],
            )
            parts[name] = replace(usual, commands=commands)
        network = Network(talkers=0, is_known=False, note=str(tmp_path / "note"), noted="")
        settings = HostsSettings(
            parts=parts,
            results=tmp_path / "results",
            lead=LeadTimes(lead_s=0.1, lead_s_per_1000_consumers=0, start_patience_s=5),
            network=network,
            grace_s=1,
            free_disk_mb=1,
            control={"python": sys.executable},
        )
        settings.results.mkdir()
        return Lab(hosts, settings, RawRun().spec)

    return make


def test_a_run_is_in_its_bundle_and_no_longer_on_its_hosts(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    account = lab.play()
    assert account.run_id == lab.planned.run_id
    assert account.python == sys.executable
    assert account.problems == []
    assert lab.reported == [lab.bundle]
    assert (lab.settings.results / "latest").resolve() == lab.bundle
    armed = RunSpec.load(lab.bundle / "run.json")
    assert armed.t0_unix_ns > lab.planned.t0_unix_ns
    kinds = [json.loads(line)["kind"] for line in (lab.bundle / control.EVENTS).open()]
    assert kinds[:2] == ["run_armed", "agents_stopped"]
    for name, host in lab.hosts.items():
        assert (lab.bundle / "hosts" / name / "seal.json").exists()
        assert not lab.run_directory(name).exists()
        assert (host.directory / "stopped").exists()
        assert (host.directory / "freed").exists()
    # One of them makes the stream, by a call that it gets anyway.
    assert (lab.hosts["a"].directory / "fpaas.calls").read_text() == "stream\n"
    assert not (lab.hosts["b"].directory / "fpaas.calls").exists()


def test_calls_to_a_host_are_few(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    lab.play()
    # Lay out, come up, arm, look at it once, stop, seal, remove, free.
    assert [len(host.scripts) for host in lab.hosts.values()] == [8, 8]
    # Ansible's connections can do one thing at a time.
    assert not any(host.was_called_at_once for host in lab.hosts.values())


def test_hosts_that_play_another_run_do_not_begin_one(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(busy='[ "$0" = b ]')
    with pytest.raises(CannotBeginError, match=r"b: .*: a run is in progress\nLogs are in"):
        lab.play()
    assert not lab.run_directory("a").exists()
    assert not lab.reported


def test_a_playbook_has_looked_for_other_runs_itself(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(busy="exit 0")
    assert lab.play(is_checked=True).problems == []


def test_what_failed_on_a_host_is_said_and_its_logs_stay(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(first='[ "$0" = a ] || { echo no such unit >&2; exit 5; }')
    with pytest.raises(CannotBeginError) as error:
        lab.play(is_checked=True)
    assert str(error.value) == (
        "b: Make the run's directory, bring the plan, and restart NATS: no such unit\n"
        f"Logs are in {lab.run_directory('b')}."
    )
    assert (lab.run_directory("b") / "run.json").exists()
    assert (lab.hosts["a"].directory / "stopped").exists()


def test_a_lost_host_takes_no_other_with_it(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOST_S", 0.1)
    monkeypatch.setattr(following, "LOOK_INTERVAL_S", 0.1)
    lab = make_lab()
    # The first look of who follows it.
    lab.hosts["b"].silent_from = "cat "
    lost, missing = lab.play().problems
    assert isinstance(lost, ControlProblem)
    assert lost.problem == Trouble.HOST_LOST
    assert missing == ControlProblem(problem=Trouble.NOT_REACHED, host="b")
    assert (lab.bundle / "hosts" / "a" / "seal.json").exists()
    assert not (lab.bundle / "hosts" / "b").exists()


def test_a_login_is_read_where_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    assert login_in("") == ""
    with pytest.raises(HostError, match="credentials: No such file"):
        login_in(str(file))
    file.write_text('PROMETHEUS_USER="fpaas"\nPROMETHEUS_PASSWORD="secret"\n', encoding="utf-8")
    assert login_in(str(file)) == "fpaas secret"


def test_no_password_is_among_what_tasks_are_given() -> None:
    # It is in variables only where a task hides them.
    for path in sorted((CHECKOUT / "roles").glob("*/tasks/*.yml")):
        text = path.read_text(encoding="utf-8")
        assert "no_log:" in text or "prometheus_keep_stdin" not in text, path
    assert "keep_stdin" not in (CHECKOUT / "roles/run/vars/main.yml").read_text(encoding="utf-8")
