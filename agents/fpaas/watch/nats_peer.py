"""A NATS server as a peer that an agent watches; see fpaas.watch.watch."""

from __future__ import annotations

from fpaas.jetstream.nats_connection import NatsConnection
from fpaas.measures.silence import PING_SERVER_AFTER_NS
from fpaas.records.events import NATS_SILENT, Value


class NatsPeer:
    """Whatever server a connection leads to: of a cluster, the next one when the first is lost."""

    kind = NATS_SILENT
    ping_after_ns = PING_SERVER_AFTER_NS

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._server = connection.server
        self._reads = 0

    def progress(self) -> int:
        """See watch.Peer. Bytes that make no connection, such as a refusal, do not count."""
        if self._connection.connected.is_set():
            self._server = self._connection.server
            self._reads = self._connection.reads
        return self._reads

    def is_connected(self) -> bool:
        """See watch.Peer."""
        return self._connection.connected.is_set()

    def owes(self) -> bool:
        """See watch.Peer."""
        return True

    def ping(self) -> None:
        """See watch.Peer."""
        self._connection.ping()

    def parameters(self) -> dict[str, Value]:
        """See watch.Peer."""
        return {"server": str(self._server)}
