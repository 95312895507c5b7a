"""Makes a worker's durables again when their stream was lost and made again.

Each worker makes its own, many at once. A `shared` durable is made by the first worker to ask for
it: all ask for the same.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

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
    """Looks after the durables of one worker; `created` tells the stream that they are of.

    `starts` has, by stream, the first sequence that late durables are served; these are
    not among `durables` before they are due.
    """

    def __init__(
        self, address: NatsAddress, spec: RunSpec, durables: list[Durable], name: str
    ) -> None:
        self.created: str | None = None
        self.durables = durables
        self.starts: dict[str | None, dict[str, int]] = {}
        #: The same for those made since the last look at the stream; the next look says which it
        #: was.
        self._made: dict[str, int] = {}
        self._late: set[str] = set()
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
        if before == self.created:
            self.starts.setdefault(before, {}).update(self._made)
        self._made = {}
        return before is not None and before != self.created

    async def join(self, durables: list[Durable]) -> None:
        """Make durables that are late; from now on they are made again like all others."""
        self._late.update(one.name for one in durables)
        self.durables = [*self.durables, *(one.again() for one in durables)]
        await self._make(durables)

    async def make(self) -> None:
        """Make all durables, waiting for NATS as long as need be."""
        await self._make(self.durables)

    async def _make(self, durables: list[Durable]) -> None:
        left = list(durables)
        api = JetStreamApi(self._address, name=self._name)
        try:
            while left:
                try:
                    if not api.connection.connected.is_set():
                        await api.connection.connect_patiently(CONNECT_PATIENCE_S)
                    await asyncio.gather(*(self._make_some(api, left) for _ in range(CONCURRENCY)))
                except (JetStreamError, NatsError, KeyError) as error:
                    log.warning("making durables again: %s", error)
                    await asyncio.sleep(RETRY_S)
        finally:
            await api.close()

    async def _make_some(self, api: JetStreamApi, left: list[Durable]) -> None:
        stream = self._spec.stream.name
        while left:
            durable = left.pop()
            try:
                info = await self._made_or_found(api, stream, durable)
            except JetStreamError:
                left.append(durable)
                raise
            if durable.name in self._late:
                self._made[durable.name] = int(info["delivered"]["stream_seq"]) + 1

    async def _made_or_found(
        self, api: JetStreamApi, stream: str, durable: Durable
    ) -> dict[str, Any]:
        """Make a durable; one that a worker made that ended may start elsewhere, and stays."""
        try:
            return await api.call(
                f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{durable.name}",
                {"stream_name": stream, "config": asked.durable(self._spec, durable)},
            )
        except JetStreamError as error:
            if durable.name not in self._late or not error.err_code:
                raise
            return await api.call(f"$JS.API.CONSUMER.INFO.{stream}.{durable.name}")
