"""A real Prometheus: its programs, from PATH or Debian's package, and a server of a test's own."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.ports import free_port

_UNPACKED = CHECKOUT / ".cache" / "prometheus-of-tests"
_DOWNLOAD_S = 120
UP_WITHIN_S = 60


def program(name: str) -> Path:
    """Return the path of `prometheus` or `promtool`; skips the test if it cannot be had."""
    if on_path := shutil.which(name):
        return Path(on_path)
    found = _UNPACKED / "usr" / "bin" / name
    _UNPACKED.parent.mkdir(exist_ok=True)
    # Tests run side by side.
    with _UNPACKED.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            _fetch()
    return found


def _fetch() -> None:
    if missing := [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]:
        pytest.skip(f"no Prometheus: neither on PATH, nor {missing[0]} to fetch Debian's package")
    temporary = _UNPACKED.with_suffix(".new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _run("apt-get", "download", "prometheus", cwd=temporary)
        [package] = temporary.glob("prometheus_*.deb")
        _run("dpkg", "-x", package.name, ".", cwd=temporary)
        package.unlink()
        temporary.rename(_UNPACKED)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _run(*command: str, cwd: Path) -> None:
    try:
        subprocess.run(
            command, cwd=cwd, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_S
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        pytest.skip(f"no Prometheus: neither on PATH, nor by {' '.join(command)}: {last}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"no Prometheus: {' '.join(command)} took more than {_DOWNLOAD_S} s")


class Prometheus:
    """A server that scrapes `targets`, which are hosts by address, every second."""

    SCRAPE_S = 1

    def __init__(self, directory: Path, targets: dict[str, str]) -> None:
        self._url = f"http://127.0.0.1:{free_port()}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir()
        jobs = [
            {"targets": [address], "labels": {"host": host}} for address, host in targets.items()
        ]
        config = {
            "global": {"scrape_interval": f"{self.SCRAPE_S}s"},
            "scrape_configs": [{"job_name": "fpaas", "static_configs": jobs}],
        }
        # JSON is YAML.
        (directory / "prometheus.yml").write_text(json.dumps(config))

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={self._directory}/prometheus.yml",
                f"--storage.tsdb.path={self._directory}/data",
                f"--web.listen-address={self._url.removeprefix('http://')}",
            ],
            stderr=(self._directory / "log").open("wb"),
        )
        deadline = time.monotonic() + UP_WITHIN_S
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5):
                    return
            except OSError:
                assert time.monotonic() < deadline, (self._directory / "log").read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, path: str, **parameters: object) -> Any:  # noqa: ANN401
        """Return the `data` of an answer of its API; raises HTTPError if it refused the query."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str, start_s: float, end_s: float) -> list[float]:
        """Return what an expression had in a time, of all its series, NaN left out."""
        found = self.ask("query_range", query=expression, start=start_s, end=end_s, step=1)
        values = [float(value) for one in found["result"] for _, value in one["values"]]
        return [value for value in values if value == value]  # noqa: PLR0124
