"""Keeps what Prometheus saw of a run, beside what agents wrote: a snapshot and OpenMetrics text."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpaas.errors import RunInvalid
from fpaas.probe import open_metrics
from fpaas.records import files, metrics
from fpaas.records.metrics import KeptMetrics
from fpaas.spec import NS_PER_S, RunSpec

ANSWER_LIMIT_S = 60.0
#: Scrapes this long before T0 and after the end belong to the run, too.
MARGIN_S = 15.0
SNAPSHOT = "/api/v1/admin/tsdb/snapshot"


@dataclass(frozen=True)
class Prometheus:
    """A server, and how one logs in to it. `ca_file` is for https."""

    url: str
    user: str | None = None
    password: str = ""
    ca_file: Path | None = None

    def ask(
        self, path: str, parameters: Mapping[str, str] | None = None, *, post: bool = False
    ) -> Any:  # noqa: ANN401
        """Return the `data` of an answer. Raises RunInvalid that says what Prometheus said."""
        query = urllib.parse.urlencode(parameters or {})
        headers = {}
        if self.user is not None:
            login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        request = urllib.request.Request(  # noqa: S310  (the lab's own)
            f"{self.url}{path}?{query}", method="POST" if post else "GET", headers=headers
        )
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=ANSWER_LIMIT_S, context=context
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace").strip()
            raise RunInvalid(f"{self.url}{path}: {error.code}: {said}") from error
        except (OSError, ValueError, KeyError) as error:
            raise RunInvalid(f"{self.url}{path}: {error}") from error


def keep(prometheus: Prometheus, data: Path, run: Path, host: str) -> KeptMetrics:
    """Write metrics.json, metrics.om.gz and metrics/ into a run's directory.

    `data` is where Prometheus keeps its samples. Raises RunInvalid if it does not answer,
    OSError.
    """
    began_s, ended_s = window(RunSpec.load(run / "run.json"), host, _now_unix_s())
    blocks = _keep_blocks(prometheus, data, run / metrics.BLOCKS, began_s, ended_s)
    series, samples = _keep_text(prometheus, run / metrics.TEXT, began_s, ended_s)
    kept = KeptMetrics(
        from_unix_s=began_s, to_unix_s=ended_s, blocks=blocks, series=series, samples=samples
    )
    files.write(run / metrics.NAME, kept)
    return kept


def window(spec: RunSpec, host: str, now_unix_s: float) -> tuple[float, float]:
    """Return from when to when a host's clock has the run, in seconds."""
    shift_ns = spec.clock_shifts_ns.get(host, 0)
    began_s = (spec.t0_unix_ns - shift_ns) / NS_PER_S - MARGIN_S
    ended_s = (spec.settled_unix_ns - shift_ns) / NS_PER_S + MARGIN_S
    return began_s, min(ended_s, now_unix_s)


def _now_unix_s() -> float:
    """Return the time by the clock that Prometheus goes by."""
    return time.time()  # noqa: TID251  (samples have this host's time, not the common one)


def _keep_blocks(
    prometheus: Prometheus, data: Path, into: Path, began_s: float, ended_s: float
) -> list[str]:
    """Copy the blocks of a snapshot that have samples of the window; returns their names."""
    snapshot = data / "snapshots" / prometheus.ask(SNAPSHOT, post=True)["name"]
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    kept = []
    for block in sorted(path for path in snapshot.iterdir() if path.is_dir()):
        about = json.loads((block / "meta.json").read_bytes())
        if about["minTime"] <= ended_s * 1000 and about["maxTime"] >= began_s * 1000:
            shutil.copytree(block, into / block.name)
            kept.append(block.name)
    shutil.rmtree(snapshot)
    return kept


def _keep_text(
    prometheus: Prometheus, path: Path, began_s: float, ended_s: float
) -> tuple[int, int]:
    """Write the window's samples; returns how many series and samples they are."""
    within = {"start": f"{began_s:.3f}", "end": f"{ended_s:.3f}"}
    names = prometheus.ask("/api/v1/label/__name__/values", within)
    kinds = prometheus.ask("/api/v1/metadata")
    length_ms = round((ended_s - began_s) * 1000)
    series = samples = 0
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=6) as file:
        for name in names:
            query = f"{{__name__={json.dumps(name)}}}[{length_ms}ms]"
            found = prometheus.ask("/api/v1/query", {"query": query, "time": within["end"]})[
                "result"
            ]
            file.writelines(open_metrics.family(name, _kind(kinds, name), found))
            series += len(found)
            samples += sum(len(one["values"]) for one in found)
        file.write(open_metrics.EOF)
    return series, samples


def _kind(kinds: Mapping[str, Iterable[Mapping[str, str]]], name: str) -> str:
    return next((one["type"] for one in kinds.get(name, ())), "unknown")
