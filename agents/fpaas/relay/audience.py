"""Everybody who is connected to the relay."""

from __future__ import annotations

from typing import Protocol

from fpaas.records.relay import RelayResult
from fpaas.relay.cursors import Rules
from fpaas.spec import NS_PER_S, Fault


class Listener(Protocol):
    """One connection, as the audience sees it."""

    @property
    def blocked_for_ns(self) -> int:
        """How long the socket of a subscriber that had caught up has taken no more."""

    def blocked(self) -> tuple[int, str] | None:
        """Return since when its socket takes no more, if it had caught up, and its address."""

    def send_due(self) -> None:
        """Send what has fallen due."""

    def suffer(self, fault: Fault) -> None:
        """Be treated badly: once, or until `released`."""

    def released(self) -> None:
        """Be treated well again."""

    def close(self, code: int, reason: str) -> None:
        """Close with WebSocket's handshake."""

    def abort(self) -> None:
        """Close at once."""


class Audience:
    """Everybody who is connected, and those of them who subscribed. Counts are running totals.

    `sent` frames went to a subscriber that had caught up, `replayed` ones to one on its way there.
    `blocked_s` is how long sockets of subscribers that had caught up took no more.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.connections: set[Listener] = set()
        self.subscribers: set[Listener] = set()
        self.sent = 0
        self.replayed = 0
        self.connects = 0
        self.slow_disconnects = 0
        self.blocked_ns = 0
        #: The bad manners that all subscribers suffer now, new ones included.
        self.fault: Fault | None = None

    def go_on(self, left: RelayResult) -> None:
        """Count on from the account of a relay that ended in this run."""
        self.sent, self.replayed = left.sent, left.replayed
        self.connects, self.slow_disconnects = left.connects, left.slow_disconnects
        self.blocked_ns = round(left.blocked_s * NS_PER_S)

    @property
    def blocked_s(self) -> float:
        """How long sockets took no more until now, those that still do not included."""
        still_ns = sum(subscriber.blocked_for_ns for subscriber in self.subscribers)
        return (self.blocked_ns + still_ns) / NS_PER_S

    def blocked(self) -> tuple[int, str] | None:
        """Return since when (monotonic ns) a live subscriber takes nothing, and its address."""
        return min(filter(None, (each.blocked() for each in self.subscribers)), default=None)

    def hold(self, fault: Fault) -> None:
        """Have everybody suffer bad manners until `release`."""
        self.fault = fault
        self.suffer(fault)

    def release(self) -> None:
        """Be as a relay should be from now on."""
        self.fault = None
        for connection in tuple(self.connections):
            connection.released()

    def suffer(self, fault: Fault) -> None:
        """Have all who are connected suffer bad manners."""
        for connection in tuple(self.connections):
            connection.suffer(fault)

    def suffers(self, do: str) -> bool:
        """Whether these are the bad manners of now."""
        return self.fault is not None and self.fault.do == do

    def discard(self, connection: Listener) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self.subscribers.discard(connection)
