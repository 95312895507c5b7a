"""Our relay's bad manners, one by one, as clients see them on real sockets; and what it notes."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from fpaas.cli import main
from fpaas.firehose.frames import FrameError, decode
from fpaas.firehose.synthetic import Synthetic
from fpaas.records import events
from fpaas.records.events import FAULT, EventRecord
from tests.support.patience import PATIENCE_S
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

RATE_PER_S = 200
#: Time to subscribe before it.
AT_S = 5.0
CLOSE_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4999)


def options(directory: Path, *faults: dict[str, Any]) -> tuple[object, ...]:
    entries = [{"on": "relay", "at_s": AT_S, **fault} for fault in faults]
    common = ("--rate-per-s", RATE_PER_S, "--seed", 5, "--out", directory)
    return (*common, "--faults", json.dumps(entries))


def noted(directory: Path) -> list[EventRecord]:
    found, wrong = events.read(directory / "relay.events.jsonl")
    assert wrong is None
    return [event for event in found if event.kind == FAULT]


def wait_until_undone(directory: Path) -> None:
    """Wait until all that a relay has begun has its end."""
    deadline = time.monotonic() + PATIENCE_S
    while any(event.end_unix_ns is None for event in noted(directory)):
        assert time.monotonic() < deadline, noted(directory)
        time.sleep(0.05)


def result(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / "relay.json").read_text())
    return content


def read_until_closed(connection: ClientConnection) -> tuple[list[bytes], int | None]:
    """Return the frames, and the close code: None if there was no close frame."""
    frames = []
    try:
        while True:
            frames += receive(connection, 1)
    except ConnectionClosed as closed:
        return frames, None if closed.rcvd is None else int(closed.rcvd.code)


def frames_of(first_seq: int, last_seq: int) -> list[bytes]:
    firehose = Synthetic(seed=5)
    return [firehose.frame(seq - 1) for seq in range(first_seq, last_seq + 1)]


def test_it_disconnects_with_each_close_code(tmp_path: Path) -> None:
    codes = [*CLOSE_CODES, 1006]
    faults = [
        {"do": "disconnect", "close_code": code, "at_s": AT_S + 1.5 * number}
        for number, code in enumerate(codes)
    ]
    read: list[int] = []
    seen: list[int | None] = []
    with running_relay(tmp_path, *options(tmp_path, *faults)) as relay:
        for _ in codes:
            with subscribe(relay.url, cursor=read[-1] if read else 0) as connection:
                frames, code = read_until_closed(connection)
            numbers = seqs(frames)
            read += numbers[1:] if read else numbers
            seen.append(code)
        assert relay.stop() == 0
    assert seen == [*CLOSE_CODES, None]
    assert read == list(range(1, read[-1] + 1))
    assert [event.parameters["close_code"] for event in noted(tmp_path)] == codes
    assert result(tmp_path)["connects"] == len(codes)


def test_nobody_is_let_in_while_it_disconnects(tmp_path: Path) -> None:
    fault = {"do": "disconnect", "close_code": 1012, "for_s": 6}
    with running_relay(tmp_path, *options(tmp_path, fault)) as relay:
        with subscribe(relay.url) as connection:
            frames, code = read_until_closed(connection)
        assert code == 1012
        with pytest.raises(InvalidStatus) as refused:
            subscribe(relay.url)
        response = refused.value.response
        assert response.status_code == 503
        assert response.body is not None
        assert json.loads(response.body)["error"] == "NotEnoughResources"
        last = seqs(frames)[-1]
        with come_again(relay, last) as connection:
            assert seqs(receive(connection, 800)) == list(range(last, last + 800))
        assert relay.stop() == 0
    (event,) = noted(tmp_path)
    assert event.end_unix_ns is not None
    assert 5.9 < (event.end_unix_ns - event.begin_unix_ns) / 1e9 < PATIENCE_S


def come_again(relay: RelayProcess, cursor: int) -> ClientConnection:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(InvalidStatus):
            return subscribe(relay.url, cursor)
        time.sleep(0.1)
    raise TimeoutError


def wait_for(directory: Path, do: str) -> EventRecord:
    """Wait until a fault has begun."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            for event in noted(directory):
                if event.parameters["do"] == do:
                    return event
        time.sleep(0.05)
    raise TimeoutError(do)


def what_is_left(connection: ClientConnection) -> list[bytes]:
    """Return what was sent before a fault began; the client may be late."""
    frames: list[bytes] = []
    with contextlib.suppress(TimeoutError):
        while True:
            frame = connection.recv(timeout=1.0)
            assert isinstance(frame, bytes)
            frames.append(frame)
    return frames


def test_it_stalls_and_answers_no_ping(tmp_path: Path) -> None:
    with running_relay(tmp_path, *options(tmp_path, {"do": "stall", "for_s": 10})) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            wait_for(tmp_path, "stall")
            frames = what_is_left(connection)
            pong = connection.ping()
            assert not pong.wait(1.0)
            host, port = relay.url.removeprefix("ws://").split(":")
            with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as late:
                late.settimeout(0.5)
                late.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                with pytest.raises(TimeoutError):
                    late.recv(1)
                late.settimeout(PATIENCE_S)
                # It is answered when that is over.
                assert late.recv(100).startswith(b"HTTP/1.1 426")
            frames += receive(connection, 8 * RATE_PER_S)
            frames += read_until_answered(connection, pong)
        assert relay.stop() == 0
    assert frames == frames_of(1, len(frames))
    assert result(tmp_path)["slow_disconnects"] == 0


def test_it_is_silent_and_answers_pings(tmp_path: Path) -> None:
    fault = {"do": "silence", "for_s": 12}
    # Fewer than fall due meanwhile, and more than a busy machine makes a client wait.
    lag = ("--max-lag-frames", 10 * RATE_PER_S)
    with running_relay(tmp_path, *options(tmp_path, fault), *lag) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            wait_for(tmp_path, "silence")
            frames = what_is_left(connection)
            assert connection.ping().wait(PATIENCE_S)
            with subscribe(relay.url, cursor=0) as other:
                assert other.ping().wait(PATIENCE_S)
                with pytest.raises(TimeoutError):
                    other.recv(timeout=0.5)
                # Who is behind then is not too slow.
                frames += receive(connection, 10 * RATE_PER_S)
                connection.close()
                assert receive(other, 100) == frames[:100]
        assert relay.stop() == 0
    assert frames == frames_of(1, len(frames))
    account = result(tmp_path)
    assert account["slow_disconnects"] == 0
    assert account["offered"] == account["last_seq"] >= len(frames)


def test_it_sends_the_last_frames_again(tmp_path: Path) -> None:
    with running_relay(tmp_path, *options(tmp_path, {"do": "replay", "frames": 150})) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            numbers = seqs(receive(connection, int((AT_S + 2) * RATE_PER_S)))
        assert relay.stop() == 0
    (at,) = [at for at, seq in enumerate(numbers) if at and seq != numbers[at - 1] + 1]
    assert numbers[at] == numbers[at - 1] - 150 + 1
    assert numbers[at:] == list(range(numbers[at], numbers[at] + len(numbers) - at))
    account = result(tmp_path)
    assert account["replayed"] >= 150
    assert account["handed"] <= account["offered"]


def test_its_numbers_go_back_and_are_as_before_again(tmp_path: Path) -> None:
    fault = {"do": "rewind", "frames": 120, "for_s": 1}
    with running_relay(tmp_path, *options(tmp_path, fault)) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            frames = receive(connection, int((AT_S + 2) * RATE_PER_S))
        assert relay.stop() == 0
    back = int(AT_S * RATE_PER_S) + 1
    forth = int((AT_S + 1) * RATE_PER_S) + 1
    expected = [
        *range(1, back + 1),
        *range(back + 1 - 120, forth + 1 - 120),
        *range(forth + 1, len(frames) + 1),
    ]
    assert seqs(frames) == expected
    firehose = Synthetic(seed=5)
    # They are other events, and only the numbers are old.
    assert frames[back] == firehose.frame(back, -120)
    account = result(tmp_path)
    assert [count for _, count in account["numberings"]][:2] == [back, forth - back]
    assert account["last_seq"] == account["offered"]


def test_it_renumbers(tmp_path: Path) -> None:
    with running_relay(tmp_path, *options(tmp_path, {"do": "renumber"})) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            numbers = seqs(receive(connection, int((AT_S + 1) * RATE_PER_S)))
        last_old = int(AT_S * RATE_PER_S) + 1
        assert numbers == [*range(1, last_old + 1), *range(1, len(numbers) - last_old + 1)]
        with subscribe(relay.url, cursor=10**6) as connection:
            assert message(receive(connection, 1)[0])[1]["error"] == "FutureCursor"
        with subscribe(relay.url, cursor=0) as connection:
            assert receive(connection, 1) == [Synthetic(5).frame(last_old, -last_old)]
        assert relay.stop() == 0
    account = result(tmp_path)
    assert account["numberings"] == [[1, last_old], [1, account["offered"] - last_old]]


@pytest.mark.parametrize("do", ["garbage", "half_frame"])
def test_it_sends_frames_that_are_none(tmp_path: Path, do: str) -> None:
    fault = {"do": do, "frames": 12}
    with running_relay(tmp_path, *options(tmp_path, fault)) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            frames = receive(connection, int((AT_S + 1) * RATE_PER_S))
        first = int(AT_S * RATE_PER_S) + 1
        expected = frames_of(1, len(frames))
        assert frames[:first] == expected[:first]
        assert frames[first + 12 :] == expected[first + 12 :]
        for frame in frames[first : first + 12]:
            with pytest.raises(FrameError):
                decode(frame)
        with subscribe(relay.url, cursor=first) as connection:
            assert receive(connection, 14) == frames[first - 1 : first + 13]
        assert relay.stop() == 0
    assert result(tmp_path)["damaged"] == 12


def test_it_sends_an_error_frame_to_whoever_is_there_or_comes(tmp_path: Path) -> None:
    fault = {"do": "error_frame", "error": "InternalServerError", "for_s": 5}
    with running_relay(tmp_path, *options(tmp_path, fault)) as relay:
        for _ in range(2):
            with subscribe(relay.url) as connection:
                frames, code = read_until_closed(connection)
            header, body = message(frames[-1])
            assert header == {"op": -1}
            assert body["error"] == "InternalServerError"
            assert code == 1008
        assert len(frames) == 1
        wait_until_undone(tmp_path)
        with subscribe(relay.url) as connection:
            seqs(receive(connection, 10))


def test_it_drips(tmp_path: Path) -> None:
    fault = {"do": "drip", "bytes_per_s": 10_000, "for_s": 6}
    with running_relay(tmp_path, *options(tmp_path, fault)) as relay:
        with subscribe(relay.url, cursor=0) as connection:
            frames, received_unix_ns = [], []
            for _ in range(int((AT_S + 8) * RATE_PER_S)):
                frames += receive(connection, 1)
                received_unix_ns.append(time.time_ns())
            # Pongs do not go in between the pieces of a frame.
            frames += read_until_answered(connection, connection.ping())
        assert relay.stop() == 0
    assert frames == frames_of(1, len(frames))
    (event,) = noted(tmp_path)
    assert event.end_unix_ns is not None
    dripped = [
        unix_ns
        for unix_ns in received_unix_ns[int(AT_S * RATE_PER_S) + 1 :]
        # What was held back comes while its end is being noted.
        if 0.5 < (unix_ns - event.begin_unix_ns) / 10**9 < 5.8
    ]
    # 5.4 KB each; what was sent before this test may be late to take.
    assert 1 <= len(dripped) <= 20
    account = result(tmp_path)
    assert account["sent"] + account["replayed"] >= len(frames)
    assert account["slow_disconnects"] == 0


def test_each_is_an_event_with_begin_and_end(tmp_path: Path) -> None:
    faults = [
        {"do": "silence", "at_s": 1, "for_s": 1},
        {"do": "replay", "at_s": 1.5},
        {"do": "garbage", "at_s": 2.2, "frames": 3},
        {"do": "rewind", "at_s": 2.3, "frames": 5},
        {"do": "stall", "at_s": 2.5, "for_s": 60},
    ]
    with running_relay(tmp_path, *options(tmp_path, *faults)) as relay:
        wait_for(tmp_path, "stall")
        # Whoever ends meanwhile has undone what had begun.
        with subscribe_late(relay):
            assert relay.stop() == 0
    found = {event.parameters["number"]: event for event in noted(tmp_path)}
    assert [found[number].parameters["do"] for number in range(5)] == [one["do"] for one in faults]
    for event in found.values():
        assert event.end_unix_ns is not None
    lasted_s = [(one.end_unix_ns or 0) - one.begin_unix_ns for one in found.values()]
    assert lasted_s[0] / 1e9 > 0.9
    assert lasted_s[4] / 1e9 < 60


@contextlib.contextmanager
def subscribe_late(relay: RelayProcess) -> Any:  # noqa: ANN401
    host, port = relay.url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
        yield plain


def test_a_relay_that_is_started_again_goes_on_with_its_manners(tmp_path: Path) -> None:
    faults = [
        {"do": "rewind", "on": "relay", "at_s": 1, "frames": 100},
        {"do": "replay", "on": "relay", "at_s": 1.2},
        {"do": "silence", "on": "relay", "at_s": 2, "for_s": 55},
    ]
    a_run(tmp_path, bench_measure_s=60, bench_faults=faults)
    run = ("--run", tmp_path / "run.json", "--out", tmp_path)
    with running_relay(tmp_path, *run) as relay:
        wait_for(tmp_path, "silence")
        relay.process.kill()
        relay.process.wait()
    assert [event.parameters["do"] for event in noted(tmp_path)] == ["rewind", "replay", "silence"]
    with running_relay(tmp_path, *run) as relay, subscribe(relay.url, cursor=0) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(timeout=1)
        assert connection.ping().wait(PATIENCE_S)
        assert relay.stop() == 0
    found = noted(tmp_path)
    assert [event.parameters["do"] for event in found] == ["rewind", "replay", "silence"]
    assert all(event.end_unix_ns is not None for event in found)
    assert result(tmp_path)["numberings"][0] == [1, 501]


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ("nonsense", "--faults: 'nonsense' is not allowed"),
        ("[{}]", "--faults[0]: do: is missing"),
        ('[{"do": "stall", "on": "relay", "at_s": 1}]', "--faults[0]: for_s: stall needs it"),
        ('[{"do": "stal", "on": "relay", "at_s": 1}]', "did you mean stall?"),
        ('[{"do": "kill", "on": "relay", "at_s": 1}]', "--faults[0]: kill is nothing"),
        ('[{"do": "replay", "on": "nats", "at_s": 1}]', "on: relay"),
        (
            json.dumps(
                [
                    {"do": "stall", "on": "relay", "at_s": 1, "for_s": 3},
                    {"do": "drip", "on": "relay", "at_s": 2, "for_s": 3},
                ]
            ),
            "undoing one would undo the other",
        ),
    ],
)
def test_wrong_schedules_are_refused(faults: str, said: str) -> None:
    outcome = CliRunner().invoke(main, ["relay", "--faults", faults])
    assert outcome.exit_code == 2
    assert said in outcome.stderr
