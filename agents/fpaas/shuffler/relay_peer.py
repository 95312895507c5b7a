"""The relay as a peer that the shuffler watches; see fpaas.watch.watch."""

from __future__ import annotations

from fpaas.measures.silence import PING_AFTER_NS
from fpaas.records.events import RELAY_SILENT, Value
from fpaas.shuffler.relay_reader import RelayReader


class RelayPeer:
    """The relay that a reader follows, through its disconnects."""

    kind = RELAY_SILENT
    ping_after_ns = PING_AFTER_NS

    def __init__(self, reader: RelayReader) -> None:
        self._reader = reader

    def progress(self) -> int:
        """See watch.Peer."""
        return self._reader.subscription.reads

    def is_connected(self) -> bool:
        """See watch.Peer."""
        return self._reader.connected.is_set()

    def owes(self) -> bool:
        """See watch.Peer."""
        return self._reader.is_listening

    def ping(self) -> None:
        """See watch.Peer."""
        self._reader.subscription.ping()

    def parameters(self) -> dict[str, Value]:
        """See watch.Peer."""
        return {"url": self._reader.url}
