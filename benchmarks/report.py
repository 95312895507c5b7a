"""How long a report takes, and its memory, on generated raw data of a long run of many consumers.

The data is played by `tests.support.raw_run` and written by the agents' own writers. Each consumer
polls once a minute; a drain has as many runs in its delivery logs, for a run is a poll.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.checkout import SCRIPTS
from tests.support.raw_run import RawRun

CONSUMERS = 1000
RATE_PER_S = 450
RUN_S = 3600.0
QUICK_S = 360.0
REPORT_S_MAX = 20.0
RSS_MB_MAX = 500.0
PAGE_MB_MAX = 6.0
DELIVERY_LOGS_MB_MAX = 50.0
#: What each more consumer takes in a report's process, by runs of so few and so many of them.
FEW, MANY = 1_000, 50_000
KB_A_CONSUMER_MAX = 2.0


def generate(directory: Path, run_s: float) -> None:
    """Write a run of `run_s` seconds under load."""
    run = RawRun(
        {
            "bench_consumers": CONSUMERS,
            "bench_poll_interval_s": 60,
            "bench_batch_size": 100,
            "bench_firehose_rate_per_s": RATE_PER_S,
            "bench_warmup_s": 60,
            "bench_measure_s": run_s - 60,
            "bench_drain_s": 30,
            "bench_stream_max_age_s": 300,
        },
        workers=2,
    )
    run.write(directory)


def generate_short(directory: Path, consumers: int) -> None:
    """Write a run of a minute, in which a fifth of the consumers poll."""
    run = RawRun(
        {
            "bench_consumers": consumers,
            "bench_poll_interval_s": 300,
            "bench_firehose_rate_per_s": 20,
            "bench_warmup_s": 10,
            "bench_measure_s": 50,
            "bench_drain_s": 5,
        },
        workers=2,
    )
    run.write(directory)


def apart(target: Callable[..., None], *arguments: object) -> None:
    """Call in a process of its own: a child's memory begins with what its parent has."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{target.__name__} ended with {process.exitcode}")


def each_consumers_kb() -> float:
    """Return what each more consumer takes in the report's process."""
    rss_mb = []
    for consumers in (FEW, MANY):
        with tempfile.TemporaryDirectory() as directory:
            bundle = Path(directory) / "run"
            apart(generate_short, bundle, consumers)
            rss_mb.append(report(bundle)[2])
    return (rss_mb[1] - rss_mb[0]) * 1000 / (MANY - FEW)


def report(run: Path) -> tuple[float, float, float]:
    """Report a run; returns seconds, seconds of processor time and MB of memory."""
    began = time.monotonic()
    # S603: our own command. Waited for by wait4, which alone tells a single child's memory.
    process = subprocess.Popen([SCRIPTS / "fpaas", "report", run], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3) or not (run / "report.html").exists():
        raise RuntimeError(f"the report of {run} ended with {process.returncode}")
    seconds = time.monotonic() - began
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Generate a run and report it."""
    run_s = QUICK_S if quick else RUN_S
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "run"
        apart(generate, bundle, run_s)
        seconds, cpu_s, rss_mb = report(bundle)
        owed = json.loads((bundle / "summary.json").read_text())["ledger"]["unexplained"]
        if owed != 0:
            raise RuntimeError(f"the generated run does not balance: {owed} unexplained")
        page_mb = (bundle / "report.html").stat().st_size / 1e6
        logs_mb = sum(path.stat().st_size for path in bundle.rglob("*.deliveries.cbor.gz")) / 1e6
        raw_mb = sum(p.stat().st_size for p in bundle.rglob("hosts/*/*") if p.is_file()) / 1e6
    label = f"{CONSUMERS} consumers, {run_s / 60:g} min at {RATE_PER_S}/s"
    each = f"memory of each more, {FEW} to {MANY} consumers"
    return [
        _result(each, each_consumers_kb(), "KB", KB_A_CONSUMER_MAX),
        _result(f"time, {label}", seconds, "s", REPORT_S_MAX),
        _result(f"processor time, {label}", cpu_s, "s", None),
        _result(f"memory, {label}", rss_mb, "MB", RSS_MB_MAX),
        _result(f"report.html, {label}", page_mb, "MB", PAGE_MB_MAX),
        _result(f"delivery logs, {label}", logs_mb, "MB", DELIVERY_LOGS_MB_MAX),
        _result(f"raw data, {label}", raw_mb, "MB", None),
    ]


def _result(name: str, value: float, unit: str, maximum: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": None if maximum is None else f"≤ {maximum:g}",
        "met": None if maximum is None else value <= maximum,
    }
