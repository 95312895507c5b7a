"""Consumers that are pushed to: what they subscribe to, and when; no I/O.

They take the place of those that poll: no poll of theirs is ever due. A gate that opens subscribes
all consumers behind it, and the end of the run unsubscribes them. Messages that the server sent
before it read that still come.
"""

from __future__ import annotations

import sys

from fpaas.consumers.polling import Polling
from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.measures.delivery_log import DeliveryLog

#: Later than any run.
_NEVER_UNIX_NS = 2**63 - 1


class NoPolls:
    """The schedule of who never polls."""

    def first_due(self, _consumer: int) -> int:
        """Return when poll 0 is due."""
        return _NEVER_UNIX_NS

    def next_due(self, _consumer: int, _poll: int, previous_due: int) -> int:
        """Return when a later poll is due."""
        return previous_due

    def absences_before(self, _due: int) -> int:
        """Return how often consumers were away before a poll."""
        return 0


def subscriber(log: DeliveryLog, gate: Gate, subscription: bytes, habit: Habit) -> Puller:
    """Return a consumer whose deliveries are no answer to a pull, however many come."""
    consumer = Puller(log, gate, subscription, habit)
    consumer.remaining = sys.maxsize
    return consumer


def subscription_of(subject: str, group: str, sid: bytes) -> bytes:
    """Return the protocol line that makes a consumer a member of a queue group."""
    return f"SUB {subject} {group} ".encode() + sid + b"\r\n"


class Subscribing(Polling):
    """All consumers of one process that are pushed to; the `request` of each subscribes it."""

    def connection_up(self, gate: Gate, now: int) -> None:
        """Subscribe all on a connection."""
        super().connection_up(gate, now)
        self._say(gate, [puller.request for puller in gate.pullers])

    def expire(self, now: int) -> None:
        """End the runs of the last second: nothing else does, and journals have ended ones only."""
        super().expire(now)
        for puller in self._pullers:
            puller.log.end_run()

    def stop(self, now: int) -> None:
        """Unsubscribe all."""
        super().stop(now)
        for gate in self._gates:
            if gate.is_open:
                self._say(gate, [unsubscribes(puller.request) for puller in gate.pullers])

    def _say(self, gate: Gate, lines: list[bytes]) -> None:
        if not gate.outbox:
            self.to_send.append(gate)
        gate.outbox += lines


def unsubscribes(subscription: bytes) -> bytes:
    """Return the protocol line that ends a subscription."""
    return b"UNSUB " + subscription.rsplit(b" ", 1)[1]
