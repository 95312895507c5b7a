"""The stream as a peer that the shuffler watches; see fpaas.watch.watch.

A server may answer pings while its stream takes nothing: its disk is full, or its cluster has no
leader. If the server itself is silent, that is another event.
"""

from __future__ import annotations

import time

from fpaas.common_time import NS_PER_MS
from fpaas.measures.silence import PING_AFTER_NS
from fpaas.records.events import STREAM_SILENT, Value
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publisher import Publisher
from fpaas.spec import STREAM_NAME

#: A server that is watched is pinged ten times a second; what it did not answer for so long may be
#: its own silence.
SERVER_HEARD_WITHIN_NS = 500 * NS_PER_MS


class StreamPeer:
    """The stream that a publisher publishes into; whatever waits for an ack asks for a sign."""

    kind = STREAM_SILENT
    ping_after_ns = PING_AFTER_NS

    def __init__(self, publisher: Publisher, account: Account) -> None:
        self._publisher = publisher
        self._account = account
        self._server_reads = 0
        self._server_heard_ns = 0

    def progress(self) -> tuple[int, int]:
        """See watch.Peer. A refusal is no progress, if it is not for good."""
        account = self._account
        return account.published + account.duplicates, account.failed

    def is_connected(self) -> bool:
        """See watch.Peer. Without a connection, it is the server that is silent."""
        return True

    def owes(self) -> bool:
        """See watch.Peer."""
        connection = self._publisher.connection
        now_ns = time.monotonic_ns()
        if connection.reads != self._server_reads:
            self._server_reads = connection.reads
            self._server_heard_ns = now_ns
        answers = (
            connection.connected.is_set()
            and now_ns - self._server_heard_ns <= SERVER_HEARD_WITHIN_NS
        )
        return answers and bool(self._publisher.window.pending)

    def ping(self) -> None:
        """See watch.Peer."""

    def parameters(self) -> dict[str, Value]:
        """See watch.Peer."""
        return {"stream": STREAM_NAME}
