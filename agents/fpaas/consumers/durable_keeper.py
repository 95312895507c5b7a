"""Makes a worker's durables again when their stream was lost and made again.

Each worker makes its own, many at once. Of a `shared` durable whoever comes first makes it: all ask
for the same.
"""

from __future__ import annotations

import asyncio
import logging

from fpaas.jetstream import asked
from fpaas.jetstream.asked import Durable
from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsError
from fpaas.jetstream.stream_keeper import StreamKeeper
from fpaas.spec import RunSpec

log = logging.getLogger(__name__)

CONCURRENCY = 64
CONNECT_PATIENCE_S = 5.0
RETRY_S = 0.1


class DurableKeeper:
    """Looks after the durables of one worker; `created` tells the stream that they are of."""

    def __init__(
        self, address: NatsAddress, spec: RunSpec, durables: list[Durable], name: str
    ) -> None:
        self.created: str | None = None
        self.durables = durables
        self._address = address
        self._spec = spec
        self._name = name
        self._keeper = StreamKeeper(address, spec.stream.name, asked.stream(spec), name)

    async def look(self) -> bool:
        """See which stream is there; returns whether it is another one than before.

        Waits for NATS as long as need be, and makes a stream again that is gone.
        """
        life = await self._keeper.look(self.created)
        before = self.created
        if life is not None:
            self.created = life.created
        return before is not None and before != self.created

    async def make(self) -> None:
        """Make all durables, waiting for NATS as long as need be."""
        left = list(self.durables)
        api = JetStreamApi(self._address, name=self._name)
        try:
            while left:
                try:
                    if not api.connection.connected.is_set():
                        await api.connection.connect_patiently(CONNECT_PATIENCE_S)
                    await asyncio.gather(*(self._make_some(api, left) for _ in range(CONCURRENCY)))
                except (JetStreamError, NatsError) as error:
                    log.warning("making durables again: %s", error)
                    await asyncio.sleep(RETRY_S)
        finally:
            await api.close()

    async def _make_some(self, api: JetStreamApi, left: list[Durable]) -> None:
        stream = self._spec.stream.name
        while left:
            durable = left.pop()
            try:
                await api.call(
                    f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable.name}",
                    {"stream_name": stream, "config": asked.durable(self._spec, durable)},
                )
            except JetStreamError:
                left.append(durable)
                raise
