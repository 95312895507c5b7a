"""A relay that does odd or wrong things in WebSocket itself, recorded over real sockets.

Shuffler and recorder have their connections in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import uvloop

from fpaas.errors import BadInput
from fpaas.firehose.relay_client import RECEIVE_MAX_BYTES
from fpaas.relay import record
from tests.support.bad_relay import commit
from tests.support.capture_files import frames_in
from tests.support.patience import PATIENCE_S
from tests.support.relay_process import seqs
from tests.support.scripted_relay import BROKEN, LAST_SEQ, ScriptedRelay, listening
from tests.support.websocket_frames import (
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    accepted,
    close,
    in_fragments,
    ws_frame,
)

pytestmark = pytest.mark.integration

Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: The event at which the relay is odd, and how many it has.
ODD, COUNT = 5, 20
EVENT = commit(1000 + ODD, ODD, 0.0)
JSON = b'{"did":"did:plc:x","kind":"commit"}'
REASON = b"two\nlines \x1b[31mand \xc3\xbc" + b"." * 90


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve what `handler` does with each request; yields the port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


def recorded(
    url: str, output: Path, *, frames_max: int, report: Callable[[str], None] = lambda _: None
) -> Awaitable[None]:
    options = record.Options(
        url, output, force=True, max_seconds=PATIENCE_S, max_frames=frames_max, max_bytes=None
    )
    return record.run(options, report)


class OddOnce:
    """Serves events from the cursor on; the first time, `odd` in place of one of them.

    Then it closes if `and_closes`.
    """

    def __init__(self, odd: bytes, *, and_closes: bool = False) -> None:
        self.subscriptions: list[int | None] = []
        self._odd = odd
        self._and_closes = and_closes

    async def __call__(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        values = parse_qs(urlsplit(request.split()[1].decode()).query).get("cursor")
        cursor = int(values[0]) if values else None
        self.subscriptions.append(cursor)
        is_first = len(self.subscriptions) == 1
        writer.write(accepted(request))
        for event in range(0 if cursor is None else cursor - 1000, COUNT):
            is_odd = is_first and event == ODD
            writer.write(
                self._odd if is_odd else ws_frame(BINARY, commit(1000 + event, event, 0.0))
            )
            if is_odd and self._and_closes:
                return
        await writer.drain()
        await reader.read()


GOOD = {
    "in fragments of a byte": in_fragments(EVENT, 1),
    "pings of 125 bytes between": in_fragments(EVENT, 50, ws_frame(PING, b"p" * 125)),
    "empty fragments between": in_fragments(EVENT, 50, ws_frame(CONT, fin=False) * 1000),
    "3 MB in fragments": in_fragments(commit(1000 + ODD, ODD, 0.0, 3_000_000), 1000),
    "pongs that nobody asked for": ws_frame(PONG, b"x") * 1000 + ws_frame(BINARY, EVENT),
    "in a text message": ws_frame(TEXT, EVENT),
}
#: What is wrong, and what the log says of it.
WRONG = {
    "compressed, it says": (ws_frame(BINARY, EVENT, reserved=4), "reserved bits must be 0"),
    "another reserved bit": (ws_frame(BINARY, EVENT, reserved=1), "reserved bits must be 0"),
    "masked": (ws_frame(BINARY, EVENT, mask=b"mask"), "incorrect masking"),
    "unknown opcode": (ws_frame(3, EVENT), "invalid opcode"),
    "no first fragment": (ws_frame(CONT, EVENT), "unexpected continuation frame"),
    "two messages in one another": (
        ws_frame(BINARY, EVENT[:9], fin=False) + ws_frame(TEXT, b"x") + ws_frame(CONT, EVENT[9:]),
        "expected a continuation frame",
    ),
    "a ping of 126 bytes": (ws_frame(PING, b"p" * 126), "control frame too long"),
    "a ping in fragments": (ws_frame(PING, b"p", fin=False), "fragmented control frame"),
    "an empty message": (ws_frame(BINARY), "ends early, at offset 0"),
    "JSON": (ws_frame(TEXT, JSON), "begins as JSON does"),
    "half a message, and closed": (ws_frame(BINARY, EVENT, fin=False) + close(1000), "1000"),
    "no close code": (ws_frame(8), "closed by the relay: 1005"),
    "a close code of one byte": (ws_frame(8, b"x"), "close frame too short"),
    "a reason that is no UTF-8": (close(1000, b"\xff"), "can't decode byte 0xff"),
    **{
        f"close code {code}": (close(code, REASON), f"closed by the relay: {code} two\ufffdlines")
        for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4000)
    },
    **{
        f"close code {code}": (close(code, REASON), "invalid status code")
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
    },
}


async def record_from(relay: OddOnce, output: Path) -> list[int]:
    async with serving(relay) as port, asyncio.timeout(PATIENCE_S):
        await recorded(f"ws://127.0.0.1:{port}", output, frames_max=COUNT)
    return seqs(frames_in(output))


@pytest.mark.parametrize("odd", GOOD.values(), ids=GOOD)
def test_what_is_odd_but_right_is_read(odd: bytes, tmp_path: Path) -> None:
    relay = OddOnce(odd)
    numbers = uvloop.run(record_from(relay, tmp_path / "capture"))
    assert numbers == list(range(1000, 1000 + COUNT))
    assert len(relay.subscriptions) == 1


@pytest.mark.parametrize(("odd", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_costs_the_connection_and_no_event(
    odd: bytes, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    relay = OddOnce(odd)
    numbers = uvloop.run(record_from(relay, tmp_path / "capture"))
    assert numbers == list(range(1000, 1000 + COUNT))
    assert relay.subscriptions == [None, 1000 + ODD - 1]
    warned = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert said in " ".join(one.getMessage() for one in warned)
    assert all(one.getMessage().isprintable() and not one.exc_info for one in warned)


def test_half_a_frame_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    relay = OddOnce(ws_frame(BINARY, EVENT)[:100], and_closes=True)
    numbers = uvloop.run(record_from(relay, tmp_path / "capture"))
    assert numbers == list(range(1000, 1000 + COUNT))
    assert "closed by the relay without a word (stream ends after 96 bytes" in caplog.text


ALWAYS = {**BROKEN, "more than can be received": ws_frame(BINARY, bytes(RECEIVE_MAX_BYTES + 1))}


@pytest.mark.parametrize(
    ("raw", "count"),
    [(raw, 1) for raw in ALWAYS.values()] + [(BROKEN["half a frame"], 3)],
    ids=[*ALWAYS, "three in a row"],
)
@pytest.mark.parametrize("after_cursor", [False, True])
def test_what_never_can_be_received_is_left_out(
    raw: bytes, count: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, after_cursor: bool
) -> None:
    relay = ScriptedRelay(after_cursor=after_cursor)
    bad = range(31, 31 + count)
    relay.raw = dict.fromkeys(bad, raw)
    said: list[str] = []

    async def main() -> None:
        async with listening(relay), asyncio.timeout(PATIENCE_S):
            output, frames_max = tmp_path / "capture", LAST_SEQ - count
            await recorded(relay.url, output, frames_max=frames_max, report=said.append)

    uvloop.run(main())
    good = [seq for seq in range(1, LAST_SEQ + 1) if seq not in bad]
    assert seqs(frames_in(tmp_path / "capture")) == good
    assert f"{count} undecodable left out" in said[-1]
    assert "the frame after seq 30 is left out: it " in caplog.text


def certificate(directory: Path, name: str) -> Path:
    """Make a certificate, with its key in the same file."""
    made = directory / f"{name}.pem"
    request = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout -"
    subprocess.run(
        ["openssl", *request.split(), "-addext", f"subjectAltName=DNS:{name}"],
        check=True,
        stdout=made.open("wb"),
        stderr=subprocess.DEVNULL,
    )
    return made


def expired(made: Path) -> Path:
    """Make the same certificate again, valid until yesterday, without its key."""
    old = made.with_suffix(".old.pem")
    subprocess.run(
        ["openssl", "x509", "-in", made, "-signkey", made, "-days", "-1", "-out", old],
        check=True,
        capture_output=True,
    )
    return old


def test_what_is_wrong_with_tls_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def context(path: Path, key: Path | None = None) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(path, key)
        return made

    async def refuse(
        _request: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")

    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def said(scheme: str, port: int) -> str:
        with pytest.raises(BadInput) as caught:
            await recorded(f"{scheme}://localhost:{port}", tmp_path / "capture", frames_max=1)
        return caught.value.message

    own, other = certificate(tmp_path, "localhost"), certificate(tmp_path, "other.test")

    async def main() -> None:
        async with serving(refuse, context(own)) as port:
            message = await said("wss", port)
            assert "is not to be trusted: self-signed certificate; if it is the relay, " in message
            assert "make this host trust its authority" in message
            assert "closed during the handshake; if it speaks TLS" in await said("ws", port)
            monkeypatch.setenv("SSL_CERT_FILE", str(own))
            assert "answered HTTP 404 Not Found" in await said("wss", port)
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        async with serving(refuse, context(other)) as port:
            message = await said("wss", port)
            assert "certificate is not valid for 'localhost'; name the relay by a host" in message
            # Another authority would not help.
            assert "authority" not in message
        old = expired(own)
        monkeypatch.setenv("SSL_CERT_FILE", str(old))
        async with serving(refuse, context(old, own)) as port:
            message = await said("wss", port)
            assert "certificate has expired; it has to be renewed, unless this host's" in message
        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert "does not answer in TLS; name it as ws://" in await said("wss", port)

    uvloop.run(main())


def test_an_extension_that_nobody_asked_for_is_named(tmp_path: Path) -> None:
    async def compress(
        request: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(accepted(request, b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))

    async def main() -> None:
        async with serving(compress) as port:
            with pytest.raises(BadInput, match="uses an extension or subprotocol that it was not"):
                await recorded(f"ws://127.0.0.1:{port}", tmp_path / "capture", frames_max=1)

    uvloop.run(main())
