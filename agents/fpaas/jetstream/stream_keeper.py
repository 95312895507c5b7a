"""Looks whether the stream is still the one that it was, and makes it again if it is gone.

A stream in memory goes with its server, and one may also be deleted by hand. It is made again as it
was asked for. The first to look makes it: all ask for the same, so being second does not matter.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from fpaas.jetstream.asked import Config
from fpaas.jetstream.jetstream_api import STREAM_NOT_FOUND, JetStreamApi, JetStreamError
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsError

log = logging.getLogger(__name__)

CONNECT_PATIENCE_S = 5.0
RETRY_S = 0.1


@dataclass(frozen=True)
class StreamLife:
    """One stream from when it was made: `created`, as the server says, tells it from the next."""

    created: str
    last_seq: int


class StreamKeeper:
    """Looks after one stream; `asked` is its configuration, None if it is to be found out."""

    def __init__(self, address: NatsAddress, stream: str, asked: Config | None, name: str) -> None:
        self.stream = stream
        self.asked = asked
        self._address = address
        self._name = name

    async def look(self, known: str | None) -> StreamLife | None:
        """Return the stream as it is now, made again if it is gone; waits for NATS as long as need.

        `known` is when the stream was made that was seen last. Without one, a stream that is not
        there is for others to make: None.
        """
        api = JetStreamApi(self._address, name=self._name)
        try:
            while True:
                try:
                    if not api.connection.connected.is_set():
                        await api.connection.connect_patiently(CONNECT_PATIENCE_S)
                    return await self._look(api, known)
                except (JetStreamError, NatsError, KeyError) as error:
                    # From a cluster that elects a leader, or a server that is gone again.
                    log.info("looking after stream %s: %s", self.stream, error)
                await asyncio.sleep(RETRY_S)
        finally:
            await api.close()

    async def _look(self, api: JetStreamApi, known: str | None) -> StreamLife | None:
        try:
            info = await api.stream_info(self.stream)
        except JetStreamError as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            if known is None or self.asked is None:
                return None
            info = await api.call(f"$JS.API.STREAM.CREATE.{self.stream}", self.asked)
            log.warning("stream %s is gone: it was made again", self.stream)
        if self.asked is None:
            self.asked = info["config"]
        return StreamLife(info["created"], int(info["state"]["last_seq"]))
