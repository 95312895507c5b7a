"""Settings of the kernel are set if they can be, and returned to what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.plugin_modules import load

set_sysctls = load("modules/set_sysctls.py")
WANTED = {"net.core.somaxconn": "16384", "net.ipv4.ip_local_port_range": "16384 60999"}


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "proc"
    (root / "net" / "core").mkdir(parents=True)
    (root / "net" / "ipv4").mkdir()
    (root / "net" / "core" / "somaxconn").write_text("4096\n")
    (root / "net" / "ipv4" / "ip_local_port_range").write_text("32768\t60999\n")
    monkeypatch.setattr(set_sysctls, "PROC", root)
    return root


def test_set_once_and_returned(proc: Path, tmp_path: Path) -> None:
    file, before = tmp_path / "60-lab.conf", tmp_path / "before.json"
    assert set_sysctls.present(WANTED, file, before, check=True) == (True, "")
    assert not file.exists()
    assert set_sysctls.present(WANTED, file, before, check=False) == (True, "")
    assert (proc / "net/core/somaxconn").read_text() == "16384\n"
    assert json.loads(before.read_text())["net.ipv4.ip_local_port_range"] == "32768 60999"
    assert set_sysctls.present(WANTED, file, before, check=False) == (False, "")
    assert set_sysctls.absent(file, before, check=False)
    assert (proc / "net/core/somaxconn").read_text() == "4096\n"
    assert (proc / "net/ipv4/ip_local_port_range").read_text() == "32768 60999\n"
    assert not file.exists()
    assert not set_sysctls.absent(file, before, check=False)


def test_what_cannot_be_set_is_said_and_changes_nothing(proc: Path, tmp_path: Path) -> None:
    (proc / "net/core/somaxconn").unlink()
    file, before = tmp_path / "60-lab.conf", tmp_path / "before.json"
    only = {"net.core.somaxconn": "16384"}
    changed, kept = set_sysctls.present(only, file, before, check=False)
    assert not changed
    assert kept == "net.core.somaxconn = None (there is no such setting)"
    assert not file.exists()
    assert not before.exists()
