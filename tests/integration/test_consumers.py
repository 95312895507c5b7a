"""`fpaas consumers` against a real server: deliveries balance, and trouble is counted."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import pytest

from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsConnection
from fpaas.measures import delivery_log
from fpaas.measures.histograms import merge_logs
from fpaas.spec import STREAM_NAME, RunSpec
from tests.support.arming import arm_once_up
from tests.support.nats_headers import header_block
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.provisioning import provision, run_spec, stream_and_durables

pytestmark = pytest.mark.integration

PAYLOAD = b"\xa2" + b"x" * 5000
PARTITIONS = 4


def fill(url: str, messages: int) -> None:
    """Publish as the shuffler does."""

    async def publish() -> None:
        connection = NatsConnection(NatsAddress.parse(url), name="fill")
        await connection.connect()
        for seq in range(1, messages + 1):
            header = header_block([("Nats-Msg-Id", f"did:plc:a/{seq}"), ("Fpaas-Seq", f"{seq}")])
            subject = f"atproto.firehose.commit.{seq % PARTITIONS}.app.bsky.feed.like"
            sizes = f"{len(header)} {len(header) + len(PAYLOAD)}"
            line = f"HPUB {subject} {sizes}\r\n".encode()
            connection.write(line + header + PAYLOAD + b"\r\n")
        client = await nats.connect(url)
        stream = client.jetstream(timeout=PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            while (await stream.stream_info(STREAM_NAME)).state.messages < messages:
                await asyncio.sleep(0.02)
        await client.close()
        await connection.close()

    asyncio.run(publish())


class Agent:
    """A consumers agent as a process, with what it left."""

    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fpaas.cli", "consumers", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    @classmethod
    def of_run(cls, directory: Path, spec: RunSpec, *arguments: str) -> Agent:
        (directory / "run.json").write_text(spec.to_json())
        run = ["--run", str(directory / "run.json"), "--out", str(directory), "--host", "one"]
        return cls(directory, *run, "--metrics-listen", "", *arguments)

    def wait(self, timeout_s: float = 2 * PATIENCE_S) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, stderr

    def status(self) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            return _json(self.directory / "consumers.status.json")
        return {"state": "", "pids": [], "figures": {}}

    def until(
        self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = PATIENCE_S
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition(self.status()):
            assert time.monotonic() < deadline, self.status()
            time.sleep(0.02)

    def results(self, worker: int = 0) -> dict[str, Any]:
        return _json(self.directory / f"consumers-{worker}.json")

    def delivered(self, worker: int = 0) -> dict[int, list[int]]:
        """Stream sequences by consumer, in order of arrival."""
        path = self.directory / f"consumers-{worker}.deliveries.cbor.gz"
        return {
            consumer.consumer_index: [
                first + i for _, first, _, count in consumer.runs for i in range(count)
            ]
            for consumer in delivery_log.read(path)
        }


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture
def agents() -> Iterator[list[Agent]]:
    """Agents to be ended with the test."""
    started: list[Agent] = []
    yield started
    for agent in started:
        if agent.process.poll() is None:
            agent.process.terminate()
            agent.process.communicate(timeout=PATIENCE_S)


def start(agents: list[Agent], directory: Path, spec: RunSpec, *arguments: str) -> Agent:
    """Start an agent, and give it a T0 once it is up."""
    agent = Agent.of_run(directory, spec, *arguments)
    agents.append(agent)
    arm_once_up(directory / "run.json", "consumers", lead_s=1.5)
    return agent


def short(url: str, **values: object) -> RunSpec:
    defaults: dict[str, object] = {
        "bench_consumers": 10,
        "bench_poll_interval_s": 0.5,
        "bench_batch_size": 20,
        "bench_warmup_s": 0,
        "bench_measure_s": 3,
        "bench_drain_s": 0,
        "bench_workers": 1,
    }
    return run_spec(url, **(defaults | values))


def was_late(directory: Path) -> bool:
    """Whether this machine kept a worker waiting for a moment in which polls were due."""
    return (merge_logs([directory / "consumers-0.hlog"])["loop_lag"].max_us or 0) > 200_000


def test_fanout_every_consumer_gets_what_it_polled_for(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url)
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 1000)
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["state"] in ("ready", "running", "done"))
    agent.until(lambda status: status["state"] in ("running", "done"))

    code, stderr = agent.wait()

    assert code == 0, stderr
    results = agent.results()
    assert results["polls"] == results["fetches"]["pulls"]
    assert results["polls"] + results["fetches"]["unsent"] <= 60
    assert results["polls"] >= 50 or was_late(tmp_path)
    assert results["fetches"]["ok"] == results["polls"]
    assert results["processed"] == results["acks"] == 20 * results["polls"]
    assert results["bytes"] == results["processed"] * len(PAYLOAD)
    assert results["duplicate_deliveries"] == results["redelivered"] == 0
    assert results["connections"]["reconnects"] == 0
    # The server's own account is the same.
    _, durables = stream_and_durables(nats_server.url)
    assert {d.name: d.delivered.consumer_seq for d in durables if d.delivered} == {
        spec.durable_of(i): len(seqs) for i, seqs in agent.delivered().items()
    }
    assert sum(durable.num_ack_pending or 0 for durable in durables) == 0
    for seqs in agent.delivered().values():
        assert seqs == list(range(1, len(seqs) + 1))
    legs = merge_logs([tmp_path / "consumers-0.hlog"])
    assert legs["publish_to_fetch"].count == legs["end_to_end"].count == results["processed"]
    assert legs["fetch_call"].count == legs["fetch_call_intended"].count == results["polls"]
    assert legs["poll_lateness"].count == results["polls"]
    assert legs["loop_lag"].count > 20
    first_fetch = array(
        "I", gzip.decompress((tmp_path / "consumers-0.first_fetch.bin.gz").read_bytes())
    )
    furthest = max(max(seqs) for seqs in agent.delivered().values())
    assert all(first_fetch[:furthest])
    assert not any(first_fetch[furthest:])
    samples = (tmp_path / "consumers-0.samples.jsonl").read_text().splitlines()
    assert json.loads(samples[-1])["processed"] == results["processed"]
    assert agent.status()["state"] == "done"


def test_polls_end_and_the_agent_is_silent_before_the_run_has_settled(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url)
    assert provision(tmp_path, spec).returncode == 0
    agent = start(agents, tmp_path, spec)

    code, _ = agent.wait()

    assert code == 0
    spec = RunSpec.load(tmp_path / "run.json")
    assert agent.status()["unix_ns"] < spec.settled_unix_ns or was_late(tmp_path)
    assert agent.results()["fetches"]["empty"] > 0
    assert agent.results()["fetches"]["by_status"]["404"] == agent.results()["polls"]


def test_shared_delivers_each_message_once_over_all_workers(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url, bench_delivery="shared", bench_workers=2, bench_measure_s=8)
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 500)
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["state"] in ("ready", "running", "done"))
    assert len(agent.status()["pids"]) == 3

    code, stderr = agent.wait()

    assert code == 0, stderr
    delivered = [
        seq for worker in (0, 1) for seqs in agent.delivered(worker).values() for seq in seqs
    ]
    assert sorted(delivered) == list(range(1, 501))
    assert [agent.results(worker)["first"] for worker in (0, 1)] == [0, 5]
    assert agent.status()["figures"]["processed"] == 500


def test_partitioned_delivers_each_message_to_the_consumer_of_its_partition(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(
        nats_server.url,
        bench_delivery="partitioned",
        bench_consumers=PARTITIONS,
        bench_fetch="drain",
        bench_measure_s=6,
    )
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 400)
    agent = start(agents, tmp_path, spec)

    code, stderr = agent.wait()

    assert code == 0, stderr
    for consumer, seqs in agent.delivered().items():
        assert seqs == [seq for seq in range(1, 401) if seq % PARTITIONS == consumer]
    # Each of the first drains: 5 full pulls, and one that comes back empty.
    assert agent.results()["fetches"]["ok"] == PARTITIONS * 5
    assert agent.results()["fetches"]["pulls"] > agent.results()["polls"]


def test_big_batches_of_many_consumers_cut_no_connection(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    """50 pulls of 500 x 5 KB at once on one connection would be cut: 125 MB against 64 MiB."""
    spec = short(
        nats_server.url,
        bench_consumers=50,
        bench_batch_size=500,
        bench_poll_interval_s=0.5,
        bench_poll_jitter_pct=100,
        bench_measure_s=600,
    )
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 500)
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["figures"].get("processed", 0) >= 50 * 500)

    agent.process.terminate()
    code, stderr = agent.wait()

    assert code == 0, stderr
    assert agent.results()["connections"]["reconnects"] == 0
    assert agent.results()["fetches"]["lost"] == 0
    assert agent.results()["processed"] == 50 * 500
    with urllib.request.urlopen(f"{nats_server.monitoring_url}/varz", timeout=PATIENCE_S) as answer:
        assert json.load(answer)["slow_consumers"] == 0


def test_a_connection_each(nats_server: NatsServer, tmp_path: Path, agents: list[Agent]) -> None:
    spec = short(
        nats_server.url, bench_consumers=30, bench_connections="per_consumer", bench_measure_s=6
    )
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 100)
    agent = start(agents, tmp_path, spec)

    code, stderr = agent.wait()

    assert code == 0, stderr
    assert agent.results()["connections"]["count"] == 30
    assert agent.results()["consumers_never_fetched"] == 0


def test_a_durable_that_is_deleted_is_counted_by_reason_and_polled_on(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url, bench_consumers=2, bench_measure_s=600)
    assert provision(tmp_path, spec).returncode == 0
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["figures"].get("polls", 0) >= 2)

    async def delete() -> None:
        client = await nats.connect(nats_server.url)
        await client.jetstream(timeout=PATIENCE_S).delete_consumer(STREAM_NAME, "fpaas-00001")
        await client.close()

    asyncio.run(delete())
    agent.until(lambda _: agent.results()["fetches"]["refused"] >= 2)
    agent.process.terminate()
    code, stderr = agent.wait()

    assert code == 0, stderr
    fetches = agent.results()["fetches"]
    assert fetches["refused"] >= 2
    assert fetches["by_status"]["503"] == fetches["refused"]
    assert "503" in stderr


def test_a_server_that_crashes_is_reconnected_to(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url, bench_measure_s=600)
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 200)
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["figures"].get("processed", 0) > 0)

    nats_server.kill()
    time.sleep(1)
    nats_server.start()

    def is_made_again(_: dict[str, Any]) -> bool:
        url = f"{nats_server.monitoring_url}/jsz"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return bool(json.load(answer)["consumers"] == spec.consumers.count)

    # Its stream was in memory, and was made again, with the durables.
    agent.until(is_made_again)
    agent.until(lambda _: agent.results()["connections"]["reconnects"] > 0)
    agent.process.terminate()
    code, stderr = agent.wait()

    assert code == 0, stderr
    results = agent.results()
    assert results["connections"]["reconnects"] == results["connections"]["count"]
    assert results["processed"] > 0


def test_sigterm_ends_it_with_what_was_measured(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url, bench_measure_s=600, bench_workers=2)
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 100)
    agent = start(agents, tmp_path, spec)
    # More than one of both workers is owed.
    agent.until(lambda status: status["figures"].get("processed", 0) > 500)

    agent.process.terminate()
    code, stderr = agent.wait()

    assert code == 0, stderr
    assert agent.status()["state"] == "stopped"
    assert agent.results(0)["processed"] > 0
    assert agent.results(1)["processed"] > 0


def has_kept(directory: Path, worker: int) -> bool:
    """Whether a worker left what it had done by one of its seconds, if it is killed."""
    journal = directory / f"consumers-{worker}.deliveries.journal"
    with contextlib.suppress(OSError):
        return journal.stat().st_size > 0 and _json(directory / f"consumers-{worker}.json") != {}
    return False


def test_a_worker_that_dies_fails_the_agent_and_the_other_goes_on(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url, bench_workers=2, bench_measure_s=8)
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 100)
    agent = start(agents, tmp_path, spec)
    agent.until(lambda _: has_kept(tmp_path, 0))

    os.kill(agent.status()["pids"][1], signal.SIGKILL)
    code, stderr = agent.wait()

    assert code == 3
    assert "SIGKILL" in stderr
    assert agent.status()["state"] == "failed"
    # What it had done until a second ago is there.
    assert json.loads((tmp_path / "consumers-0.json").read_text())["complete"] is False
    assert (tmp_path / "consumers-0.deliveries.journal").stat().st_size > 0
    assert json.loads((tmp_path / "consumers-1.json").read_text())["complete"] is True
    assert not (tmp_path / "consumers-1.deliveries.journal").exists()
    assert agent.results(1)["polls"] >= 20


def test_a_worker_that_a_fault_ended_is_started_again(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    fault = {"do": "kill", "on": "worker:0", "at_s": 0}
    lasting = {"bench_measure_s": 60, "bench_ack_wait_s": 1, "bench_workers": 2}
    spec = short(nats_server.url, bench_faults=[fault], **lasting)
    assert provision(tmp_path, spec).returncode == 0
    fill(nats_server.url, 100)
    agent = start(agents, tmp_path, spec)
    agent.until(lambda _: has_kept(tmp_path, 0))
    killed = agent.status()["pids"][1]

    os.kill(killed, signal.SIGKILL)
    agent.until(lambda _: (tmp_path / "consumers-2.json").exists())
    assert agent.status()["pids"][1] != killed
    agent.process.terminate()
    code, stderr = agent.wait()

    assert code == 0, stderr
    first, second, third = (agent.results(worker) for worker in range(3))
    assert (third["first"], third["count"]) == (first["first"], first["count"])
    assert third["polls_from_unix_ns"] > second["started_unix_ns"]
    assert third["complete"] is True


def test_workers_do_not_outlive_their_agent(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url, bench_measure_s=600, bench_workers=2)
    assert provision(tmp_path, spec).returncode == 0
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["state"] in ("running", "done"))
    _, *workers = agent.status()["pids"]

    agent.process.kill()
    agent.process.communicate()

    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_full_disk_fails_the_agent_with_a_message(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    spec = short(nats_server.url)
    assert provision(tmp_path, spec).returncode == 0
    (tmp_path / "consumers-0.hlog").symlink_to("/dev/full")
    agent = start(agents, tmp_path, spec)

    code, stderr = agent.wait()

    assert code == 3
    assert "No space left on device" in stderr
    assert "Traceback" not in stderr
    assert agent.status()["state"] == "failed"


def test_nats_that_is_not_there_fails_the_agent(tmp_path: Path, agents: list[Agent]) -> None:
    spec = short(f"nats://127.0.0.1:{free_port()}")
    agent = start(agents, tmp_path, replace(spec, measure_s=60))

    code, stderr = agent.wait()

    assert code == 3
    assert "is nats-server running" in stderr
    assert agent.status()["state"] == "failed"


def test_on_its_own_it_brings_its_durables_and_takes_them_away(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    assert provision(tmp_path, short(nats_server.url, bench_consumers=2)).returncode == 0
    fill(nats_server.url, 300)
    port = free_port()
    listen = ("--metrics-listen", f"127.0.0.1:{port}", "--duration-s", "60", "--batch-size", "50")
    agent = Agent(
        tmp_path,
        *listen,
        NATS_URL=nats_server.url,
        CONSUMER_COUNT="5",
        POLL_INTERVAL_SECONDS="1",
    )
    agents.append(agent)

    deadline = time.monotonic() + PATIENCE_S
    text = ""
    while "fpaas_consumers_messages_processed_total 1500.0" not in text:
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(
                f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S
            ) as answer,
        ):
            text = answer.read().decode()
    assert "fpaas_consumers_consumers 5.0" in text
    assert len(stream_and_durables(nats_server.url)[1]) == 5
    assert agent.process.stderr is not None
    # It says so every few seconds, and ends after a minute.
    assert any("msg/s" in line for line in agent.process.stderr)
    agent.process.send_signal(signal.SIGINT)
    code, stderr = agent.wait()

    assert code == 0, stderr
    _, durables = stream_and_durables(nats_server.url)
    assert sorted(durable.name for durable in durables) == ["fpaas-00000", "fpaas-00001"]


def test_on_its_own_without_a_stream_it_says_so(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    agent = Agent(tmp_path, "--nats-url", nats_server.url, "--metrics-listen", "")
    agents.append(agent)

    code, stderr = agent.wait()

    assert code == 3
    assert f"there is no stream {STREAM_NAME}; create it: `fpaas plan " in stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--count", "0"], "--count"),
        (["--count", "-3"], "--count"),
        (["--poll-jitter-pct", "120"], "--poll-jitter-pct"),
        (["--delivery", "broadcast"], "--delivery"),
        (["--batch-size", "x"], "--batch-size"),
        (["--duration-s", "0"], "--duration-s"),
        (["--out", "."], "--run"),
        (["--nats-url", "http://127.0.0.1"], "http://127.0.0.1"),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str], named: str, tmp_path: Path, agents: list[Agent]
) -> None:
    agent = Agent(tmp_path, *arguments)
    agents.append(agent)

    code, stderr = agent.wait()

    assert code == 2, stderr
    assert named in stderr
    assert "Traceback" not in stderr


def test_an_unknown_host_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(short("nats://127.0.0.1:4222").to_json())
    run = ["--run", str(tmp_path / "run.json"), "--out", str(tmp_path), "--host", "two"]

    code, stderr = Agent(tmp_path, *run).wait()

    assert code == 2
    assert "'two'" in stderr


def test_a_metrics_port_in_use_is_named(
    nats_server: NatsServer, tmp_path: Path, agents: list[Agent]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        spec = short(nats_server.url)
        agent = start(agents, tmp_path, spec, "--metrics-listen", listen)
        code, stderr = agent.wait()

    assert code == 2
    assert listen in stderr
    assert agent.status()["state"] == "failed"


@pytest.mark.parametrize("fetch", ["once", "drain"])
def test_large_frames_neither_cut_connections_off_nor_stop_a_consumer(
    fetch: str, tmp_path: Path, nats_server: NatsServer, agents: list[Agent]
) -> None:
    # A batch of 100 of them is 90 MB, and the server cuts off at 64 MiB.
    messages, payload = 100, b"x" * 900_000
    spec = short(
        nats_server.url,
        bench_consumers=2,
        bench_batch_size=100,
        bench_fetch=fetch,
        bench_measure_s=600,
    )
    firehose = replace(spec.firehose, source="a.bin", frame_bytes_mean=float(len(payload)))
    spec = replace(spec, firehose=firehose)
    assert provision(tmp_path, spec).returncode == 0

    async def publish() -> None:
        connection = await nats.connect(nats_server.url)
        stream = connection.jetstream(timeout=PATIENCE_S)
        for seq in range(messages):
            await stream.publish(f"atproto.firehose.commit.{seq % PARTITIONS}.a", payload)
        await connection.close()

    asyncio.run(publish())
    agent = start(agents, tmp_path, spec)
    agent.until(lambda status: status["figures"].get("processed", 0) >= 2 * messages)
    agent.process.terminate()
    code, said = agent.wait()
    assert code == 0, said
    results = agent.results()
    assert results["connections"]["slow_consumer_disconnects"] == 0
    assert results["connections"]["reconnects"] == 0
    assert results["fetches"]["lost"] == results["fetches"]["refused"] == 0
    assert results["fetches"]["by_status"]["409:Message Size Exceeds MaxBytes"] > 0
    assert agent.delivered() == {one: list(range(1, messages + 1)) for one in range(2)}
