"""Provisions a server for a run, and reads back what it then has."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import nats
from nats.js.api import ConsumerInfo, StreamInfo

from fpaas.spec import STREAM_NAME, RunSpec, Topology, build, read_variables
from tests.support.patience import PATIENCE_S
from tests.support.run_specs import SCENARIO


def run_spec(url: str, **values: object) -> RunSpec:
    topology = Topology(
        hosts={"consumers": ["one"], "nats": ["one"], "relay": ["one"], "shuffler": ["one"]},
        nats_url=url,
        nats_monitoring_url="http://127.0.0.1:8222",
        relay_url="ws://127.0.0.1:2480",
    )
    return build(
        read_variables(values),
        run_id="20260101T000000Z-test",
        scenario=SCENARIO,
        topology=topology,
        first_seq=1,
    )


def provision(path: Path, spec: RunSpec, *arguments: str) -> subprocess.CompletedProcess[str]:
    run_json = path / "run.json"
    run_json.write_text(spec.to_json())
    return subprocess.run(
        [sys.executable, "-m", "fpaas.cli", "provision", "--run", str(run_json), *arguments],
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_S,
        check=False,
    )


def stream_and_durables(url: str) -> tuple[StreamInfo, list[ConsumerInfo]]:
    async def read() -> tuple[StreamInfo, list[ConsumerInfo]]:
        client = await nats.connect(url.split(","))
        context = client.jetstream(timeout=PATIENCE_S)
        try:
            return (
                await context.stream_info(STREAM_NAME),
                await context.consumers_info(STREAM_NAME),
            )
        finally:
            await client.close()

    return asyncio.run(read())
