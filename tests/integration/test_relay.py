"""The real relay over sockets, read by `websockets`' own client and by libipld."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from fpaas.cli import main
from fpaas.firehose.capture import LENGTH
from fpaas.firehose.pace import AtRate
from fpaas.firehose.synthetic import Synthetic
from fpaas.measures.histograms import merge_logs
from fpaas.records import events
from fpaas.relay import connection
from fpaas.relay.audience import Audience
from fpaas.relay.cursors import Rules
from fpaas.relay.offering import Offering
from fpaas.relay.server import Relay
from fpaas.relay.wire import Wire
from fpaas.spec import RunSpec
from tests.support.arming import arm_once_up
from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.relay_process import (
    PATH,
    RelayProcess,
    message,
    read_until_answered,
    receive,
    running_relay,
    seqs,
    subscribe,
)
from tests.support.relay_run import a_run

pytestmark = pytest.mark.integration


RATE_PER_S = 1000


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """Shared by the tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("relay")
    with running_relay(directory, "--rate-per-s", RATE_PER_S, "--seed", 5) as process:
        yield process


def fails(*options: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["relay", *map(str, options)])
    return result.exit_code, result.stderr


def expect(seqs_read: list[int]) -> list[bytes]:
    firehose = Synthetic(seed=5)
    return [firehose.frame(seq - firehose.first_seq) for seq in seqs_read]


def test_live_frames_are_those_of_the_seed(relay: RelayProcess) -> None:
    with subscribe(relay.url) as one, subscribe(relay.url) as other:
        frames, again = receive(one, 300), receive(other, 300)
    for received in (frames, again):
        numbers = seqs(received)
        assert numbers == list(range(numbers[0], numbers[0] + 300))
        assert received == expect(numbers)


def test_live_subscription_begins_now(relay: RelayProcess) -> None:
    with subscribe(relay.url) as connection:
        first = seqs(receive(connection, 1))[0]
    time.sleep(0.5)
    with subscribe(relay.url) as connection:
        assert seqs(receive(connection, 1))[0] - first >= 0.4 * RATE_PER_S


def test_cursor_replays_and_goes_live_without_a_seam(tmp_path: Path) -> None:
    with running_relay(tmp_path, "--rate-per-s", 2000, "--seed", 5, "--out", tmp_path) as relay:
        time.sleep(1.0)
        with subscribe(relay.url, cursor=17) as connection:
            frames = receive(connection, 4000)
        assert seqs(frames) == list(range(17, 4017))
        assert frames[:100] == expect(list(range(17, 117)))
        assert relay.stop() == 0
    result = json.loads((tmp_path / "relay.json").read_text())
    assert result["replayed"] > 1000
    assert result["replayed"] + result["sent"] >= 4000
    assert result["connects"] == 1


def test_end_of_what_is_offered_still_replays(tmp_path: Path) -> None:
    with running_relay(tmp_path, "--rate-per-s", 1000, "--max-frames", 50) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            assert seqs(receive(connection, 50)) == list(range(1, 51))
            with pytest.raises(TimeoutError):
                connection.recv(timeout=0.3)
        with subscribe(relay.url, cursor=50) as connection:
            assert seqs(receive(connection, 1)) == [50]


def wait_until_offered(relay: RelayProcess, seq: int) -> None:
    """Wait until a relay has offered a frame: until then, a cursor there is in the future."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with subscribe(relay.url, cursor=seq) as connection, contextlib.suppress(TimeoutError):
            frame = connection.recv(timeout=0.5)
            assert isinstance(frame, bytes)
            if message(frame)[0] == {"op": -1}:
                continue
        return
    raise TimeoutError(seq)


def test_outdated_cursor_is_told_and_replay_begins_with_the_window(tmp_path: Path) -> None:
    options = ("--rate-per-s", 1000, "--max-frames", 500, "--replay-window-frames", 100)
    with running_relay(tmp_path, *options) as relay:
        wait_until_offered(relay, 500)
        with subscribe(relay.url, cursor=3) as connection:
            first, *frames = receive(connection, 101)
    header, body = message(first)
    assert header == {"op": 1, "t": "#info"}
    assert body["name"] == "OutdatedCursor"
    assert seqs(frames) == list(range(401, 501))


def test_future_cursor_gets_an_error_frame_and_is_closed(relay: RelayProcess) -> None:
    with subscribe(relay.url, cursor=10**9) as connection:
        header, body = message(receive(connection, 1)[0])
        assert header == {"op": -1}
        assert body["error"] == "FutureCursor"
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=PATIENCE_S)


def test_consumer_too_slow_is_told_and_closed(tmp_path: Path) -> None:
    options = ("--rate-per-s", 5000, "--max-lag-frames", 2000, "--out", tmp_path)
    with running_relay(tmp_path, *options) as relay:
        with subscribe(relay.url) as connection:
            receive(connection, 1)
            # The client's own queue is short: it stops reading its socket. The kernel's is not.
            time.sleep(3.0)
            frames = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    frames.append(receive(connection, 1)[0])
        header, body = message(frames[-1])
        assert header == {"op": -1}
        assert body["error"] == "ConsumerTooSlow"
        numbers = seqs(frames[:-1])
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        with subscribe(relay.url, cursor=numbers[-1]) as connection:
            assert seqs(receive(connection, 2)) == [numbers[-1], numbers[-1] + 1]
        assert relay.stop() == 0
    result = json.loads((tmp_path / "relay.json").read_text())
    assert result["slow_disconnects"] == 1
    assert result["blocked_s"] > 0


def test_a_reader_that_takes_nothing_for_a_second_is_an_event(tmp_path: Path) -> None:
    options = ("--rate-per-s", 2000, "--max-lag-frames", 10**6, "--out", tmp_path)
    with running_relay(tmp_path, *options) as relay:
        with subscribe(relay.url) as connection:
            host, port = connection.local_address[:2]
            receive(connection, 1)
            # Sockets hold a second's frames or less.
            time.sleep(4.0)
            numbers = seqs(receive(connection, 9_000))
        stopped_unix_ns = time.time_ns()
        assert relay.stop() == 0
    found, wrong = events.read(tmp_path / "relay.events.jsonl")
    assert wrong is None
    # More than one if this test's own process had to wait for the machine.
    blocked = [event for event in found if event.kind == events.READER_BLOCKED]
    assert {event.parameters["reader"] for event in blocked} == {f"{host}:{port}"}
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    # This test stops to read once it has what it wants: the last one may be on at the relay's end.
    lasted_s = sum(
        ((event.end_unix_ns or stopped_unix_ns) - event.begin_unix_ns) / 1e9 for event in blocked
    )
    result = json.loads((tmp_path / "relay.json").read_text())
    assert lasted_s == pytest.approx(result["blocked_s"], rel=0.1)


def test_slow_reader_costs_no_memory(tmp_path: Path) -> None:
    options = ("--rate-per-s", 5000, "--max-lag-frames", 10**6)
    with running_relay(tmp_path, *options) as relay, subscribe(relay.url) as connection:
        receive(connection, 1)
        before_kb = _rss_kb(relay)
        time.sleep(3.0)  # 80 MB fall due
        assert _rss_kb(relay) - before_kb < 8_000
        numbers = seqs(receive(connection, 10_000))
        assert numbers == list(range(numbers[0], numbers[0] + 10_000))


def _rss_kb(relay: RelayProcess) -> int:
    status = Path(f"/proc/{relay.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/", 404, "XRPCNotSupported"),
        ("/xrpc/com.atproto.sync.getRepo", 404, "XRPCNotSupported"),
        (f"{PATH}/", 404, "XRPCNotSupported"),
        (f"{PATH}?cursor=x", 400, "InvalidRequest"),
        (f"{PATH}?cursor=-1", 400, "InvalidRequest"),
        (f"{PATH}?cursor=1.5", 400, "InvalidRequest"),
        (f"{PATH}?cursor=%00", 400, "InvalidRequest"),
        (f"{PATH}?cursor={2**63}", 400, "InvalidRequest"),
        (f"{PATH}?cursor={'9' * 5000}", 400, "InvalidRequest"),
    ],
)
def test_wrong_requests_are_refused_as_xrpc_has_it(
    relay: RelayProcess, path: str, status: int, error: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{relay.url}{path}")
    response = refused.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert response.body is not None
    body = json.loads(response.body)
    assert set(body) == {"error", "message"}
    assert body["error"] == error
    assert body["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("body", [b"", b'{"cursor": 1}', bytes(200_000)])
def test_only_get_is_allowed(relay: RelayProcess, method: str, body: bytes) -> None:
    head = f"{method} {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    status, headers, content = raw_request(relay, head.encode() + body)
    assert status == 405
    assert headers["allow"] == "GET"
    assert json.loads(content)["error"] == "InvalidRequest"


def test_a_plain_get_is_told_to_upgrade(relay: RelayProcess) -> None:
    status, headers, content = raw_request(relay, f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 426
    assert headers["upgrade"] == "websocket"
    assert headers["content-type"] == "application/json"
    assert json.loads(content)["error"] == "InvalidRequest"


def test_endless_headers_are_refused(relay: RelayProcess) -> None:
    status, _, content = raw_request(
        relay, f"GET {PATH} HTTP/1.1\r\n".encode() + b"A: b\r\n" * 9000
    )
    assert status == 431
    assert json.loads(content)["error"] == "InvalidRequest"


def raw_request(relay: RelayProcess, request: str | bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes and return the status, headers and body of the response to them."""
    host, port = relay.url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
        plain.sendall(request.encode() if isinstance(request, str) else request)
        answer = b""
        while piece := plain.recv(65_536):
            answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, content


@pytest.mark.parametrize("query", ["?cursor=", "?", "?other=1", "?cursor=7&cursor="])
def test_an_empty_cursor_is_none(relay: RelayProcess, query: str) -> None:
    with subscribe(relay.url) as live:
        now = seqs(receive(live, 1))[0]
        with connect(f"{relay.url}{PATH}{query}", compression=None, max_size=None) as connection:
            assert seqs(receive(connection, 1))[0] >= now


def test_cursor_0_begins_at_the_oldest_kept_without_a_word(tmp_path: Path) -> None:
    options = ("--rate-per-s", 1000, "--max-frames", 500, "--replay-window-frames", 100)
    with running_relay(tmp_path, *options) as relay:
        wait_until_offered(relay, 500)
        with subscribe(relay.url, cursor=0) as connection:
            assert seqs(receive(connection, 100)) == list(range(401, 501))
        with connect(f"{relay.url}{PATH}?cursor=000", compression=None) as connection:
            assert seqs(receive(connection, 1)) == [401]


def test_exclusive_replay_begins_after_the_cursor(tmp_path: Path) -> None:
    window = ("--rate-per-s", 1000, "--max-frames", 500, "--replay-window-frames", 100)
    with running_relay(tmp_path, *window, "--replay", "exclusive") as relay:
        wait_until_offered(relay, 500)
        for cursor, first in ((450, 451), (400, 401), (0, 401), (499, 500)):
            with subscribe(relay.url, cursor=cursor) as connection:
                assert seqs(receive(connection, 501 - first)) == list(range(first, 501))
        with subscribe(relay.url, cursor=500) as connection, pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
        with subscribe(relay.url, cursor=399) as connection:
            info, frame = receive(connection, 2)
            assert message(info)[1]["name"] == "OutdatedCursor"
            assert seqs([frame]) == [401]


@pytest.mark.parametrize(
    ("nonsense", "answer"),
    [
        (b"\x16\x03\x01 nonsense\r\n\r\n", b""),  # closed without a word
        (b"\x16\x03\x01\x02\x00\x01\x00", b""),  # TLS
        (b"GET / HTTP/0.9\r\n\r\n", b"HTTP/1.1 400"),
        (b"hello\r\n\r\n", b"HTTP/1.1 405"),
    ],
)
def test_nonsense_is_answered_and_survived(
    relay: RelayProcess, nonsense: bytes, answer: bytes
) -> None:
    host, port = relay.url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
        plain.sendall(nonsense)
        assert plain.recv(1000).startswith(answer)
        while plain.recv(1000):
            pass
    assert relay.process.poll() is None


def test_subscriber_may_talk_and_ping(relay: RelayProcess) -> None:
    with subscribe(relay.url) as connection:
        connection.send("subscribers have nothing to say, and may say it")
        connection.send([b"in", b"several", b"pieces"])
        read_until_answered(connection, connection.ping())


def test_a_large_message_of_a_subscriber_is_not_kept(tmp_path: Path) -> None:
    with (
        running_relay(tmp_path, "--rate-per-s", RATE_PER_S) as relay,
        subscribe(relay.url) as connection,
        subscribe(relay.url) as other,
    ):
        receive(connection, 1)
        before_kb = _rss_kb(relay)
        piece = b"x" * 2**20
        talker = threading.Thread(target=connection.send, args=([piece] * 30,), daemon=True)
        talker.start()
        numbers = seqs(receive(other, 2 * RATE_PER_S))
        assert _rss_kb(relay) - before_kb < 8_000
        assert numbers == list(range(numbers[0], numbers[0] + 2 * RATE_PER_S))
        talker.join(PATIENCE_S)
        assert not talker.is_alive()
        numbers = seqs(receive(connection, 1000))
        assert numbers == list(range(numbers[0], numbers[0] + 1000))


def test_a_subscriber_that_talks_without_end_holds_up_nobody(tmp_path: Path) -> None:
    options = ("--rate-per-s", RATE_PER_S, "--out", tmp_path)
    with running_relay(tmp_path, *options) as relay:
        ended = threading.Event()

        def talk(connection: ClientConnection) -> None:
            # The smallest frames there are cost the most.
            wire = b"\x82\x80mask" * 10_000
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    connection.socket.sendall(wire)

        with subscribe(relay.url) as talking, subscribe(relay.url) as other:
            talker = threading.Thread(target=talk, args=(talking,), daemon=True)
            talker.start()
            cpu_s, began_s = _cpu_s(relay), time.monotonic()
            numbers = seqs(receive(other, 3 * RATE_PER_S))
            used_s, took_s = _cpu_s(relay) - cpu_s, time.monotonic() - began_s
            assert numbers == list(range(numbers[0], numbers[0] + 3 * RATE_PER_S))
            ended.set()
        # Three seconds, or as many as a busy machine makes of them.
        assert used_s < 0.67 * took_s
        assert relay.stop() == 0


def _cpu_s(relay: RelayProcess) -> float:
    times = psutil.Process(relay.process.pid).cpu_times()
    return times.user + times.system


def test_peer_that_answers_no_ping_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_INTERVAL_S", 0.2)

    async def scenario() -> None:
        pace = AtRate(1)
        wire = Wire(Synthetic(1), pace)
        offering = Offering(wire, pace, total=1, t0_unix_ns=time.time_ns() + 10**12)
        relay = Relay(offering, Audience(Rules()))
        url = await relay.listen("127.0.0.1", 0)
        relay.start()
        host, port = url.removeprefix("ws://").split(":")
        async with connect_async(url + PATH, ping_interval=None) as living:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            await asyncio.sleep(1.0)
            assert len(relay.audience.subscribers) == 1
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.read(-1)  # to the end: it was dropped
            assert b"101 Switching" in answer
            assert b"\x89\x00" in answer
            await living.ping()
            writer.close()
        await relay.close()

    asyncio.run(scenario())


def test_run_is_offered_whole_from_t0_on(tmp_path: Path) -> None:
    a_run(tmp_path, bench_drain_s=20)
    with running_relay(tmp_path, "--run", tmp_path / "run.json", "--out", tmp_path) as relay:
        spec = RunSpec.load(tmp_path / "run.json")
        with subscribe(relay.url, cursor=0) as connection:
            is_in_time = time.time_ns() < spec.t0_unix_ns
            frames = receive(connection, 1)
            assert time.time_ns() >= spec.t0_unix_ns
            frames += receive(connection, 999)
            assert frames == expect(list(range(1, 1001)))
        with subscribe(relay.url, cursor=500) as again:
            assert seqs(receive(again, 501)) == list(range(500, 1001))
        assert relay.process.wait(timeout=PATIENCE_S) == 0
        assert time.time_ns() >= spec.settled_unix_ns
    result = json.loads((tmp_path / "relay.json").read_text())
    assert result["first_seq"] == 1
    assert result["last_seq"] == result["offered"] == spec.frames_due() == 1000
    assert result["sent"] + result["replayed"] == 1501
    # Whoever was there from T0 on was sent all of it as it fell due.
    assert not is_in_time or result["sent"] == 1000
    assert result["connects"] == 2
    assert result["ignored"] == result["slow_disconnects"] == 0
    assert json.loads((tmp_path / "relay.status.json").read_text())["state"] == "done"
    legs = merge_logs([tmp_path / "relay.hlog"])
    assert legs["relay_lateness"].count == result["sent"]
    assert legs["relay_lateness"].negative_count == 0
    assert legs["loop_lag"].count > 10
    samples = [json.loads(line) for line in (tmp_path / "relay.samples.jsonl").open()]
    assert [sample["offered"] for sample in samples] == sorted(s["offered"] for s in samples)
    assert samples[-1]["offered"] == 1000


def test_run_offers_whether_or_not_somebody_reads(tmp_path: Path) -> None:
    a_run(tmp_path, bench_measure_s=1)
    with running_relay(tmp_path, "--run", tmp_path / "run.json", "--out", tmp_path) as relay:
        assert relay.process.wait(timeout=PATIENCE_S) == 0
    result = json.loads((tmp_path / "relay.json").read_text())
    assert (result["offered"], result["sent"]) == (500, 0)


def test_sigterm_keeps_what_was_measured(tmp_path: Path) -> None:
    a_run(tmp_path, bench_measure_s=60)
    with (
        running_relay(tmp_path, "--run", tmp_path / "run.json", "--out", tmp_path) as relay,
        subscribe(relay.url, cursor=0) as connection,
    ):
        receive(connection, 300)
        assert time.time_ns() > RunSpec.load(tmp_path / "run.json").t0_unix_ns
        assert relay.stop() == 0
    result = json.loads((tmp_path / "relay.json").read_text())
    assert result["sent"] + result["replayed"] >= 300
    assert result["sent"] <= result["offered"] < 30_000
    assert json.loads((tmp_path / "relay.status.json").read_text())["state"] == "stopped"
    assert merge_logs([tmp_path / "relay.hlog"])["relay_lateness"].count == result["sent"]


def test_relay_restarted_in_a_run_goes_on_where_it_would_be(tmp_path: Path) -> None:
    a_run(tmp_path, bench_measure_s=60)
    listen = f"127.0.0.1:{free_port()}"
    options = ("--run", tmp_path / "run.json", "--out", tmp_path, "--listen", listen)
    with running_relay(tmp_path, *options) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            last = seqs(receive(connection, 100))[-1]
        relay.process.send_signal(signal.SIGKILL)
        relay.process.wait()
    with running_relay(tmp_path, *options) as relay, subscribe(relay.url, last) as connection:
        numbers = seqs(receive(connection, 500))
        assert numbers == list(range(last, last + 500))
        t0_unix_ns = RunSpec.load(tmp_path / "run.json").t0_unix_ns
        assert (time.time_ns() - t0_unix_ns) / 1e9 * 500 > numbers[-1] - 1


def test_full_disk_is_said_and_offering_goes_on(tmp_path: Path) -> None:
    spec = a_run(tmp_path)
    with subprocess.Popen(
        [
            *(SCRIPTS / "fpaas", "relay", "--run", tmp_path / "run.json"),
            *("--out", tmp_path, "--listen", f"127.0.0.1:{free_port()}"),
        ],
        stderr=subprocess.PIPE,
        # To the writer a file size limit is a full disk. Half a .pyc would stay.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),  # noqa: PLW1509
    ) as process:
        arm_once_up(tmp_path / "run.json", "relay", lead_s=1)
        _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3
    assert f"{tmp_path}: the relay's figures are not whole: File too large" in stderr.decode()
    assert f"offered {spec.frames_due()} frames" in stderr.decode()
    assert json.loads((tmp_path / "relay.status.json").read_text())["state"] == "failed"


def test_capture_is_replayed_once_or_in_loops(tmp_path: Path) -> None:
    firehose = Synthetic(seed=9)
    frames = [firehose.frame(index) for index in range(40, 90)]
    capture = tmp_path / "capture"
    capture.write_bytes(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))
    with (
        running_relay(tmp_path, "--source", capture, "--once", "--rate-per-s", 1000) as relay,
        subscribe(relay.url, cursor=41) as connection,
    ):
        assert receive(connection, 50) == frames
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
    with (
        running_relay(tmp_path, "--source", capture, "--rate-per-s", 1000) as relay,
        subscribe(relay.url, cursor=41) as connection,
    ):
        looped = receive(connection, 150)
        assert looped[:50] == frames
        assert seqs(looped) == list(range(41, 191))


def test_capture_is_replayed_at_its_own_pace(tmp_path: Path) -> None:
    firehose = Synthetic(seed=9)  # frames 2.222 ms apart by their own times
    frames = [firehose.frame(index) for index in range(1900)]
    capture = tmp_path / "capture"
    capture.write_bytes(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))
    options = ("--source", capture, "--pace", "capture", "--speed", 2, "--once")
    with (
        running_relay(tmp_path, *options) as relay,
        subscribe(relay.url, cursor=0) as connection,
    ):
        received_s = []
        for _ in frames:
            receive(connection, 1)
            received_s.append(time.monotonic())
    # No frame comes early, and some are not late, whatever keeps this test or the relay waiting.
    late_s = [at_s - number * 0.002222 / 2 for number, at_s in enumerate(received_s)]
    first, last = min(late_s[:900]), min(late_s[-900:])
    # Of 1000 frames; at half or twice the speed it would be 1.1 s later or 0.55 s earlier.
    assert abs(last - first) < 0.3


def test_real_capture_goes_over_the_wire_unchanged(tmp_path: Path, real_frames: Path) -> None:
    options = ("--source", real_frames, "--once", "--rate-per-s", 1000)
    with (
        running_relay(tmp_path, *options) as relay,
        subscribe(relay.url, cursor=31_527_015_321) as connection,
    ):
        frames = receive(connection, 100)
    assert b"".join(LENGTH.pack(len(f)) + f for f in frames) == real_frames.read_bytes()


def test_port_in_use_is_named(relay: RelayProcess) -> None:
    address = relay.url.removeprefix("ws://")
    code, stderr = fails("--listen", address)
    assert code == 2
    assert f"--listen {address}: cannot listen there" in stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rate-per-s", 0), "--rate-per-s"),
        (("--rate-per-s", -1), "--rate-per-s"),
        (("--speed", 0), "--speed"),
        (("--max-frames", 0), "--max-frames"),
        (("--source", "/nowhere"), "/nowhere: cannot be read"),
        (("--source", "wss://bsky.network"), "fpaas record"),
        (("--pace", "capture"), "needs a capture"),
        (("--listen", "2480"), "'2480' is not an address"),
        (("--run", "/nowhere"), "--out: is required"),
        (("--run", "/nowhere", "--out", "/tmp"), "/nowhere: cannot be read"),
        (("--run", "/nowhere", "--rate-per-s", 3), "--rate-per-s: /nowhere says this"),
        (("--run", "/nowhere", "--once"), "--loop/--once: /nowhere says this"),
    ],
)
def test_bad_input_is_named(options: tuple[object, ...], said: str) -> None:
    code, stderr = fails(*options)
    assert code == 2
    assert said in stderr


def test_bad_captures_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"")
    assert fails("--source", bad)[0] == 2
    bad.write_bytes(b"\x08\0\0\0garb")
    code, stderr = fails("--source", bad)
    assert code == 2
    assert f"{bad}: is truncated: the record at byte 0 of 8 is not whole" in stderr


def test_run_of_another_capture_is_refused(tmp_path: Path) -> None:
    a_run(tmp_path)
    firehose = Synthetic(seed=9)
    capture = tmp_path / "capture"
    frame = firehose.frame(40)
    capture.write_bytes(LENGTH.pack(len(frame)) + frame)
    run = ("--run", tmp_path / "run.json", "--out", tmp_path)
    code, stderr = fails(*run, "--source", capture)
    assert code == 2
    assert "begins with seq 41" in stderr
    assert json.loads((tmp_path / "relay.status.json").read_text())["state"] == "failed"
    a_run(tmp_path, bench_firehose_source="wss://bsky.network")
    code, stderr = fails(*run)
    assert code == 2
    assert "needs no relay of ours" in stderr
