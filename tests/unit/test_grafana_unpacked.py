"""Grafana as its makers bring it, a package or an archive, is unpacked to the same place."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT

VARIABLES = yaml.safe_load((CHECKOUT / "roles/grafana/vars/main.yml").read_text(encoding="utf-8"))


def program(directory: Path) -> None:
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "grafana").write_text("#!/bin/sh\n")
    (directory / "bin" / "grafana").chmod(0o755)
    (directory / "conf").mkdir()


def archive(directory: Path) -> Path:
    program(directory / "grafana-v11.6.0")
    with tarfile.open(directory / "it.tar.gz", "w:gz") as file:
        file.add(directory / "grafana-v11.6.0", "grafana-v11.6.0")
    return directory / "it.tar.gz"


def package(directory: Path) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb here")
    program(directory / "deb/usr/share/grafana")
    (directory / "deb/etc/grafana").mkdir(parents=True)
    (directory / "deb/DEBIAN").mkdir()
    (directory / "deb/DEBIAN/control").write_text(
        "Package: grafana\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: b\n"
    )
    command = ["dpkg-deb", "--build", "deb", "it.deb"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return directory / "it.deb"


def unpack(file: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", VARIABLES["grafana_unpack"], "sh", file, home]
    # As sudo may have it.
    return subprocess.run(command, capture_output=True, text=True, check=False, umask=0o077)


@pytest.mark.parametrize("bring", [archive, package])
def test_it_is_where_its_service_looks_for_it(tmp_path: Path, bring: object) -> None:
    assert callable(bring)
    file = bring(tmp_path)
    home = tmp_path / "a home"
    done = unpack(file, home)
    assert done.returncode == 0, done.stderr
    # Its service has a user of its own.
    assert {path.stat().st_mode & 0o005 for path in (home, home / "bin/grafana")} == {0o005}
    assert sorted(path.name for path in home.iterdir()) == ["bin", "conf"]
    assert not file.exists()


def test_something_else_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "it.tar.gz", "w:gz") as file:
        file.add(CHECKOUT / "LICENSE", "prometheus-2/LICENSE")
    done = unpack(tmp_path / "it.tar.gz", tmp_path / "home")
    assert done.returncode == 1
    assert "has no bin/grafana" in done.stderr
    assert not (tmp_path / "home").exists()
