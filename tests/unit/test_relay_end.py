"""A relay that is told to end before its time counts all that fell due until it had ended."""

from __future__ import annotations

import asyncio
from typing import cast

from fpaas import common_time
from fpaas.firehose.pace import AtRate
from fpaas.firehose.synthetic import Synthetic
from fpaas.relay.audience import Audience
from fpaas.relay.cursors import Rules
from fpaas.relay.offering import Offering
from fpaas.relay.server import Relay
from fpaas.relay.subscriber import Subscriber
from fpaas.relay.wire import Wire

RATE_PER_S = 1000


class Stuck:
    """A subscriber that does not answer the close."""

    def __init__(self) -> None:
        self.was_aborted = False

    def close(self, _code: int, _reason: str) -> None:
        """Is told, and says nothing."""

    def abort(self) -> None:
        """Is gone."""
        self.was_aborted = True


def test_what_falls_due_while_subscribers_are_told_is_offered() -> None:
    async def play() -> tuple[int, int, int]:
        pace = AtRate(RATE_PER_S)
        t0_unix_ns = common_time.now_ns()
        wire = Wire(Synthetic(1, {}), pace, ())
        relay = Relay(
            Offering(wire, pace, total=10**6, t0_unix_ns=t0_unix_ns),
            Audience(Rules(1000, 1000, inclusive=False)),
        )
        stuck = Stuck()
        relay.audience.connections.add(cast("Subscriber", stuck))
        relay.start()
        told = relay.offering.offered
        await relay.close()
        assert stuck.was_aborted
        due = pace.due_count(common_time.now_ns() - t0_unix_ns)
        return told, relay.offering.offered, due

    told, offered, due = asyncio.run(play())
    # It waited for a second, in which a thousand fell due.
    assert offered - told > RATE_PER_S / 2
    assert offered <= due
