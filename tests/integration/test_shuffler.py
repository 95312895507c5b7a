"""The shuffler against a real nats-server and the real relay, through crashes of either."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
import urllib.request
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import RawStreamMsg, StorageType, StreamConfig

from fpaas import spec as specs
from fpaas.errors import BadInput
from fpaas.firehose.frames import Event, decode
from fpaas.firehose.relay_client import subscription_url
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.measures.histograms import merge_logs
from fpaas.shuffler.cursor_places import CursorBucket
from fpaas.shuffler.subjects import Addresser
from fpaas.spec import RunSpec
from tests.support.arming import arm_once_up
from tests.support.checkout import SCRIPTS
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

RATE_PER_S = 400.0
#: The synthetic source's.
FIRST_SEQ = 1
#: From the agents' start to T0: they connect meanwhile.
LEAD_S = 2
#: Long enough for somebody who is killed and comes back.
LONG = {"bench_measure_s": 10, "bench_firehose_rate_per_s": 120.0, "bench_drain_s": 3}


class Processes:
    """Commands of this test, ended with it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        name = f"{len(self._processes)}-{arguments[0]}.log"
        process = subprocess.Popen(
            [SCRIPTS / "fpaas", *map(str, arguments)],
            stderr=(self._directory / name).open("wb"),
        )
        self._processes.append(process)
        return process

    def log(self, number: int) -> str:
        (path,) = self._directory.glob(f"{number}-*.log")
        return path.read_text()

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path)
    yield started
    started.end()


def create_stream(url: str, storage: StorageType = StorageType.MEMORY) -> None:
    async def create() -> None:
        connection = await nats.connect(url)
        config = StreamConfig(
            name=specs.STREAM_NAME,
            subjects=[f"{specs.SUBJECT_ROOT}.>"],
            storage=storage,
            duplicate_window=120,
        )
        await connection.jetstream(timeout=PATIENCE_S).add_stream(config)
        await connection.close()

    asyncio.run(create())


def stored(url: str) -> list[RawStreamMsg]:
    async def read() -> list[RawStreamMsg]:
        connection = await nats.connect(url)
        context = connection.jetstream(timeout=PATIENCE_S)
        state = (await context.stream_info(specs.STREAM_NAME)).state
        messages = [
            await context.get_msg(specs.STREAM_NAME, seq)
            for seq in range(state.first_seq, state.last_seq + 1)
        ]
        await connection.close()
        return messages

    return asyncio.run(read())


def stored_count(url: str) -> int:
    async def read() -> int:
        connection = await nats.connect(url)
        info = await connection.jetstream(timeout=PATIENCE_S).stream_info(specs.STREAM_NAME)
        await connection.close()
        return info.state.messages

    return asyncio.run(read())


def stored_more_than(url: str, count: int) -> bool:
    return stored_count(url) > count


def wait_for(true: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Run:
    """A run directory with its run.json, which gets its T0 once agents are up."""

    def __init__(self, directory: Path, server: NatsServer, **variables: object) -> None:
        self.directory = directory / "run"
        self.directory.mkdir()
        self.relay_port = free_port()
        self.metrics_port = free_port()
        values = specs.read_variables(
            {
                "bench_consumers": 8,
                "bench_warmup_s": 0,
                "bench_measure_s": 3,
                "bench_drain_s": 10,
                "bench_firehose_rate_per_s": RATE_PER_S,
                **variables,
            }
        )
        self.spec: RunSpec = specs.build(
            values,
            run_id="test",
            scenario=specs.Scenario("test", "test", "test"),
            topology=specs.Topology(
                {"consumers": ["localhost"]},
                server.url,
                server.monitoring_url,
                f"ws://127.0.0.1:{self.relay_port}",
            ),
            first_seq=FIRST_SEQ,
        )
        self.path = self.directory / "run.json"
        self.path.write_text(self.spec.to_json())

    def start(
        self, processes: Processes, lead_s: float = LEAD_S
    ) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
        """Start relay and shuffler, and set T0."""
        started = self.start_relay(processes), self.start_shuffler(processes)
        self.arm("relay", "shuffler", lead_s=lead_s)
        return started

    def arm(self, *agents: str, lead_s: float = LEAD_S) -> None:
        self.spec = arm_once_up(self.path, *agents, lead_s=lead_s)

    def start_relay(self, processes: Processes) -> subprocess.Popen[bytes]:
        listen = f"127.0.0.1:{self.relay_port}"
        return processes.start(
            "relay", "--run", self.path, "--out", self.directory, "--listen", listen
        )

    def start_shuffler(self, processes: Processes) -> subprocess.Popen[bytes]:
        listen = f"127.0.0.1:{self.metrics_port}"
        return processes.start(
            "shuffler", "--run", self.path, "--out", self.directory, "--metrics-listen", listen
        )

    def status(self) -> dict[str, Any]:
        path = self.directory / "shuffler.status.json"
        return dict(json.loads(path.read_text())) if path.exists() else {"state": None}

    def account(self) -> dict[str, Any]:
        return dict(json.loads((self.directory / "shuffler.json").read_text()))

    def wait_until_published(self, count: int) -> None:
        wait_for(lambda: self.status().get("figures", {}).get("published", 0) >= count)


def seqs(intervals: list[list[int]]) -> set[int]:
    return {seq for first, last in intervals for seq in range(first, last + 1)}


def assert_balanced(account: dict[str, Any]) -> None:
    outcomes = [seqs(account[name]) for name in ("published", "duplicates", "failed", "unknown")]
    assert sum(map(len, outcomes)) == len(set().union(*outcomes)) == len(seqs(account["read"]))
    assert set().union(*outcomes) == seqs(account["read"])
    assert sum(account["failures_by_reason"].values()) == len(seqs(account["failed"]))


def test_a_run(tmp_path: Path, nats_server: NatsServer, processes: Processes) -> None:
    create_stream(nats_server.url)
    run = Run(tmp_path, nats_server, bench_delivery="partitioned")
    # Time to look at it before it is over.
    relay, shuffler = run.start(processes, lead_s=10)
    wait_for(lambda: run.status()["state"] in ("ready", "running"))
    url = f"http://127.0.0.1:{run.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
        metrics = response.read().decode()
    assert 'fpaas_shuffler_publishes_total{outcome="published"}' in metrics
    assert "fpaas_shuffler_publish_ack_seconds_bucket" in metrics
    assert shuffler.wait(timeout=2 * PATIENCE_S) == 0
    assert run.status()["state"] == "done"

    account = run.account()
    due = run.spec.frames_due()
    assert due is not None
    last_seq = due
    assert account["read"] == account["published"] == [[FIRST_SEQ, last_seq]]
    assert account["duplicates"] == account["failed"] == account["unknown"] == []
    # Not all need be in the relay's order, but those of each DID.
    places = {at + n: seq + n for seq, at, count in account["stream_seqs"] for n in range(count)}
    assert sorted(places) == list(range(1, due + 1))
    assert sorted(places.values()) == list(range(FIRST_SEQ, last_seq + 1))
    assert account["last_cursor"] == last_seq
    sizes = account["message_bytes"].values()
    assert sum(sum(by_size.values()) for by_size in sizes) == due

    messages = stored(nats_server.url)
    addresser = Addresser(run.spec.consumers.partitions)
    dids = array("I", (run.directory / "shuffler.dids.bin").read_bytes())
    assert len(messages) == len(dids) == due
    for stream_seq, message in enumerate(messages, 1):
        assert message.data is not None
        event = decode(message.data)
        assert isinstance(event, Event)
        address = addresser.address(event)
        assert message.subject == address.subject.decode()
        headers = dict(message.headers or {})
        # Of a message that was written ahead of its turn.
        expected = headers.pop("Nats-Expected-Last-Sequence", None)
        assert expected in (None, str(stream_seq - 1))
        assert headers == {
            "Fpaas-Shuffler": account["writer"],
            "Nats-Msg-Id": address.header.split(b"\r\n")[1].removeprefix(b"Nats-Msg-Id: ").decode(),
            "Fpaas-Seq": str(places[stream_seq]),
        }
        assert event.seq == places[stream_seq]
        assert dids[stream_seq - 1] == address.did_crc

    samples = (run.directory / "shuffler.samples.jsonl").read_text().splitlines()
    assert json.loads(samples[-1])["published"] == due
    legs = merge_logs([run.directory / "shuffler.hlog"])
    for leg in ("due_to_read", "publish_ack", "due_to_ack"):
        assert legs[leg].count == due
    assert legs["loop_lag"].count
    relay.send_signal(signal.SIGTERM)
    relay.wait(timeout=PATIENCE_S)


def test_nats_crashes_and_comes_back(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    """A stream on disk survives a SIGKILL: every publish in flight then is settled."""
    create_stream(nats_server.url, StorageType.FILE)
    run = Run(tmp_path, nats_server, **LONG)
    _, shuffler = run.start(processes)
    run.wait_until_published(100)
    nats_server.kill()
    time.sleep(1)
    nats_server.start()
    assert shuffler.wait(timeout=2 * PATIENCE_S) == 0
    account = run.account()
    assert_balanced(account)
    assert len(seqs(account["read"])) == run.spec.frames_due()
    assert account["failed"] == account["unknown"] == account["duplicates"] == []
    assert stored_count(nats_server.url) == run.spec.frames_due()
    assert account["nats_connections"]["reconnects"] == 1


def test_stream_is_gone_after_a_restart(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    run = Run(tmp_path, nats_server, **LONG)
    _, shuffler = run.start(processes)
    run.wait_until_published(100)
    nats_server.kill()
    nats_server.start()
    assert shuffler.wait(timeout=2 * PATIENCE_S) == 0
    account = run.account()
    assert_balanced(account)
    # It is made again, as the run asked for it, and filled: nobody says what consumers have.
    everything = set(range(1, 1 + (run.spec.frames_due() or 0)))
    assert seqs(account["published"]) == everything
    assert stored_count(nats_server.url) == len(everything)
    (lost,) = account["lost_streams"]
    assert lost["rewound_to_seq"] == 1
    assert account["stream_began_anew"] is False


def test_nats_hangs_and_memory_stays_bounded(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    run = Run(tmp_path, nats_server, bench_measure_s=4, bench_firehose_rate_per_s=4000)
    _, shuffler = run.start(processes)
    run.wait_until_published(100)
    nats_process = nats_server.pid
    subprocess.run(["kill", "-STOP", str(nats_process)], check=True)
    time.sleep(2)
    subprocess.run(["kill", "-CONT", str(nats_process)], check=True)
    assert shuffler.wait(timeout=2 * PATIENCE_S) == 0
    account = run.account()
    assert account["published"] == account["read"] == [[1, 16_000]]
    assert account["stored_twice"] == 0
    assert stored_count(nats_server.url) == 16_000


def test_relay_crashes_and_comes_back(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    run = Run(tmp_path, nats_server, **LONG)
    relay, shuffler = run.start(processes)
    run.wait_until_published(100)
    relay.kill()
    relay.wait()
    run.start_relay(processes)
    assert shuffler.wait(timeout=2 * PATIENCE_S) == 0
    account = run.account()
    assert account["published"] == account["read"] == [[1, 1200]]
    assert account["relay_connections"]["connects"] == 2
    assert stored_count(nats_server.url) == 1200


def test_second_run_over_the_same_frames_finds_duplicates(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    for number in (1, 2):
        directory = tmp_path / str(number)
        directory.mkdir()
        run = Run(directory, nats_server, bench_measure_s=1)
        relay, shuffler = run.start(processes)
        assert shuffler.wait(timeout=2 * PATIENCE_S) == 0
        relay.kill()
    account = run.account()
    assert_balanced(account)
    assert account["duplicates"] == account["read"] == [[1, 400]]
    assert account["published"] == []
    assert stored_count(nats_server.url) == 400


def test_sigterm_writes_what_there_is(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    run = Run(tmp_path, nats_server, bench_measure_s=60)
    _, shuffler = run.start(processes)
    run.wait_until_published(100)
    shuffler.send_signal(signal.SIGTERM)
    assert shuffler.wait(timeout=PATIENCE_S) == 0
    assert run.status()["state"] == "stopped"
    account = run.account()
    assert_balanced(account)
    assert account["published"] == account["read"]
    assert stored_count(nats_server.url) == len(seqs(account["published"])) > 0


def test_relay_never_there_ends_the_run_as_invalid(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    run = Run(tmp_path, nats_server, bench_measure_s=1, bench_drain_s=0)
    shuffler = run.start_shuffler(processes)
    run.arm("shuffler")
    assert shuffler.wait(timeout=2 * PATIENCE_S) == 3
    status = run.status()
    assert status["state"] == "failed"
    assert f"127.0.0.1:{run.relay_port}" in status["message"]
    assert run.account()["read"] == []


def test_without_a_run_it_keeps_its_cursor(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    port = free_port()
    relay_url = f"ws://127.0.0.1:{port}"
    processes.start("relay", "--rate-per-s", "500", "--listen", f"127.0.0.1:{port}")
    time.sleep(1.5)
    cursor_file = tmp_path / "cursor.json"
    arguments = ("shuffler", "--relay", relay_url, "--nats-url", nats_server.url)
    more = ("--cursor-file", cursor_file, "--metrics-listen", "127.0.0.1:0")
    first_count = 0
    for _ in range(2):
        shuffler = processes.start(*arguments, *more)
        enough = stored_count(nats_server.url) + 100
        wait_for(partial(stored_more_than, nats_server.url, enough))
        shuffler.send_signal(signal.SIGTERM)
        assert shuffler.wait(timeout=PATIENCE_S) == 0
        first_count = first_count or stored_count(nats_server.url)
        time.sleep(0.5)
    found = [int((message.headers or {})["Fpaas-Seq"]) for message in stored(nats_server.url)]
    assert len(found) > first_count
    # Not all need be in the relay's order, but those of each DID.
    assert sorted(found) == list(range(min(found), min(found) + len(found)))
    assert json.loads(cursor_file.read_text())["cursor"] == max(found)


def test_without_a_run_a_kill_at_the_first_event_loses_nothing(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    create_stream(nats_server.url)
    port = free_port()
    relay_url = f"ws://127.0.0.1:{port}"
    processes.start("relay", "--rate-per-s", "200", "--listen", f"127.0.0.1:{port}")
    time.sleep(1.5)
    cursor_file = tmp_path / "cursor.json"
    arguments = ("shuffler", "--relay", relay_url, "--nats-url", nats_server.url)
    more = ("--cursor-file", cursor_file, "--metrics-listen", "127.0.0.1:0")
    shuffler = processes.start(*arguments, *more)
    wait_for(cursor_file.exists)
    shuffler.kill()
    shuffler.wait()
    first = json.loads(cursor_file.read_text())["cursor"] + 1
    shuffler = processes.start(*arguments, *more)
    wait_for(partial(stored_more_than, nats_server.url, 200))
    shuffler.send_signal(signal.SIGTERM)
    assert shuffler.wait(timeout=PATIENCE_S) == 0
    found = [int((message.headers or {})["Fpaas-Seq"]) for message in stored(nats_server.url)]
    assert sorted(found) == list(range(first, first + len(found)))


def test_a_cursor_in_nats_outlives_a_kill(nats_server: NatsServer, processes: Processes) -> None:
    create_stream(nats_server.url)
    port = free_port()
    relay_url = f"ws://127.0.0.1:{port}"
    processes.start("relay", "--rate-per-s", "500", "--listen", f"127.0.0.1:{port}")
    time.sleep(0.7)
    arguments = ("shuffler", "--relay", relay_url, "--nats-url", nats_server.url)
    more = ("--cursor-kv", "place", "--metrics-listen", "127.0.0.1:0")

    def place(url: str) -> CursorBucket:
        return CursorBucket("place", url, NatsAddress.parse(nats_server.url))

    async def saved() -> int | None:
        return await place(subscription_url(relay_url)).load()

    shuffler = processes.start(*arguments, *more)
    wait_for(lambda: asyncio.run(saved()) is not None)
    shuffler.kill()
    shuffler.wait()
    cursor = asyncio.run(saved())
    shuffler = processes.start(*arguments, *more)
    wait_for(partial(stored_more_than, nats_server.url, 200))
    shuffler.send_signal(signal.SIGTERM)
    assert shuffler.wait(timeout=PATIENCE_S) == 0
    found = [int((message.headers or {})["Fpaas-Seq"]) for message in stored(nats_server.url)]
    assert cursor is not None
    # Whatever the first had published beyond its cursor was published again, and is there once.
    assert min(found) <= cursor + 1
    assert sorted(found) == list(range(min(found), min(found) + len(found)))
    assert asyncio.run(saved()) == max(found)
    with pytest.raises(BadInput, match="is the cursor of"):
        asyncio.run(place("ws://other.test").load())


def test_without_a_stream_it_waits_for_one(
    tmp_path: Path, nats_server: NatsServer, processes: Processes
) -> None:
    port, metrics_port = free_port(), free_port()

    def counted(name: str) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0
        return float(next((line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)), 0))

    read = "fpaas_shuffler_frames_read_total"
    processes.start("relay", "--rate-per-s", "500", "--listen", f"127.0.0.1:{port}")
    time.sleep(1)
    cursor = ("--cursor-file", tmp_path / "cursor.json")
    relay = ("--relay", f"ws://127.0.0.1:{port}", "--nats-url", nats_server.url)
    metrics_listen = f"127.0.0.1:{metrics_port}"
    shuffler = processes.start("shuffler", *relay, *cursor, "--metrics-listen", metrics_listen)
    wait_for(lambda: counted("fpaas_shuffler_publish_refusals_total") > 0)

    def reads_no_more() -> bool:
        before = counted(read)
        time.sleep(1.5)
        return counted(read) == before > 0

    # Of 500 a second.
    wait_for(reads_no_more)
    before = counted(read)
    create_stream(nats_server.url)
    wait_for(partial(stored_more_than, nats_server.url, int(before) + 100))
    shuffler.send_signal(signal.SIGTERM)
    assert shuffler.wait(timeout=PATIENCE_S) == 0
    found = [int((message.headers or {})["Fpaas-Seq"]) for message in stored(nats_server.url)]
    assert sorted(found) == list(range(min(found), min(found) + len(found)))
