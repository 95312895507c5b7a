"""Writes a sweep and the summaries of its runs, as a played one has left them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpaas.records.sweep import PlayedRun, Sweep, SweepPoint
from fpaas.sweep import record

#: A goal of a run whose polls take less than is owed.
RULED_OUT = {
    "meaning": "age at delivery, p99",
    "status": "ruled out",
    "why": ["each consumer is owed more than its polls take"],
    "why_codes": [{"code": "polls_take_less", "parameters": {}}],
}

#: A reason of a run on a host that was busy.
SATURATED = {
    "code": "host_saturated",
    "severity": "invalid",
    "host": "localhost",
    "parameters": {"busy_pct": 99.4, "limit_pct": 98.0},
}


def summary(consumers: int, cpu_pct: float, status: str = "pass") -> dict[str, Any]:
    usage = {"cpu_pct": {"mean": cpu_pct}, "rss_mb": {"max": 40 + consumers / 10}}
    leg = {"p50": 1.0, "p99": 2.0, "clock_error_ms": 0.0}
    return {
        "schema": 1,
        "verdict": {
            "status": status,
            "reasons": [] if status == "pass" else [f"so it is {status}"],
        },
        "throughput": dict.fromkeys(("published_per_s", "processed_per_s"), 450.0),
        "latency_ms": {
            "publish_ack": leg,
            "fetch_call": leg,
            "end_to_end": leg | {"clock_error_ms": 1.5},
            "publish_to_first_fetch": {"p50": None},
        },
        "resources": {
            "processes": {"nats": usage, "consumers": usage},
            "hosts": {"localhost": {"cpu_count": 2}},
        },
        "jetstream": {"slow_consumers": 0},
        "ledger": {"lost": 0},
    }


def write(
    results: Path,
    cpu_pct_by_consumers: Mapping[int, float | None],
    *,
    name: str = "sweep",
    title: str = "Sweep",
    status: str = "pass",
) -> Path:
    """Write a run for each number of consumers, none if its CPU is None; returns the sweep's."""
    directory = results / "sweeps" / f"{name}-1"
    directory.mkdir(parents=True)
    points = []
    for number, (consumers, cpu_pct) in enumerate(cpu_pct_by_consumers.items(), 1):
        point = SweepPoint(number, {"bench_consumers": consumers})
        if cpu_pct is not None:
            run_id = f"20260921T12{number:02}00Z-{name}"
            (results / run_id / "hosts").mkdir(parents=True)
            content = json.dumps(summary(consumers, cpu_pct, status))
            (results / run_id / "summary.json").write_text(content)
            (results / run_id / "run.json").write_text("{}")
            point.runs.append(PlayedRun(run_id, 0, status, took_s=60.0))
        points.append(point)
    sweep = Sweep(
        sweep_id=f"{name}-1",
        name=name,
        title=title,
        grid={"bench_consumers": list(cpu_pct_by_consumers)},
        repeats=1,
        variables={"bench_poll_interval_s": 60.0, "bench_measure_s": 300.0},
        hosts={"nats": ["localhost"], "monitoring": []},
        points=points,
    )
    record.write(sweep, directory)
    return directory
