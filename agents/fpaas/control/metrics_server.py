"""A Prometheus that serves what a bundle has kept of a run."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fpaas import json_input
from fpaas.control import own_prometheus
from fpaas.errors import BadInput
from fpaas.records import files, metrics
from fpaas.records.files import UnreadableError
from fpaas.records.metrics import KeptMetrics

#: Of the checkout that this is part of, wherever the user is.
CACHE = Path(__file__).resolve().parents[3] / ".cache" / "prometheus"
READY_LIMIT_S = 60.0
#: Otherwise the samples would go: they are older than Prometheus keeps any.
RETENTION = "100y"
#: How long a sample stands for what comes after it: three scrapes as far apart as a lab's can be.
LOOKBACK = "30s"
#: What a Prometheus was started with: on a port that is taken, another one would answer.
_FLAGS = "/api/v1/status/flags"
_FLAGS_BYTES_MAX = 1 << 20
#: Its input ends with whoever started it.
_CLEAN_UP = 'read -r pid; cat >/dev/null; [ -z "$pid" ] || kill -KILL "$pid"; rm -rf -- "$1"'


@dataclass(frozen=True)
class Kept:
    """A directory of blocks, and what metrics.json says of them."""

    blocks: Path
    about: KeptMetrics


def find(bundle: Path) -> Kept:
    """Return what a bundle has kept. Raises BadInput."""
    if not bundle.exists():
        raise BadInput(f"{bundle}: does not exist")
    if not (bundle / "run.json").exists():
        raise BadInput(f"{bundle}: is not a bundle of a run: it has no run.json")
    found = sorted(bundle.glob(f"hosts/*/{metrics.NAME}"))
    if not found:
        raise BadInput(
            f"{bundle}: has no metrics; run the scenario with -e bench_keep_metrics=true "
            "(docs/monitoring.md)"
        )
    try:
        about = files.read(found[0], KeptMetrics)
    except (OSError, UnreadableError) as error:
        raise BadInput(f"{found[0]}: {error}") from error
    blocks = found[0].parent / metrics.BLOCKS
    # Prometheus would start without them, and have nothing to show.
    missing = [name for name in about.blocks if not (blocks / name / "meta.json").exists()]
    if missing:
        raise BadInput(f"{blocks}: {', '.join(missing)} is missing; copy the bundle again")
    return Kept(blocks, about)


@dataclass(frozen=True)
class Server:
    """A Prometheus that was started; no other one has its `data`."""

    process: subprocess.Popen[bytes]
    address: str
    data: Path
    log: Path

    def ended(self) -> BadInput:
        """Say that it ended by itself, and why if it did."""
        return BadInput(f"{self.address}: prometheus ended by itself: {self.last_words()}")

    def last_words(self) -> str:
        """Return the last that it said."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextlib.contextmanager
def serve(kept: Kept, listen: str, program: Path | None) -> Iterator[Server]:
    """Serve a copy of the blocks for as long as the context is open. Raises BadInput."""
    program = program or own_prometheus.find(CACHE)
    with tempfile.TemporaryDirectory(prefix="fpaas-metrics-") as name, _heir(name) as heir:
        directory = Path(name)
        data, log = directory / "data", directory / "log"
        try:
            shutil.copytree(kept.blocks, data)
        except (OSError, shutil.Error) as error:
            raise BadInput(f"{kept.blocks}: cannot be copied to {directory}: {error}") from error
        (directory / "prometheus.yml").write_text("{}\n", encoding="utf-8")
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603
                    [
                        str(program),
                        f"--config.file={directory / 'prometheus.yml'}",
                        f"--storage.tsdb.path={data}",
                        f"--storage.tsdb.retention.time={RETENTION}",
                        f"--web.listen-address={listen}",
                        f"--query.lookback-delta={LOOKBACK}",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        except OSError as error:
            raise BadInput(f"{program}: cannot be started: {error.strerror}") from error
        heir.write(b"%d\n" % process.pid)
        server = Server(process, f"http://{listen}", data, log)
        try:
            _wait(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _heir(directory: str) -> Iterator[IO[bytes]]:
    """Have a process clean up if this one is killed; it is to be told Prometheus' pid."""
    with subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _CLEAN_UP, "sh", directory],
        bufsize=0,
        stdin=subprocess.PIPE,
        # What ends us by a signal to the terminal's processes does not end it.
        start_new_session=True,
    ) as process:
        assert process.stdin is not None  # noqa: S101
        try:
            yield process.stdin
        finally:
            process.kill()


def graph_url(server: Server, about: KeptMetrics) -> str:
    """Return the page that shows the run's window, and its phases."""
    ended = datetime.fromtimestamp(about.to_unix_s, UTC)
    query = urllib.parse.urlencode(
        {
            "g0.expr": "fpaas_run_phase == 1",
            "g0.tab": "0",
            "g0.range_input": f"{max(1, round(about.to_unix_s - about.from_unix_s))}s",
            "g0.end_input": f"{ended:%Y-%m-%d %H:%M:%S}",
        }
    )
    return f"{server.address}/graph?{query}"


def _wait(server: Server) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise server.ended()
        with contextlib.suppress(OSError, ValueError):
            if _is_ready(server):
                return
        time.sleep(0.1)
    raise BadInput(f"prometheus does not come up on {server.address}: {server.last_words()}")


def _is_ready(server: Server) -> bool:
    """Whether this very one is. Raises OSError or ValueError if it is not, or another answers."""
    with urllib.request.urlopen(f"{server.address}/-/ready", timeout=5):  # noqa: S310
        pass
    with urllib.request.urlopen(f"{server.address}{_FLAGS}", timeout=5) as answer:  # noqa: S310
        told = json_input.loads(answer.read(_FLAGS_BYTES_MAX))
    try:
        return bool(told["data"]["storage.tsdb.path"] == str(server.data))
    except (TypeError, LookupError):
        return False
