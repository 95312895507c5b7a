"""A WebSocket between relay and shuffler that loses frames, and damages others."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Collection

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.patience import PATIENCE_S
from tests.support.relay_process import message


class FrameProxy(threading.Thread):
    """Forwards a relay's frames, but those with a seq in `swallowed` or `damaged`.

    Swallowed ones never arrive; damaged ones arrive as what is no DAG-CBOR.
    """

    def __init__(
        self, relay_url: str, port: int, swallowed: Collection[int], damaged: Collection[int]
    ) -> None:
        super().__init__(daemon=True)
        self._relay_url = relay_url
        self._port = port
        self._swallowed = swallowed
        self._damaged = damaged
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._listens = threading.Event()
        self.url = f"ws://127.0.0.1:{port}"

    def start(self) -> None:
        super().start()
        assert self._listens.wait(PATIENCE_S)

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self.join(10)

    async def _serve(self) -> None:
        async with serve(self._forward, "127.0.0.1", self._port, compression=None):
            self._listens.set()
            await self._end.wait()

    async def _forward(self, shuffler: ServerConnection) -> None:
        assert shuffler.request is not None
        url = self._relay_url + shuffler.request.path
        with contextlib.suppress(ConnectionClosed, OSError):
            async with connect(url, compression=None, max_size=None, proxy=None) as relay:
                async for frame in relay:
                    assert isinstance(frame, bytes)
                    seq = message(frame)[1].get("seq")
                    if seq in self._swallowed:
                        continue
                    await shuffler.send(b"\xff\x00" if seq in self._damaged else frame)
