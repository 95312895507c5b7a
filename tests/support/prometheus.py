"""A real Prometheus: its programs, as labs on this machine find them, and a test's own server."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fpaas.control import own_prometheus
from fpaas.errors import BadInput
from tests.support.checkout import CHECKOUT
from tests.support.ports import free_port

#: Where the checkout's own labs unpack it, too.
_CACHE = CHECKOUT / ".cache" / "prometheus"
UP_WITHIN_S = 60


def program(name: str) -> Path:
    """Return the path of `prometheus` or `promtool`; skips the test if it cannot be had."""
    try:
        server = own_prometheus.find(_CACHE)
    except BadInput as error:
        pytest.skip(str(error))
    found = server.with_name(name)
    if not found.exists():
        pytest.skip(f"no {name} beside {server}; install Debian's package prometheus")
    return found


class Prometheus:
    """A server that scrapes `targets`, which are hosts by address, every second."""

    SCRAPE_S = 1

    def __init__(self, directory: Path, targets: dict[str, str]) -> None:
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}"
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
