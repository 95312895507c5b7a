"""Exchanges with a NATS host that bound this host's clock; see clock_bounds for what they prove.

A message is published into a small memory stream of the lab's own, and its stored timestamp is
read back by direct get. Two small requests an exchange, and nothing touches the run's stream.

In a cluster it is the clock of the server that leads this stream. The stream is replicated as the
run's stream is, for it shall outlive a server as well; then another one's clock is compared, and
each exchange says whose.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

from fpaas import common_time
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
#: Exchanges in a row, before and after a run: the tightest of them counts.
BURST = 20
BURST_PAUSE_S = 0.01
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
    "allow_direct": True,
}


class Clock:
    """Makes exchanges with the NATS host; creates the stream if it does not exist.

    `is_clustered`: there are several servers, and one of them leads the stream.
    """

    def __init__(self, api: JetStreamApi, *, replicas: int = 1, is_clustered: bool = False) -> None:
        self._api = api
        self._config = {**STREAM_CONFIG, "num_replicas": replicas}
        self._is_clustered = is_clustered
        self._leader: str | None = None
        self._stream_exists = False

    async def exchange(self) -> Exchange:
        """Make one exchange. Raises JetStreamError if NATS does not answer as it should."""
        try:
            if not self._stream_exists:
                await self._create_stream()
                self._leader = await self._find_leader()
            exchange = await self._exchange()
            leader = await self._find_leader()
        except JetStreamError:
            # A server that was restarted has lost a memory stream: make it again next time.
            self._stream_exists = False
            raise
        before, self._leader = self._leader, leader
        if leader != before:
            raise JetStreamError(f"{STREAM}: went from {before} to {leader} during an exchange")
        return replace(exchange, server=leader)

    async def remove_stream(self) -> None:
        """Remove the stream; nothing happens if it is gone, or NATS is."""
        with contextlib.suppress(JetStreamError):
            await self._api.call(f"$JS.API.STREAM.DELETE.{STREAM}")
        self._stream_exists = False

    async def _create_stream(self) -> None:
        try:
            await self._api.call(f"$JS.API.STREAM.CREATE.{STREAM}", self._config)
        except JetStreamError as error:
            # There with another version's limits: it serves just as well.
            if error.err_code != STREAM_NAME_IN_USE:
                raise
        self._stream_exists = True

    async def _find_leader(self) -> str | None:
        """Name the server whose clock stamps messages; None of a single server."""
        if not self._is_clustered:
            return None
        cluster = (await self._api.stream_info(STREAM)).get("cluster") or {}
        leader = cluster.get("leader")
        if not leader:
            raise JetStreamError(f"{STREAM}: has no leader")
        return str(leader)

    async def _exchange(self) -> Exchange:
        sent_unix_ns = common_time.now_ns()
        answer = await self._api.request(SUBJECT)
        stored_as = decode(answer.payload, SUBJECT)
        stored = await self._read_back(stored_as["seq"])
        exchange = Exchange(sent_unix_ns, answer.received_unix_ns, parse_rfc3339_ns(stored))
        if exchange.rtt_ns < 0:
            raise JetStreamError(f"{SUBJECT}: this host's clock was set back during an exchange")
        return exchange

    async def _read_back(self, seq: int) -> str:
        """Return when a message was stored, as RFC 3339."""
        if self._is_clustered:
            # A direct get may be answered by a replica that does not have the message yet.
            answer = await self._api.call(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"seq": seq})
            return str(answer["message"]["time"])
        get = f"$JS.API.DIRECT.GET.{STREAM}"
        message = await self._api.request(get, json.dumps({"seq": seq}).encode())
        stored = dict(headers_of(message.header)).get("Nats-Time-Stamp")
        if stored is None:
            raise JetStreamError(f"{get}: no Nats-Time-Stamp in {message.header[:80]!r}")
        return stored
