"""A Prometheus that serves what a bundle has kept of a run."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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


@dataclass(frozen=True)
class Kept:
    """A directory of blocks, and what metrics.json says of them."""

    blocks: Path
    about: KeptMetrics


def find(bundle: Path) -> Kept:
    """Return what a bundle has kept. Raises BadInput."""
    if not (bundle / "run.json").exists():
        raise BadInput(f"{bundle}: is not a bundle of a run: it has no run.json")
    found = sorted(bundle.glob(f"hosts/*/{metrics.NAME}"))
    if not found:
        raise BadInput(
            f"{bundle}: has no metrics; play the run with -e bench_keep_metrics=true "
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
    """A Prometheus that is up."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def last_words(self) -> str:
        """Return the last that it said."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"


@contextlib.contextmanager
def serve(kept: Kept, listen: str, program: Path | None) -> Iterator[Server]:
    """Serve a copy of the blocks for as long as the context is open. Raises BadInput."""
    program = program or own_prometheus.find(CACHE)
    with tempfile.TemporaryDirectory(prefix="fpaas-metrics-") as name:
        directory = Path(name)
        try:
            shutil.copytree(kept.blocks, directory / "data")
        except (OSError, shutil.Error) as error:
            raise BadInput(f"{kept.blocks}: cannot be copied to {directory}: {error}") from error
        (directory / "prometheus.yml").write_text("{}\n", encoding="utf-8")
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                [
                    str(program),
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--storage.tsdb.retention.time={RETENTION}",
                    f"--web.listen-address={listen}",
                    f"--query.lookback-delta={LOOKBACK}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(process, f"http://{listen}/graph?{_query(kept.about)}", log)
        try:
            _wait(server, f"http://{listen}/-/ready")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _query(about: KeptMetrics) -> str:
    """Show the run's window, and its phases."""
    ended = datetime.fromtimestamp(about.to_unix_s, UTC)
    return urllib.parse.urlencode(
        {
            "g0.expr": "fpaas_run_phase == 1",
            "g0.tab": "0",
            "g0.range_input": f"{max(1, round(about.to_unix_s - about.from_unix_s))}s",
            "g0.end_input": f"{ended:%Y-%m-%d %H:%M:%S}",
        }
    )


def _wait(server: Server, url: str) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.1)
    raise BadInput(f"prometheus does not come up on {url}: {server.last_words()}")
