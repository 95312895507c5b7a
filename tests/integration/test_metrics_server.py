"""`fpaas metrics` with a real Prometheus: what ends it, and what else may be on its port."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from fpaas.records import files, metrics
from fpaas.records.metrics import KeptMetrics
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, program

pytestmark = pytest.mark.integration

WITHIN_S = 2 * PATIENCE_S


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that kept metrics, though of no series; skips without a Prometheus."""
    program("prometheus")
    part = tmp_path / "bundle" / "hosts" / "h"
    (part / metrics.BLOCKS).mkdir(parents=True)
    (tmp_path / "bundle" / "run.json").touch()
    (tmp_path / "tmp").mkdir()
    about = KeptMetrics(from_unix_s=1e9, to_unix_s=1e9 + 60, blocks=[], series=0, samples=0)
    files.write(part / metrics.NAME, about)
    return tmp_path / "bundle"


@contextmanager
def serving(bundle: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [SCRIPTS / "fpaas", "metrics", str(bundle), "--listen", f"127.0.0.1:{port}"],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(left(bundle))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def left(bundle: Path) -> Path:
    """Return where it puts its copy."""
    return bundle.parent / "tmp"


def own_prometheus(process: subprocess.Popen[str]) -> psutil.Process:
    [found] = [one for one in psutil.Process(process.pid).children() if "prometheus" in one.exe()]
    return found


def test_another_prometheus_on_the_port_is_not_taken_for_its_own(
    bundle: Path, tmp_path: Path
) -> None:
    other = Prometheus(tmp_path / "other", {})
    other.start()
    try:
        with serving(bundle, other.port) as process:
            said, complained = process.communicate(timeout=WITHIN_S)
    finally:
        other.stop()
    assert process.returncode == 2
    assert said == ""
    assert "Traceback" not in complained
    assert f"127.0.0.1:{other.port}: prometheus ended by itself: " in complained
    assert "address already in use" in complained
    assert list(left(bundle).iterdir()) == []


def test_a_prometheus_that_is_ended_by_others_is_said(bundle: Path) -> None:
    with serving(bundle, free_port()) as process:
        assert process.stdout is not None
        assert "/graph?" in process.stdout.readline()
        own_prometheus(process).terminate()
        _, complained = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 2
    assert "Traceback" not in complained
    assert "prometheus ended by itself: " in complained
    assert list(left(bundle).iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP])
def test_nothing_outlives_it(bundle: Path, how: signal.Signals) -> None:
    with serving(bundle, free_port()) as process:
        assert process.stdout is not None
        assert "/graph?" in process.stdout.readline()
        own = own_prometheus(process)
        assert list(left(bundle).iterdir()) != []
        process.send_signal(how)
        process.wait(WITHIN_S)
        deadline = time.monotonic() + WITHIN_S
        while own.is_running() or list(left(bundle).iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
