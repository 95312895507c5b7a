"""Reads, while it shuffles, what duplicates said to be this shuffler's: it may be another's.

Soon after NATS failed, as messages leave the stream; and few at a time, so that a server which has
just come back is not kept busy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsError
from fpaas.shuffler import stream_reader
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_window import PublishWindow

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
#: In a second; there are as many after a failure as publishes were in flight.
READS_MAX = 250
TIMEOUT_S = 5.0


class SettledReader:
    """Reads of the `streams`, by name and in order."""

    def __init__(
        self, address: NatsAddress, streams: Sequence[str], account: Account, window: PublishWindow
    ) -> None:
        self._address = address
        self._streams = streams
        self._account = account
        self._window = window

    async def run(self) -> None:
        """Read what there is, each second."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            if self._window.settled:
                await self.read(READS_MAX)

    async def read(self, reads_max: int = stream_reader.READS_MAX) -> None:
        """Read up to `reads_max` places of each stream. If NATS does not answer, they stay."""
        api = JetStreamApi(self._address, name="fpaas-shuffler-reader")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await api.connection.connect_patiently(TIMEOUT_S)
                for number, name in enumerate(self._streams):
                    await stream_reader.read_settled(
                        api, name, self._account, self._window, number=number, reads_max=reads_max
                    )
        except (JetStreamError, NatsError, TimeoutError) as error:
            log.info("settled publishes were not read: %s", error or "no answer in time")
        finally:
            await api.close()
