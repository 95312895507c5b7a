"""A relay that is not ours: a real WebSocket server with whatever manners a test gives it."""

from __future__ import annotations

import asyncio
import contextlib
import http
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self
from urllib.parse import parse_qs, urlsplit

import cbor2
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.support.patience import PATIENCE_S

GARBAGE = b"\xa2\x61t\x67#commit\x62op\x01\xff"
TICK_S = 0.005


def frame(header: dict[str, object], body: dict[str, object]) -> bytes:
    return cbor2.dumps(header, canonical=True) + cbor2.dumps(body, canonical=True)


def commit(seq: int, event: int, unix_s: float, size_bytes: int = 200) -> bytes:
    """Return event number `event`, which is the same one whatever seq a relay gives it."""
    at = datetime.fromtimestamp(unix_s, UTC)
    return frame(
        {"t": "#commit", "op": 1},
        {
            "seq": seq,
            "repo": f"did:plc:{event:024d}",
            "rev": f"{event:013d}",
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ops": [{"action": "create", "path": "app.bsky.feed.like/3a"}],
            "blocks": bytes(size_bytes),
        },
    )


INFO = frame({"t": "#info", "op": 1}, {"name": "OutdatedCursor"})


def future_cursor() -> bytes:
    return frame({"op": -1}, {"error": "FutureCursor", "message": "in the future"})


class BadRelay(threading.Thread):
    """Event i comes `i / rate_per_s` after `start`, has seq `seq(i)`, and its time from `age_s(i)`.

    If it `waits`, event 0 comes with the first subscription instead.

    `manner` says, for a time since it was first subscribed to, what it does: "serve", be "silent"
    (its socket answers pings), send only "info" or only "garbage", "close" with a close frame, or
    be "dead". `frames` replaces frames by event number; None leaves one out, b"" does not replace
    it. With a cursor it plays from (`inclusive`) or after it, within the numbering that it has by
    then: one begins at each of the events `renumbers_at`; it has their last `window`. Without
    `says_future` a cursor beyond the last is taken for none. `answer` is given in place of a
    subscription. `subscriptions` are (seconds since the start, cursor). `late_s` is how much later
    than it was to it went on at most.
    """

    def __init__(
        self,
        rate_per_s: float = 50,
        *,
        waits: bool = False,
        port: int = 0,
        seq: Callable[[int], int] = lambda event: 1000 + event,
        age_s: Callable[[int], float] = lambda _event: 0.0,
        manner: Callable[[float], str] = lambda _s: "serve",
        frames: Callable[[int], bytes | None] | None = None,
        renumbers_at: tuple[int, ...] = (),
        window: int | None = None,
        inclusive: bool = True,
        says_future: bool = True,
        answer: Callable[[int], tuple[int, dict[str, str]] | None] = lambda _number: None,
        count: int | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.rate_per_s = rate_per_s
        self._waits = waits
        self.seq = seq
        self.subscriptions: list[tuple[float, int | None]] = []
        self.attempts: list[float] = []
        self._age_s = age_s
        self._manner = manner
        self._frames = frames
        self._renumbers_at = (0, *renumbers_at)
        self._window = window
        self._inclusive = inclusive
        self._says_future = says_future
        self._answer = answer
        self._count = count
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._listens = threading.Event()
        self._connections: set[ServerConnection] = set()
        self.url = ""
        self.began_s = 0.0
        self.late_s = 0.0
        self._died_s: float | None = None

    def __enter__(self) -> Self:
        self.began_s = time.time()
        self.start()
        assert self._listens.wait(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self.join(PATIENCE_S)

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())

    @property
    def since_s(self) -> float:
        return time.time() - self.began_s

    @property
    def read_for_s(self) -> float:
        """How long ago it was first subscribed to; 0 before."""
        return self.since_s - self.subscriptions[0][0] if self.subscriptions else 0.0

    @property
    def dead_for_s(self) -> float:
        """How long ago it was dead first, with all connections cut; 0 before."""
        return 0.0 if self._died_s is None else self.since_s - self._died_s

    @property
    def due(self) -> int:
        """How many events there are by now."""
        due = int(self.since_s * self.rate_per_s) + 1
        return due if self._count is None else min(due, self._count)

    def frame(self, event: int) -> bytes | None:
        if self._frames is not None:
            replaced = self._frames(event)
            if replaced != b"":
                return replaced
        unix_s = self.began_s + event / self.rate_per_s - self._age_s(event)
        return commit(self.seq(event), event, unix_s)

    # -- inside ----------------------------------------------------------------------------------

    async def _serve(self) -> None:
        while not self._end.is_set():
            if self._manner(self.read_for_s) == "dead":
                await asyncio.sleep(TICK_S)
                continue
            async with serve(
                self._handle,
                "127.0.0.1",
                self._port,
                compression=None,
                max_size=None,
                ping_interval=None,
                process_request=self._process,
                close_timeout=0.1,
            ) as server:
                self._port = server.sockets[0].getsockname()[1]
                self.url = f"ws://127.0.0.1:{self._port}"
                self._listens.set()
                while not self._end.is_set() and self._manner(self.read_for_s) != "dead":
                    looked_s = time.monotonic()
                    await asyncio.sleep(TICK_S)
                    self.late_s = max(self.late_s, time.monotonic() - looked_s - TICK_S)
                for connection in tuple(self._connections):
                    connection.transport.abort()
                if self._died_s is None:
                    self._died_s = self.since_s

    def _process(self, _connection: ServerConnection, _request: Request) -> Response | None:
        answer = self._answer(len(self.attempts))
        self.attempts.append(self.since_s)
        if answer is None:
            return None
        status, headers = answer
        return Response(
            status, http.HTTPStatus(status).phrase, Headers({"Content-Length": "0", **headers}), b""
        )

    async def _handle(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._play(connection)
        finally:
            self._connections.discard(connection)

    async def _play(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        values = parse_qs(urlsplit(connection.request.path).query).get("cursor")
        cursor = int(values[0]) if values else None
        if self._waits and not self.subscriptions:
            self.began_s = time.time()
        self.subscriptions.append((self.since_s, cursor))
        position = await self._start(connection, cursor)
        while not self._end.is_set() and connection.close_code is None:
            # What falls due once its manner is asked for may be its to serve no more.
            due, manner = self.due, self._manner(self.read_for_s)
            if manner == "serve":
                while position < due:
                    sent = self.frame(position)
                    position += 1
                    if sent is not None:
                        await connection.send(sent)
                if position == self._count:
                    await connection.wait_closed()
                    return
            elif manner == "info":
                await connection.send(INFO)
            elif manner == "garbage":
                await connection.send(GARBAGE)
            elif manner == "close":
                await connection.close(1000)
            await asyncio.sleep(TICK_S)

    async def _start(self, connection: ServerConnection, cursor: int | None) -> int:
        due = self.due
        if cursor is None:
            return due - 1
        numbering = max(first for first in self._renumbers_at if first < due)
        wanted = [
            event
            for event in range(numbering, due)
            if self.seq(event) > cursor or (self._inclusive and self.seq(event) == cursor)
        ]
        if self.seq(due - 1) < cursor:
            if self._says_future:
                await connection.send(future_cursor())
                await connection.close(1008)
            return due - 1
        first = wanted[0] if wanted else due
        oldest = 0 if self._window is None else max(0, due - self._window)
        if first < oldest:
            await connection.send(INFO)
        return max(first, oldest)
