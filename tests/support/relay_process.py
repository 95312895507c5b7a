"""The real relay as a process of a test's own, and what it sends, read by third-party code."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libipld
from websockets.sync.client import ClientConnection, connect

from fpaas.spec import RunSpec
from tests.support.arming import arm_once_up
from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S

PATH = "/xrpc/com.atproto.sync.subscribeRepos"
#: From the start of a run's relay to T0: its subscribers connect meanwhile.
LEAD_S = 2


class RelayProcess:
    """`fpaas relay` with these options, on a port of its own unless they say otherwise."""

    def __init__(self, directory: Path, *options: object) -> None:
        self.log_path = directory / f"relay-{time.monotonic_ns()}.log"
        listen = () if "--listen" in options else ("--listen", "127.0.0.1:0")
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [SCRIPTS / "fpaas", "relay", *map(str, (*listen, *options))], stderr=log
            )
        if "--run" in options:
            self._arm(Path(str(options[options.index("--run") + 1])))
        self.url = self._wait_for_url()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def _arm(self, run_json: Path) -> None:
        """Give the run its T0, unless this relay takes another's place in it."""
        if not RunSpec.load(run_json).is_armed:
            arm_once_up(run_json, "relay", lead_s=LEAD_S)

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = re.search(r" at (ws://\S+)", self.log)
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.end()
        raise RuntimeError(self.log)


@contextlib.contextmanager
def running_relay(directory: Path, *options: object) -> Iterator[RelayProcess]:
    relay = RelayProcess(directory, *options)
    try:
        yield relay
    finally:
        relay.end()


def subscribe(url: str, cursor: int | None = None) -> ClientConnection:
    query = "" if cursor is None else f"?cursor={cursor}"
    return connect(
        f"{url}{PATH}{query}",
        compression=None,
        max_size=None,
        proxy=None,
        open_timeout=PATIENCE_S,
        # It would take the relay for gone: pongs come behind frames that nobody has read yet.
        ping_interval=None,
    )


def receive(connection: ClientConnection, count: int) -> list[bytes]:
    frames = []
    for _ in range(count):
        frame = connection.recv(timeout=PATIENCE_S)
        assert isinstance(frame, bytes)
        frames.append(frame)
    return frames


def message(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    header, body = libipld.decode_dag_cbor_multi(frame)
    return header, body


def seqs(frames: list[bytes]) -> list[int]:
    return [message(frame)[1]["seq"] for frame in frames]


def read_until_answered(connection: ClientConnection, answered: threading.Event) -> list[bytes]:
    """Return the frames before a pong, which this client takes only while somebody reads them."""
    frames: list[bytes] = []
    deadline = time.monotonic() + PATIENCE_S
    while not answered.is_set():
        if time.monotonic() > deadline:
            raise TimeoutError("no pong")
        frames += receive(connection, 1)
    return frames
