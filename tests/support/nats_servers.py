"""Real nats-servers of a test's own: one, or a cluster of three."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port


class NatsServer:
    """A nats-server with JetStream on loopback ports of its own.

    What is in memory is lost when it stops. `more` is added to its configuration, and `jetstream`
    to what that says of JetStream.
    """

    def __init__(self, directory: Path, more: str = "", *, jetstream: str = "") -> None:
        self.port = free_port()
        self.monitoring_port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.monitoring_url = f"http://127.0.0.1:{self.monitoring_port}"
        self.store = directory / "jetstream"
        self.pid_file = directory / "nats.pid"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "nats.conf"
        self._config.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f"http: 127.0.0.1:{self.monitoring_port}\n"
            f'pid_file: "{self.pid_file}"\n'
            "max_payload: 8MB\n"
            f'jetstream {{\n store_dir: "{self.store}"\n max_mem: 4GB\n {jetstream}\n}}\n'
            f"{more}"
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self.launch()
        self.wait_until_healthy()

    def launch(self) -> None:
        self._process = subprocess.Popen(
            [SCRIPTS / "nats-server", "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=(self._directory / "nats.log").open("ab"),
        )

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.monitoring_url}/healthz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise RuntimeError((self._directory / "nats.log").read_text())

    def has_client(self, name: str) -> bool:
        with urllib.request.urlopen(f"{self.monitoring_url}/connz", timeout=PATIENCE_S) as answer:
            return name in [one.get("name") for one in json.load(answer)["connections"]]

    def kill(self) -> None:
        """SIGKILL: a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_until_ended(self) -> None:
        """Wait until somebody else has ended it."""
        assert self._process is not None
        self._process.wait(timeout=PATIENCE_S)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=PATIENCE_S)
            self._process = None


class NatsCluster:
    """Three nats-servers, n1 to n3, that are one JetStream cluster."""

    def __init__(self, directory: Path) -> None:
        names = ("n1", "n2", "n3")
        cluster_ports = [free_port() for _ in names]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in cluster_ports)
        self.servers: dict[str, NatsServer] = {}
        for name, port in zip(names, cluster_ports, strict=True):
            (directory / name).mkdir(parents=True)
            self.servers[name] = NatsServer(
                directory / name,
                f"server_name: {name}\n"
                f"cluster {{ name: fpaas, listen: 127.0.0.1:{port}, routes: [{routes}], "
                "no_advertise: true }\n",
            )
        self.url = ",".join(server.url for server in self.servers.values())

    def start(self) -> None:
        for server in self.servers.values():
            server.launch()
        for server in self.servers.values():
            server.wait_until_healthy()

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()

    def leader(self, stream: str) -> str:
        """Name the server that leads a stream; while there is an election, that takes a while."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self._leader_now(stream)) is None:
            assert time.monotonic() < deadline, f"no server knows who leads {stream}"
            time.sleep(0.1)
        return found

    def _leader_now(self, stream: str) -> str | None:
        for server in self.servers.values():
            url = f"{server.monitoring_url}/jsz?accounts=true&streams=true"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                for account in json.load(answer).get("account_details") or []:
                    for detail in account.get("stream_detail") or []:
                        if detail["name"] == stream and detail["cluster"].get("leader"):
                            return str(detail["cluster"]["leader"])
        return None
