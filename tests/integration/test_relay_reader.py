"""The reader against relays that misbehave, over real sockets, into a real stream."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from websockets.asyncio.server import serve

from fpaas.errors import BadInput
from fpaas.firehose.frames import FrameError, decode
from fpaas.firehose.relay_client import RECEIVE_MAX_BYTES, subscription_url
from fpaas.firehose.relay_errors import RelayError
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.measures.intervals import IntervalSet
from fpaas.records import events
from fpaas.records.events import EventLog
from fpaas.shuffler import service
from fpaas.shuffler.kept_frames import KeptFrames
from fpaas.shuffler.shuffler import Endpoints, Shuffler
from tests.support.event_frames import frame, malformed
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.scripted_relay import BAD, BROKEN, LAST_SEQ, ScriptedRelay, commit, listening
from tests.support.streams import create_stream

pytestmark = pytest.mark.integration


async def shuffle(
    server: NatsServer,
    relay: ScriptedRelay,
    *,
    after: int | None = 0,
    contiguous: bool = True,
    timeout_s: float = PATIENCE_S,
    kept_frames: KeptFrames | None = None,
) -> Shuffler:
    """Read the relay to its last seq and return the closed shuffler."""
    await create_stream(server.url)
    endpoints = Endpoints(subscription_url(relay.url), NatsAddress.parse(server.url), "127.0.0.1:0")
    subject = Shuffler(endpoints, after=after, contiguous=contiguous, kept_frames=kept_frames)
    await subject.publisher.connect(PATIENCE_S)
    reading = asyncio.ensure_future(subject.reader.run())
    async with asyncio.timeout(timeout_s):
        while subject.reader.last_read != LAST_SEQ or subject.publisher.window.pending:
            await asyncio.sleep(0.02)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await subject.publisher.close()
    return subject


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


def all_but(*missing: int) -> list[int]:
    return [seq for seq in range(1, LAST_SEQ + 1) if seq not in missing]


def published(subject: Shuffler) -> list[int]:
    return [seq for first, last in subject.account.published_seqs for seq in range(first, last + 1)]


@pytest.mark.parametrize("after_cursor", [False, True])
@pytest.mark.parametrize("contiguous", [False, True])
def test_frame_that_cannot_be_decoded(
    nats_server: NatsServer, *, after_cursor: bool, contiguous: bool
) -> None:
    async def main() -> None:
        relay = ScriptedRelay(after_cursor=after_cursor)
        relay.frames[31] = BAD
        async with listening(relay):
            subject = await shuffle(nats_server, relay, contiguous=contiguous)
        assert published(subject) == all_but(31)
        account = subject.account
        assert account.undecodable == 1
        assert list(account.undecodable_seqs) == ([(31, 31)] if contiguous else [])
        assert relay.subscriptions == [0, 30]

    run(main())


@pytest.mark.parametrize("contiguous", [False, True])
def test_all_kinds_of_malformed_frames_are_stepped_over(
    nats_server: NatsServer, tmp_path: Path, *, contiguous: bool
) -> None:
    """Ten in a row, six times: each is counted, none costs a good frame or ends the process."""

    async def main() -> None:
        relay = ScriptedRelay(after_cursor=True)
        kinds = {
            *("a list in itself", "a MIME message in a field", "a regular expression in a list"),
            *("a bignum as seq", "a bignum as op", "a bignum as t", "a bignum as #info's name"),
            *("a bignum as error", "5 million values", "5000000 lists deep", "rubbish", "nothing"),
        }
        bad = [raw for what, raw in malformed().items() if what in kinds and seq_in(raw) is None]
        assert len(bad) == len(kinds)
        places = [seq for seq in range(2, LAST_SEQ) if seq % 11]
        for place, raw in zip(places, itertools.cycle(bad), strict=False):
            relay.frames[place] = raw
        kept = KeptFrames(tmp_path, EventLog(tmp_path / "shuffler.events.jsonl"))
        async with listening(relay):
            subject = await shuffle(nats_server, relay, contiguous=contiguous, kept_frames=kept)
        account = subject.account
        assert published(subject) == all_but(*places)
        assert account.undecodable == len(places)
        assert account.undecodable_seqs == IntervalSet(
            (place, place) for place in places if contiguous
        )
        noted, wrong = events.read(tmp_path / "shuffler.events.jsonl")
        assert wrong is None
        assert len(noted) == len(places)

    run(main())
    sizes = [path.stat().st_size for path in tmp_path.glob("*.bin")]
    assert len(sizes) == 12
    assert max(sizes) == 64 * 1024


def seq_in(raw: bytes) -> int | None:
    with pytest.raises(FrameError) as caught:
        decode(raw)
    return caught.value.seq


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("after_cursor", [False, True])
@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_what_always_breaks_the_protocol_is_stepped_over(
    nats_server: NatsServer, raw: bytes, *, after_cursor: bool, count: int
) -> None:
    async def main() -> None:
        relay = ScriptedRelay(after_cursor=after_cursor)
        bad = range(31, 31 + count)
        relay.raw = dict.fromkeys(bad, raw)
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert published(subject) == all_but(*bad)
        assert subject.account.undecodable == count
        assert subject.reader.gaps.count == 0

    run(main())


@pytest.mark.parametrize("after_cursor", [False, True])
@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_what_breaks_the_protocol_for_a_while_costs_no_event(
    nats_server: NatsServer, raw: bytes, *, after_cursor: bool
) -> None:
    """Once at an event, and then at once, whatever the cursor is: of a proxy that is not well."""

    async def main() -> None:
        relay = ScriptedRelay(after_cursor=after_cursor)
        relay.raw, relay.raw_until = {31: raw}, 1

        def greet(_cursor: int | None, number: int) -> None:
            if number:
                relay.raw, relay.raw_until = dict.fromkeys(range(LAST_SEQ), raw), 5

        relay.greeting = greet
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert published(subject) == all_but()
        assert len(relay.subscriptions) == 6
        assert subject.account.undecodable == 0

    run(main())


def test_frame_that_was_damaged_once_is_read_again(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay()
        relay.frames[31] = BAD

        def heal(_cursor: int | None, number: int) -> None:
            if number:
                relay.frames.clear()

        relay.greeting = heal
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert published(subject) == all_but()
        assert subject.account.undecodable == 0
        assert subject.account.undecodable_once == 1
        assert subject.account.reread == 1

    run(main())


@pytest.mark.parametrize("after_cursor", [False, True])
@pytest.mark.parametrize("contiguous", [False, True])
@pytest.mark.parametrize("garbage", ["hello", b"hello", bytes(RECEIVE_MAX_BYTES + 1)])
def test_garbage_between_good_frames_is_counted(
    nats_server: NatsServer, garbage: str | bytes, *, after_cursor: bool, contiguous: bool
) -> None:
    """As a proxy sends it: it has no seq, and the relay never sends it again."""

    async def main() -> None:
        relay = ScriptedRelay(after_cursor=after_cursor)
        relay.inserted = {10: garbage, 30: garbage, 31: garbage}
        async with listening(relay):
            subject = await shuffle(nats_server, relay, contiguous=contiguous)
        assert published(subject) == all_but()
        assert relay.subscriptions == [0, 10, 30, 31]
        account = subject.account
        assert (account.undecodable, account.undecodable_once) == (0, 3)
        assert subject.reader.gaps.count == 0

    run(main())


def test_swapped_neighbours_are_not_missing_but_what_never_came_is(
    nats_server: NatsServer,
) -> None:
    async def main() -> None:
        relay = ScriptedRelay(after_cursor=True)
        for seq in (10, 20, 30, 40, 50):
            relay.frames |= {seq: commit(seq + 1), seq + 1: commit(seq)}
        # Nobody knows by then that 40 is still to come.
        relay.cut_after = {0: 40}
        async with listening(relay):
            subject = await shuffle(nats_server, relay, contiguous=False)
        assert relay.subscriptions == [0, 41]
        assert published(subject) == all_but(40)
        gaps = subject.reader.gaps
        assert [(gap.after_seq, gap.missing) for gap in gaps.found] == [(39, 1)]
        assert gaps.count == 1

    run(main())


def test_malformed_frame_with_a_seq_of_its_own(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay()
        relay.frames[31] = frame({"op": 1, "t": "#commit"}, {"seq": 31, "ops": []})
        async with listening(relay):
            subject = await shuffle(nats_server, relay, contiguous=False)
        assert published(subject) == all_but(31)
        assert list(subject.account.undecodable_seqs) == [(31, 31)]
        assert relay.subscriptions == [0, 30]

    run(main())


def test_frame_of_6_mb(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay(after_cursor=True)
        relay.frames[31] = commit(31, size_bytes=6_000_000)
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert published(subject) == all_but(31)
        assert list(subject.account.undecodable_seqs) == [(31, 31)]

    run(main())


def test_frame_larger_than_the_server_takes(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay()
        relay.frames[31] = commit(31, size_bytes=4_000_000)
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert list(subject.account.failed_seqs) == [(31, 31)]
        (reason,) = subject.account.failures_by_reason
        assert "max_payload of 3000000" in reason
        assert subject.publisher.connection.connects == 1

    nats_server.stop()
    nats_server._config.write_text(
        nats_server._config.read_text().replace("max_payload: 8MB", "max_payload: 3000000")
    )
    nats_server.start()
    run(main())


def test_unknown_kinds_info_and_gaps_are_passed_by(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay()
        relay.greeting = lambda _cursor, _number: frame(
            {"op": 1, "t": "#info"}, {"name": "OutdatedCursor"}
        )
        relay.frames[31] = frame({"op": 1, "t": "#new"}, {"seq": 31})
        relay.frames[40] = frame({"op": 7}, {"seq": 40})
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert published(subject) == all_but(31, 40)
        assert subject.account.ignored == 3
        assert len(relay.subscriptions) == 1

    run(main())


def test_lost_connection_is_resumed_after_what_was_read(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay()
        relay.cut_after = {0: 20, 1: 40}
        async with listening(relay):
            subject = await shuffle(nats_server, relay)
        assert published(subject) == all_but()
        assert len(relay.subscriptions) == 3
        assert subject.account.duplicates == 0

    run(main())


def test_consumer_too_slow_resumes_and_future_cursor_reads_live(nats_server: NatsServer) -> None:
    async def main() -> None:
        relay = ScriptedRelay()

        def greet(cursor: int | None, number: int) -> bytes | None:
            if number == 0:
                return frame({"op": -1}, {"error": "ConsumerTooSlow", "message": "too slow"})
            if cursor is not None:
                return frame({"op": -1}, {"error": "FutureCursor", "message": "in the future"})
            return None

        relay.greeting = greet
        async with listening(relay):
            subject = await shuffle(nats_server, relay, after=10_000)
        assert relay.subscriptions == [10_000, 10_000, None]
        assert published(subject) == all_but()

    run(main())


async def answer_with(reply: bytes, use: Callable[[str], Awaitable[None]]) -> None:
    """Serve `reply` to whoever connects, whatever they say."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        await use(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize(
    ("reply", "message", "wrong_url"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404 Not Found", True),
        (b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", "HTTP 301 Moved", True),
        (
            b'HTTP/1.1 400 Bad Request\r\n\r\n{"error":"InvalidRequest","message":"no\\nnumber"}',
            "HTTP 400 Bad Request, InvalidRequest: no\ufffdnumber",
            True,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP 200 OK", True),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", "HTTP 429 Slow", False),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n\r\n", "and asks for 7 s of patience", False),
        (b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "HTTP 503 Later", False),
        (b"HTTP/1.0 503 Later\r\n\r\n", "HTTP 503 Later", False),
        (b"HTTP/1.1 101 Yes\r\n" + b"X: y\r\n" * 1000, "no more than 128 headers", True),
        (b"HTTP/1.1 101 Yes\r\n\r\n", "is not a WebSocket server: missing Connection", True),
        (b"220 mail.test ESMTP\r\n\r\n", "is not a WebSocket server", True),
        (b"220 mail.test ESMTP\n" * 9000, "is not a WebSocket server", True),
        (b"\xff" * 100_000, "is not a WebSocket server", True),
        (b"", "closed during the handshake; if it speaks TLS, name it as wss://", False),
    ],
)
def test_what_is_no_relay(reply: bytes, message: str, *, wrong_url: bool) -> None:
    async def use(url: str) -> None:
        endpoints = Endpoints(
            subscription_url(url), NatsAddress.parse("nats://127.0.0.1:1"), "127.0.0.1:0"
        )
        subject = Shuffler(endpoints, after=None)
        with pytest.raises(RelayError, match=message) as caught:
            await subject.reader.connect_once()
        assert url in str(caught.value)
        assert caught.value.wrong_url is wrong_url

    run(answer_with(reply, use))


def test_without_a_run_a_wrong_url_fails_at_once(nats_server: NatsServer) -> None:
    async def use(url: str) -> None:
        endpoints = Endpoints(
            subscription_url(url), NatsAddress.parse(nats_server.url), "127.0.0.1:0"
        )
        with pytest.raises(BadInput, match="answered HTTP 404") as caught:
            await service.serve(endpoints, None)
        assert caught.value.exit_code == 2

    run(answer_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", use))


def test_without_nats_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "NATS_PATIENCE_S", 0.5)
    endpoints = Endpoints(
        subscription_url("ws://127.0.0.1:1"),
        NatsAddress.parse(f"nats://127.0.0.1:{free_port()}"),
        "127.0.0.1:0",
    )
    with pytest.raises(BadInput, match="cannot connect to NATS"):
        run(service.serve(endpoints, None))


def test_wss_with_back_pressure(
    nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pausing must reach through TLS: more is sent than any buffer on the way can hold."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", *request.split(), *names.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def main() -> None:
        relay = ScriptedRelay()
        for seq in range(1, LAST_SEQ + 1):
            relay.frames[seq] = commit(seq, size_bytes=1_000_000)
        async with serve(relay.handle, "127.0.0.1", 0, ssl=tls, compression=None) as server:
            relay.url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await create_stream(nats_server.url)
            endpoints = Endpoints(
                subscription_url(relay.url), NatsAddress.parse(nats_server.url), "127.0.0.1:0"
            )
            subject = Shuffler(endpoints, after=0)
            await subject.publisher.connect(PATIENCE_S)
            os.kill(nats_server.pid, signal.SIGSTOP)
            reading = asyncio.ensure_future(subject.reader.run())
            async with asyncio.timeout(PATIENCE_S):
                while not subject.publisher.congested:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            read = subject.account.read
            os.kill(nats_server.pid, signal.SIGCONT)
            assert read < LAST_SEQ
            async with asyncio.timeout(PATIENCE_S):
                while subject.account.published < LAST_SEQ:
                    await asyncio.sleep(0.02)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await subject.publisher.close()

    run(main())
