"""A relay that serves few events from any cursor on, and does in their place what a test says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.event_frames import frame
from tests.support.websocket_frames import BINARY, close, ws_frame

LAST_SEQ = 60
BAD = b"\xa2\x61t\x67#commit\x62op\x01\xff"

#: Bytes that break the WebSocket protocol, each in a way of its own.
BROKEN = {
    "a reserved bit": ws_frame(BINARY, BAD, reserved=4),
    "no such opcode": ws_frame(3, BAD),
    "half a frame": ws_frame(BINARY, bytes(200))[:100],
    "a message without its end": ws_frame(BINARY, BAD, fin=False) + close(1000),
}


def commit(seq: int, size_bytes: int = 200) -> bytes:
    body = {
        "seq": seq,
        "repo": f"did:plc:{seq:024d}",
        "rev": f"{seq:013d}",
        "time": "2026-07-04T14:38:07.517Z",
        "ops": [{"action": "create", "path": "app.bsky.feed.like/3a"}],
        "blocks": bytes(size_bytes),
    }
    return frame({"op": 1, "t": "#commit"}, body)


class ScriptedRelay:
    """Serves seqs 1 … LAST_SEQ from the cursor on, except for what `frames` says of a seq.

    `subscriptions` are the cursors that were asked for.
    """

    def __init__(self, *, after_cursor: bool = False) -> None:
        self.frames: dict[int, bytes] = {}
        self.greeting: Callable[[int | None, int], bytes | None] = lambda _cursor, _number: None
        #: Sent once each after the frame with this seq, and nothing more until it is closed.
        self.inserted: dict[int, str | bytes] = {}
        self.cut_after: dict[int, int] = {}
        #: Bytes in place of the frame with this seq, after which the connection is closed.
        self.raw: dict[int, bytes] = {}
        #: The first so many connections, and no others, have `raw`; None: all do.
        self.raw_until: int | None = None
        self.subscriptions: list[int | None] = []
        self.url = ""
        self._after_cursor = after_cursor

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        values = parse_qs(urlsplit(connection.request.path).query).get("cursor")
        cursor = int(values[0]) if values else None
        number = len(self.subscriptions)
        self.subscriptions.append(cursor)
        with contextlib.suppress(ConnectionClosed):
            greeting = self.greeting(cursor, number)
            if greeting is not None:
                await connection.send(greeting)
            first = 1 if cursor is None else max(cursor + self._after_cursor, 1)
            for seq in range(first, LAST_SEQ + 1):
                if seq in self.raw and (self.raw_until is None or number < self.raw_until):
                    connection.transport.write(self.raw[seq])
                    connection.transport.close()
                    return
                await connection.send(self.frames.get(seq, commit(seq)))
                if seq in self.inserted:
                    await connection.send(self.inserted.pop(seq))
                    await connection.wait_closed()
                    return
                if self.cut_after.get(number) == seq:
                    connection.transport.abort()
                    return
            await connection.wait_closed()


@contextlib.asynccontextmanager
async def listening(relay: ScriptedRelay) -> AsyncIterator[ScriptedRelay]:
    async with serve(relay.handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        relay.url = f"ws://127.0.0.1:{port}"
        yield relay
