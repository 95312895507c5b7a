"""What the probe costs the host that it samples, as it measures itself, checked from outside."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
import psutil
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from tests.support.checkout import SCRIPTS
from tests.support.nats_servers import NatsServer

from fpaas.spec import STREAM_NAME, Scenario, Topology, build, read_variables

HOST = "localhost"
#: Agents of a lab on one host, for each of which the probe reads a process.
AGENTS = ("relay", "shuffler", "consumers", "consumers")
CPU_PCT_MAX = 1.0
RSS_MB_MAX = 45.0
SNAPSHOT_S_MAX = 5.0
_LEAD_S = 2.0


async def provision(url: str, consumers: int) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(
        StreamConfig(
            name=STREAM_NAME,
            subjects=["atproto.firehose.>"],
            storage=StorageType.MEMORY,
            max_consumers=consumers + 100,
        )
    )

    async def add(index: int) -> None:
        config = ConsumerConfig(
            durable_name=f"fpaas-{index:05d}", ack_policy=AckPolicy.EXPLICIT, mem_storage=True
        )
        await stream.add_consumer(STREAM_NAME, config)

    for first in range(0, consumers, 200):
        await asyncio.gather(*(add(i) for i in range(first, min(first + 200, consumers))))
    await client.close()


@contextmanager
def agents(directory: Path) -> Iterator[None]:
    """Processes that look like the lab's agents to the probe, and do nothing."""
    idle = [sys.executable, "-c", "import time; time.sleep(600)"]
    processes = [subprocess.Popen(idle) for _ in AGENTS]
    try:
        for agent in set(AGENTS):
            pids = [p.pid for p, name in zip(processes, AGENTS, strict=True) if name == agent]
            content = {
                "agent": agent,
                "state": "running",
                "pid": pids[0],
                "pids": pids,
                "unix_ns": time.time_ns() + 10**9,
            }
            (directory / f"{agent}.status.json").write_text(json.dumps(content))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def probe_once(directory: Path, consumers: int, duration_s: float) -> dict[str, Any]:
    """Run a server with `consumers` consumers and a probe; returns what the probe measured."""
    server = NatsServer(directory)
    server.start()
    try:
        asyncio.run(provision(server.url, consumers))
        pid_file = directory / "nats.pid"
        pid_file.write_text(str(server.pid))
        spec = build(
            read_variables(
                {"bench_warmup_s": 0, "bench_measure_s": duration_s, "bench_drain_s": 0}
            ),
            run_id="benchmark",
            scenario=Scenario("probe", "probe", "what the probe costs"),
            topology=Topology(
                {"nats": [HOST], "consumers": [HOST]},
                server.url,
                server.monitoring_url,
                "ws://127.0.0.1:1",
            ),
            first_seq=1,
            t0_unix_ns=time.time_ns() + round(_LEAD_S * 1e9),
        )
        run_json = directory / "run.json"
        run_json.write_text(spec.to_json())
        with agents(directory):
            probe = psutil.Popen(
                [
                    *(SCRIPTS / "fpaas", "probe", "--run", run_json, "--out", directory),
                    *("--host", HOST, "--nats-pid-file", pid_file),
                ]
            )
            # Just before it ends: its processor time since it started, interpreter included.
            time.sleep(max(0.0, (spec.settled_unix_ns - time.time_ns()) / 1e9 - 0.2))
            times = probe.cpu_times()
            outside_cpu_s = times.user + times.system
            if probe.wait(timeout=60) != 0:
                raise RuntimeError(f"the probe failed: {(directory / 'probe.status.json')}")
        report: dict[str, Any] = json.loads((directory / "probe.json").read_text())
        final = json.loads((directory / "probe.final.json").read_text())
        if len(final["consumers"]) != consumers:
            raise RuntimeError(f"{len(final['consumers'])} of {consumers} consumers in snapshot")
    finally:
        server.stop()
    return {**report, "snapshot_s": final["took_ms"] / 1e3, "outside_cpu_s": outside_cpu_s}


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Measure the probe with scenario 1's, scenario 3's and the most consumers."""
    # Long enough that the exchanges before the run weigh little; the last has sweeps of 8 s.
    duration_s = 8.0 if quick else 30.0
    results: list[dict[str, Any]] = []
    for consumers in (100, 1000, 10_000):
        with tempfile.TemporaryDirectory() as directory:
            report = probe_once(Path(directory), consumers, duration_s)
        own = report["own"]
        label = f"{consumers} consumers"
        results += [
            _result(f"own CPU, {label}", own["cpu_pct_mean"], "% of a core", CPU_PCT_MAX),
            _result(f"own RSS, {label}", own["rss_mb_max"], "MB", RSS_MB_MAX),
            _result(f"final snapshot, {label}", report["snapshot_s"], "s", SNAPSHOT_S_MAX),
        ]
        missed = report["samples"]["missed"]
        results.append(_result(f"samples missed, {label}", missed, "of 1/s", 0))
        if consumers == 100:
            start_s = report["outside_cpu_s"] - own["cpu_s"]
            results += [
                _result("CPU time to start", start_s, "s", None),
                _result("bound of this host's clock", report["clock"]["bound_ms"], "ms", None),
            ]
    return results


def _result(name: str, value: float, unit: str, maximum: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "target": None if maximum is None else f"≤ {maximum:g}",
        "met": None if maximum is None else value <= maximum,
    }
