"""Reads events from the relay again, by a separate subscription, for a stream made again.

The reader keeps its place in the relay's stream and waits, so that new events come after those that
are read again. Only wanted events are published; frames that cannot be decoded were counted when
they were first read. Events from before a relay renumbered cannot be asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from fpaas.firehose.frames import Event, FrameError, decode
from fpaas.firehose.numbering import Numbering
from fpaas.firehose.relay_client import RelayConnection
from fpaas.firehose.relay_errors import RelayError
from fpaas.measures.intervals import IntervalSet
from fpaas.shuffler.publisher import Publisher

log = logging.getLogger(__name__)

#: A relay that brings no wanted event for this long does not have them.
PATIENCE_S = 20.0
RETRY_S = 0.25


class Replay:
    """One replay of the window's `to_replay`, which shrinks as events are taken in."""

    def __init__(self, url: str, publisher: Publisher, numbering: Numbering) -> None:
        self._url = url
        self._publisher = publisher
        self._base = numbering.base
        begin = self._base + (numbering.first_seq or 1)
        self._wanted = IntervalSet(
            (max(first, begin), last) for first, last in publisher.window.to_replay if last >= begin
        )
        self._last = self._wanted.last or 0
        self._next = self._wanted.first or 0
        self._connection: RelayConnection | None = None
        self._done = asyncio.Event()
        self._full = asyncio.Event()
        self._moved_s = time.monotonic()
        self.count = 0

    async def run(self) -> None:
        """Read until all is there, or the relay does not bring it."""
        if not self._wanted:
            self._done.set()
        pausing = asyncio.ensure_future(self._pause_when_full())
        try:
            while not self._done.is_set() and time.monotonic() < self._moved_s + PATIENCE_S:
                await self._subscribe()
        finally:
            pausing.cancel()
            self._close()
        self._publisher.window.to_replay = IntervalSet()

    async def _subscribe(self) -> None:
        connection = RelayConnection(
            self._url, cursor=self._next - 1 - self._base, on_frames=self._got_frames
        )
        self._connection = connection
        try:
            await connection.open()
        except RelayError as error:
            log.info("reading again: %s", error)
        else:
            done = asyncio.ensure_future(self._done.wait())
            ends: list[asyncio.Future[Any]] = [done, connection.closed]
            await asyncio.wait(
                ends,
                timeout=max(0.0, self._moved_s + PATIENCE_S - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            done.cancel()
        self._close()
        if not self._done.is_set():
            await asyncio.sleep(RETRY_S)

    def _got_frames(self, frames: list[bytes]) -> None:
        publisher = self._publisher
        for frame in frames:
            try:
                event = decode(frame)
            except FrameError:
                continue
            if not isinstance(event, Event) or event.seq + self._base < self._next:
                continue
            position = event.seq + self._base
            self._next = position + 1
            if position in self._wanted:
                self.count += 1
                publisher.publish_again(event._replace(seq=position), frame)
            if position >= self._last:
                self._done.set()
                self._close()
                break
        self._moved_s = time.monotonic()
        publisher.window.to_replay = IntervalSet(
            (max(first, self._next), last) for first, last in self._wanted if last >= self._next
        )
        publisher.flush()
        if not publisher.has_room:
            self._full.set()

    async def _pause_when_full(self) -> None:
        while True:
            await self._full.wait()
            connection = self._connection
            if connection is not None:
                connection.pause()
            await self._publisher.wait_for_own_room()
            self._moved_s = time.monotonic()
            self._full.clear()
            if connection is not None:
                connection.resume()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
