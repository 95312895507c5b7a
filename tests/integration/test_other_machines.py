"""Hosts of another machine than the control node's get its own programs, by their ELF headers."""

from __future__ import annotations

import platform
import subprocess
import sysconfig
from pathlib import Path

import pytest

from fpaas.control import elf, host_program, payload

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
NATS = host_program.NATS_SERVER
OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}[platform.machine()]


def test_agents_and_nats_server_are_those_of_the_host(tmp_path: Path) -> None:
    built = payload.build(CHECKOUT, tmp_path, payload.Target("3.13", OTHER), "/opt/fpaas")

    (tmp_path / "host").mkdir()
    subprocess.run(["tar", "-xf", built, "-C", tmp_path / "host"], check=True)
    machines = [elf.machine_of(path) for path in (tmp_path / "host").rglob("*.so")]
    assert len(machines) >= 4
    assert set(machines) == {OTHER}

    source = Path(sysconfig.get_path("scripts")) / "nats-server"
    own = host_program.find(NATS, str(source), platform.machine(), tmp_path, checkout=CHECKOUT)
    others = host_program.find(NATS, str(source), OTHER, tmp_path, checkout=CHECKOUT)
    assert own == source
    assert elf.machine_of(others) == OTHER
    assert others.stat().st_mode & 0o111
