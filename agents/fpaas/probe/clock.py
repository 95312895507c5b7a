"""Exchanges with the NATS host that bound this host's clock; see clock_bounds for what they prove.

A message is published into a small memory stream of the lab's own, and its stored timestamp is
read back by direct get. Two small requests an exchange, and nothing touches the run's stream.
"""

from __future__ import annotations

import contextlib
import json
import time

from fpaas.jetstream.jetstream_api import (
    STREAM_NAME_IN_USE,
    JetStreamApi,
    JetStreamError,
    decode,
    headers_of,
)
from fpaas.probe.clock_bounds import Exchange, parse_rfc3339_ns

STREAM = "FPAAS_CLOCK"
SUBJECT = "fpaas.probe.clock.exchange"
_MAX_AGE_NS = 60_000_000_000
STREAM_CONFIG = {
    "name": STREAM,
    "subjects": ["fpaas.probe.clock.>"],
    "storage": "memory",
    "retention": "limits",
    "discard": "old",
    "max_msgs": 1000,
    "max_bytes": 1_000_000,
    "max_msg_size": 1024,
    "max_age": _MAX_AGE_NS,
    "duplicate_window": _MAX_AGE_NS,
    "max_consumers": 1,
    "num_replicas": 1,
    "allow_direct": True,
}


class Clock:
    """Makes exchanges with the NATS host; creates the stream when it is not there."""

    def __init__(self, api: JetStreamApi) -> None:
        self._api = api
        self._stream_exists = False

    async def exchange(self) -> Exchange:
        """Make one exchange. Raises JetStreamError where NATS does not answer as it should."""
        try:
            if not self._stream_exists:
                await self._create_stream()
            return await self._exchange()
        except JetStreamError:
            # A server that was restarted has lost a memory stream: make it anew next time.
            self._stream_exists = False
            raise

    async def remove_stream(self) -> None:
        """Remove the stream; nothing happens where it is gone, or NATS is."""
        with contextlib.suppress(JetStreamError):
            await self._api.call(f"$JS.API.STREAM.DELETE.{STREAM}")
        self._stream_exists = False

    async def _create_stream(self) -> None:
        try:
            await self._api.call(f"$JS.API.STREAM.CREATE.{STREAM}", STREAM_CONFIG)
        except JetStreamError as error:
            # There with another version's limits: it serves just as well.
            if error.err_code != STREAM_NAME_IN_USE:
                raise
        self._stream_exists = True

    async def _exchange(self) -> Exchange:
        sent_unix_ns = time.time_ns()
        answer = await self._api.request(SUBJECT)
        stored_as = decode(answer.payload, SUBJECT)
        get = f"$JS.API.DIRECT.GET.{STREAM}"
        message = await self._api.request(get, json.dumps({"seq": stored_as["seq"]}).encode())
        stored = dict(headers_of(message.header)).get("Nats-Time-Stamp")
        if stored is None:
            raise JetStreamError(f"{get}: no Nats-Time-Stamp in {message.header[:80]!r}")
        exchange = Exchange(sent_unix_ns, answer.received_unix_ns, parse_rfc3339_ns(stored))
        if exchange.rtt_ns < 0:
            raise JetStreamError(f"{SUBJECT}: this host's clock was set back during an exchange")
        return exchange
