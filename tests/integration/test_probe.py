"""The probe in a process of its own, against a real nats-server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from fpaas.spec import STREAM_NAME, RunSpec, Scenario, Topology, build, read_variables
from tests.support.checkout import SCRIPTS
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

HOST = "localhost"
MESSAGES = 50
CONSUMERS = 3
PENDING_UNACKED = 10
#: Uses a good part of a core, not all of what the tests beside it need.
BURNER = "import time\nwhile True: sum(range(10**6)); time.sleep(0.05)"
#: A busy machine takes seconds to end a process.
ENDS_WITHIN_S = PATIENCE_S


def make_spec(
    nats_url: str,
    monitoring_url: str,
    *,
    measure_s: float = 2,
    lead_s: float = 3,
    groups: dict[str, list[str]] | None = None,
) -> RunSpec:
    values = {"bench_warmup_s": 0, "bench_measure_s": measure_s, "bench_drain_s": 0}
    return build(
        read_variables(values),
        run_id="test",
        scenario=Scenario("test", "test", "test the probe"),
        topology=Topology(
            groups or {"nats": [HOST], "consumers": [HOST]},
            nats_url,
            monitoring_url,
            "ws://127.0.0.1:1",
        ),
        first_seq=1,
        t0_unix_ns=time.time_ns() + round(lead_s * 1e9),
    )


async def provision(url: str, consumers: int = CONSUMERS) -> None:
    client = await nats.connect(url)
    stream = client.jetstream(timeout=PATIENCE_S)
    await stream.add_stream(
        StreamConfig(
            name=STREAM_NAME,
            subjects=["atproto.firehose.>"],
            storage=StorageType.MEMORY,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_consumers=consumers + 100,
        )
    )

    async def add(index: int) -> None:
        durable = f"fpaas-{index:05d}"
        config = ConsumerConfig(
            durable_name=durable, ack_policy=AckPolicy.EXPLICIT, mem_storage=True
        )
        await stream.add_consumer(STREAM_NAME, config)

    for first in range(0, consumers, 200):
        await asyncio.gather(*(add(i) for i in range(first, min(first + 200, consumers))))
    for number in range(MESSAGES):
        await stream.publish("atproto.firehose.commit.0._", b"%d" % number)
    subscription = await stream.pull_subscribe_bind("fpaas-00000", STREAM_NAME)
    await subscription.fetch(PENDING_UNACKED, timeout=PATIENCE_S)
    await client.close()


async def streams(url: str) -> list[str]:
    client = await nats.connect(url)
    names = [
        info.config.name or "" for info in await client.jetstream(timeout=PATIENCE_S).streams_info()
    ]
    await client.close()
    return names


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


@pytest.fixture
def start_probe(run_directory: Path) -> Iterator[Start]:
    started = []

    def start(spec: RunSpec, *arguments: str, host: str = HOST) -> subprocess.Popen[str]:
        (run_directory / "run.json").write_text(spec.to_json())
        process = subprocess.Popen(
            [
                *(str(SCRIPTS / "fpaas"), "probe", "--run", str(run_directory / "run.json")),
                *("--out", str(run_directory), "--host", host, *arguments),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def status(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "probe.status.json").read_bytes())
    return content


def wait_for(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def has_lines(path: Path, count: int) -> Callable[[], bool]:
    return lambda: path.exists() and len(path.read_text().splitlines()) >= count


def test_a_whole_run_is_sampled(
    nats_server: NatsServer, run_directory: Path, start_probe: Start, tmp_path: Path
) -> None:
    asyncio.run(provision(nats_server.url))
    pid_file = tmp_path / "nats.pid"
    pid_file.write_text(f"{nats_server.pid}\n")
    burner = subprocess.Popen([sys.executable, "-c", BURNER])
    try:
        (run_directory / "consumers.status.json").write_text(
            json.dumps(
                {
                    "agent": "consumers",
                    "state": "running",
                    "pid": burner.pid,
                    # 2**22 is above every pid: a process that is gone.
                    "pids": [burner.pid, 2**22],
                    "unix_ns": time.time_ns() + 10**9,
                }
            )
        )
        (run_directory / "relay.status.json").write_text("{torn")
        # So long before T0 that a busy machine has made the exchanges that come before it.
        # The window has room for several exchanges of the probe's 5 s.
        spec = make_spec(nats_server.url, nats_server.monitoring_url, lead_s=8, measure_s=8)
        began = time.time_ns()
        probe = start_probe(spec, "--nats-pid-file", str(pid_file))
        assert probe.wait(timeout=2 * PATIENCE_S) == 0, probe.stderr and probe.stderr.read()
        ended = time.time_ns()
    finally:
        burner.kill()
        burner.wait()

    assert ended >= spec.settled_unix_ns
    assert ended < spec.settled_unix_ns + ENDS_WITHIN_S * 1e9
    assert status(run_directory)["state"] == "done"

    report = json.loads((run_directory / "probe.json").read_text())
    assert report["problems"] == []
    assert report["cpu_count"] == os.cpu_count()
    assert report["own"]["rss_mb_max"] < 45
    assert report["samples"]["taken"] + report["samples"]["missed"] >= 4

    host = lines(run_directory / "probe.host.jsonl")
    assert len(host) == report["samples"]["taken"]
    assert all(0 < line["cpu_pct"] <= 100 and line["mem_mb"] > 0 for line in host)
    assert host[-1]["loopback_bytes"] > host[0]["loopback_bytes"]

    processes = lines(run_directory / "probe.processes.jsonl")
    by_name = {line["process"]: line for line in processes}
    assert set(by_name) == {"nats", "probe", "consumers"}
    assert by_name["nats"]["pid"] == nats_server.pid
    assert by_name["nats"]["rss_mb"] > 5
    assert by_name["consumers"]["pid"] == burner.pid
    assert max(line["cpu_pct"] or 0 for line in processes if line["pid"] == burner.pid) > 3
    assert by_name["probe"]["fds"] > 3

    samples = lines(run_directory / "probe.nats.jsonl")
    assert all(began < line["unix_ns"] < ended and "error" not in line for line in samples[1:])
    last = samples[-1]
    assert last["varz"]["version"].startswith("2.")
    assert last["stream"]["messages"] == MESSAGES
    assert last["connz"]["count"] >= 1
    assert last["lag"]["consumers"] == CONSUMERS
    assert last["lag"]["max"] == MESSAGES
    assert last["lag"]["sum"] == CONSUMERS * MESSAGES - PENDING_UNACKED
    assert last["ack_pending"] == PENDING_UNACKED

    final = json.loads((run_directory / "probe.final.json").read_text())
    assert final["unix_ns"] >= spec.settled_unix_ns
    assert final["stream_before"] == final["stream_after"]
    assert final["stream_after"]["last_seq"] == MESSAGES
    assert final["server"]["server_id"] == last["varz"]["server_id"]
    assert [consumer["name"] for consumer in final["consumers"]] == [
        f"fpaas-{index:05d}" for index in range(CONSUMERS)
    ]
    assert final["consumers"][0]["delivered_stream_seq"] == PENDING_UNACKED
    assert final["consumers"][0]["num_ack_pending"] == PENDING_UNACKED
    assert final["consumers"][1]["num_pending"] == MESSAGES

    exchanges = lines(run_directory / "probe.clock.jsonl")
    # A probe that got no processor meanwhile says so.
    missed = {"during"} if report["samples"]["missed"] else set()
    assert {line["phase"] for line in exchanges} | missed == {"before", "during", "after"}
    # One host, one clock: the truth is 0, and every exchange must allow it.
    assert all(line["offset_low_ns"] <= 0 <= line["offset_high_ns"] for line in exchanges)
    assert 0 < report["clock"]["bound_ms"] < 5
    assert not report["clock"]["stepped"]
    assert asyncio.run(streams(nats_server.url)) == [STREAM_NAME]


def test_sigterm_takes_the_final_snapshot_at_once(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    asyncio.run(provision(nats_server.url))
    spec = make_spec(nats_server.url, nats_server.monitoring_url, measure_s=600)
    probe = start_probe(spec)
    wait_for(has_lines(run_directory / "probe.host.jsonl", 2))
    probe.send_signal(signal.SIGTERM)
    assert probe.wait(timeout=2 * PATIENCE_S) == 0
    assert status(run_directory)["state"] == "stopped"
    final = json.loads((run_directory / "probe.final.json").read_text())
    assert len(final["consumers"]) == CONSUMERS
    assert (run_directory / "probe.json").exists()
    assert asyncio.run(streams(nats_server.url)) == [STREAM_NAME]


def test_silence_of_nats_is_an_error_and_not_zeros(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    asyncio.run(provision(nats_server.url))
    spec = make_spec(nats_server.url, nats_server.monitoring_url, measure_s=600)
    probe = start_probe(spec)
    wait_for(has_lines(run_directory / "probe.nats.jsonl", 1))
    os.kill(nats_server.pid, signal.SIGSTOP)
    try:
        wait_for(has_lines(run_directory / "probe.nats.jsonl", 3))
        probe.send_signal(signal.SIGTERM)
        assert probe.wait(timeout=2 * PATIENCE_S) == 0
    finally:
        os.kill(nats_server.pid, signal.SIGCONT)
    silences = lines(run_directory / "probe.nats.jsonl")[1:]
    for silent in silences:
        assert "timed out" in silent["error"]
        assert silent.keys() == {"unix_ns", "took_ms", "error"}
    # The host was sampled meanwhile, every second unless the machine is busy.
    assert [
        line["unix_ns"]
        for line in lines(run_directory / "probe.host.jsonl")
        for silent in silences
        if 0 < line["unix_ns"] - silent["unix_ns"] < silent["took_ms"] * 1e6
    ]
    assert not (run_directory / "probe.final.json").exists()
    assert "no final snapshot" in status(run_directory)["message"]


def test_without_nats_the_host_is_sampled_and_the_run_is_invalid(
    run_directory: Path, start_probe: Start
) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    spec = make_spec(url, f"http://127.0.0.1:{free_port()}", measure_s=1, lead_s=5)
    probe = start_probe(spec)
    assert probe.wait(timeout=2 * PATIENCE_S) == 3
    assert probe.stderr is not None
    assert "no final snapshot of NATS" in probe.stderr.read()
    assert status(run_directory)["state"] == "failed"
    assert len(lines(run_directory / "probe.host.jsonl")) >= 3
    assert all("refused" in line["error"] for line in lines(run_directory / "probe.nats.jsonl"))
    report = json.loads((run_directory / "probe.json").read_text())
    assert report["clock"] is None


def test_a_restarted_server_is_seen_and_the_clock_goes_on(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    asyncio.run(provision(nats_server.url))
    spec = make_spec(nats_server.url, nats_server.monitoring_url, measure_s=600)
    probe = start_probe(spec)
    wait_for(has_lines(run_directory / "probe.clock.jsonl", 20))
    nats_server.kill()
    nats_server.start()
    asyncio.run(provision(nats_server.url))
    wait_for(has_lines(run_directory / "probe.clock.jsonl", 21))
    wait_for(has_lines(run_directory / "probe.nats.jsonl", 2))
    probe.send_signal(signal.SIGTERM)
    assert probe.wait(timeout=2 * PATIENCE_S) == 0
    samples = lines(run_directory / "probe.nats.jsonl")
    final = json.loads((run_directory / "probe.final.json").read_text())
    assert final["server"]["server_id"] != samples[0]["varz"]["server_id"]
    assert asyncio.run(streams(nats_server.url)) == [STREAM_NAME]


def test_a_disk_that_stays_full_costs_the_lines_and_is_said(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    asyncio.run(provision(nats_server.url))
    (run_directory / "probe.host.jsonl").symlink_to("/dev/full")
    probe = start_probe(make_spec(nats_server.url, nats_server.monitoring_url, measure_s=1))
    _, error = probe.communicate(timeout=2 * PATIENCE_S)
    assert probe.returncode == 3
    assert re.search(
        r"No space left on device; \d+ lines of it are missing; free space and run again", error
    )
    assert status(run_directory)["state"] == "failed"
    assert lines(run_directory / "probe.processes.jsonl")


def test_another_host_samples_no_nats_but_its_clock(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    groups = {"nats": ["nats-1"], "consumers": ["consumers-1"]}
    spec = make_spec(
        nats_server.url, nats_server.monitoring_url, groups=groups, measure_s=1, lead_s=5
    )
    probe = start_probe(spec, host="consumers-1")
    assert probe.wait(timeout=2 * PATIENCE_S) == 0
    assert not (run_directory / "probe.nats.jsonl").exists()
    assert not (run_directory / "probe.final.json").exists()
    assert json.loads((run_directory / "probe.json").read_text())["clock"]["bound_ms"] < 5


def test_ten_thousand_consumers_are_snapshot_in_seconds(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    consumers = 10_000
    asyncio.run(provision(nats_server.url, consumers))
    spec = make_spec(nats_server.url, nats_server.monitoring_url, measure_s=1)
    probe = start_probe(spec)
    assert probe.wait(timeout=2 * PATIENCE_S) == 0
    final = json.loads((run_directory / "probe.final.json").read_text())
    assert len({consumer["name"] for consumer in final["consumers"]}) == consumers
    # A second on a quiet machine; one by one, it would be minutes.
    assert final["took_ms"] < 30_000


def test_lag_of_many_consumers_is_swept_page_by_page(
    nats_server: NatsServer, run_directory: Path, start_probe: Start
) -> None:
    consumers = 1500
    asyncio.run(provision(nats_server.url, consumers))
    spec = make_spec(nats_server.url, nats_server.monitoring_url, measure_s=12)
    probe = start_probe(spec)
    assert probe.wait(timeout=2 * PATIENCE_S) == 0
    lags = [line["lag"] for line in lines(run_directory / "probe.nats.jsonl") if "lag" in line]
    assert lags
    assert lags[0]["consumers"] == consumers
    assert lags[0]["sum"] == consumers * MESSAGES - PENDING_UNACKED
    assert lags[0]["took_ms"] > 1000


@pytest.mark.parametrize(
    ("arguments", "host", "expected"),
    [
        ([], "elsewhere", "there are localhost"),
        (["--nats-monitoring-url", "ftp://x"], HOST, "is not a monitoring URL"),
        (["--nats-url", "http://x"], HOST, "is no NATS URL"),
    ],
)
def test_bad_arguments_are_refused(
    start_probe: Start, arguments: list[str], host: str, expected: str
) -> None:
    spec = make_spec("nats://127.0.0.1:1", "http://127.0.0.1:1")
    probe = start_probe(spec, *arguments, host=host)
    _, error = probe.communicate(timeout=PATIENCE_S)
    assert probe.returncode == 2
    assert expected in error
