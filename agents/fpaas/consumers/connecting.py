"""How long an agent's connections will take, measured on some of them before T0 is chosen.

It depends on the hosts, on TLS, on how many there are; with one for each of 10,000 consumers it is
most of a start's time.
"""

from __future__ import annotations

import asyncio
import time

from fpaas.consumers.assignment import Assignment
from fpaas.consumers.pull_connections import (
    CONNECT_CONCURRENCY,
    WAIT_FOR_NATS_S,
    address_of,
    shares_of,
)
from fpaas.jetstream.nats_connection import NatsConnection, NatsError


def connections_of(assignment: Assignment) -> int:
    """Return how many connections a worker will have."""
    spec = assignment.spec
    members = [0] * len(spec.by_class())
    for index in range(assignment.first, assignment.first + assignment.count):
        members[spec.class_of(index)] += 1
    counted = zip(spec.by_class(), members, strict=True)
    return sum(len(shares_of(of_class, count)) for of_class, count in counted if count)


async def takes_s(nats_url: str, connections: int) -> float | None:
    """Return how many seconds these connections take; None if NATS does not let us.

    It may not be up yet, so the first is waited for and does not count.
    """
    address = address_of(nats_url)
    tried = [
        NatsConnection(address, name=f"fpaas-consumers-trial-{number}")
        for number in range(min(connections, CONNECT_CONCURRENCY))
    ]
    try:
        await tried[0].connect_patiently(WAIT_FOR_NATS_S)
        began = time.monotonic()
        await asyncio.gather(*(connection.connect() for connection in tried[1:]))
        took_s = time.monotonic() - began
    except NatsError:
        return None
    finally:
        await asyncio.gather(*(connection.close() for connection in tried))
    return took_s / max(1, len(tried) - 1) * connections
