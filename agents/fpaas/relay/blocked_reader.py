"""The relay's subscribers as a peer that it watches; see fpaas.watch.watch."""

from __future__ import annotations

from typing import Protocol

from fpaas.measures.silence import PING_AFTER_NS
from fpaas.records.events import READER_BLOCKED, Value


class Relay(Protocol):
    """What the peer needs from the relay."""

    def blocked(self) -> tuple[int, str] | None:
        """Return since when a subscriber has been blocked for longest, and its address."""


class BlockedReader:
    """A subscriber that takes nothing; counts as heard while none is blocked, or another is."""

    kind = READER_BLOCKED
    ping_after_ns = PING_AFTER_NS

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._reader = ""

    def progress(self) -> object:
        """See watch.Peer."""
        blocked = self._relay.blocked()
        if blocked is None:
            return object()
        since_ns, self._reader = blocked
        return since_ns

    def is_connected(self) -> bool:
        """See watch.Peer."""
        return True

    def owes(self) -> bool:
        """See watch.Peer."""
        return True

    def ping(self) -> None:
        """See watch.Peer; what is due is in the socket already."""

    def parameters(self) -> dict[str, Value]:
        """See watch.Peer."""
        return {"reader": self._reader}
