"""Two shufflers publish into one stream, and NATS fails: no event counts for both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
import pytest
import uvloop
from nats.js.api import StorageType

from fpaas import spec
from fpaas.firehose.relay_client import subscription_url
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.shuffler.shuffler import Endpoints, Shuffler
from tests.support.bad_relay import BadRelay
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.streams import create_stream

pytestmark = pytest.mark.integration

EVENTS = 1200
RATE_PER_S = 400
IN_TIME_S = 2 * PATIENCE_S
FAILS_AFTER_S = 0.5
KILLS = 4


@contextlib.asynccontextmanager
async def shuffling(server: NatsServer, relay: BadRelay, after: int) -> AsyncIterator[Shuffler]:
    endpoints = Endpoints(subscription_url(relay.url), NatsAddress.parse(server.url), "127.0.0.1:0")
    subject = Shuffler(endpoints, after=after)
    await subject.publisher.connect(PATIENCE_S)
    tasks = [
        asyncio.ensure_future(subject.reader.run()),
        asyncio.ensure_future(subject.settled_reader.run()),
    ]
    try:
        yield subject
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await subject.publisher.close()


def has_ended(subject: Shuffler) -> bool:
    window = subject.publisher.window
    return subject.account.read >= EVENTS and subject.publisher.is_idle and not window.settled


async def messages(url: str) -> dict[int, tuple[str, int]]:
    """Return who wrote each message of the stream, and its relay seq."""
    connection = await nats.connect(url)
    context = connection.jetstream(timeout=PATIENCE_S)
    state = (await context.stream_info(spec.STREAM_NAME)).state
    found = {}
    for place in range(1, state.last_seq + 1):
        headers = (await context.get_msg(spec.STREAM_NAME, place)).headers or {}
        found[place] = headers["Fpaas-Shuffler"], int(headers["Fpaas-Seq"])
    await connection.close()
    return found


def places(subject: Shuffler) -> dict[int, tuple[str, int]]:
    """Return the same, as a shuffler's account has it of its own."""
    account = subject.account
    assert account.writer is not None
    return {
        first + number: (account.writer, seq + number)
        for seq, first, count in account.stream.runs
        for number in range(count)
    }


def kill(server: NatsServer) -> None:
    server.kill()
    server.start()


def freeze(server: NatsServer) -> Callable[[], None]:
    """Freeze it with what the shufflers send meanwhile unread; returns what ends that."""
    os.kill(server.pid, signal.SIGSTOP)
    return lambda: os.kill(server.pid, signal.SIGCONT)


async def fail_by_kill(server: NatsServer) -> None:
    # What is in flight just then is in doubt: a few events, or none.
    for _ in range(KILLS):
        await asyncio.to_thread(kill, server)
        await asyncio.sleep(0.3)


async def fail_by_freeze(server: NatsServer) -> None:
    goes_on = freeze(server)
    try:
        # Longer than a publish waits for its answer: it is repeated.
        await asyncio.sleep(7)
    finally:
        goes_on()


@pytest.mark.parametrize(
    ("fail", "storage"),
    [
        (fail_by_kill, StorageType.FILE),
        (fail_by_kill, StorageType.MEMORY),
        (fail_by_freeze, StorageType.MEMORY),
    ],
)
@pytest.mark.parametrize("other_first_seq", [1000, 900])
def test_each_event_is_stored_once_and_counts_for_who_stored_it(
    nats_server: NatsServer,
    fail: Callable[[NatsServer], Any],
    storage: StorageType,
    other_first_seq: int,
) -> None:
    async def main() -> tuple[Shuffler, Shuffler, dict[int, tuple[str, int]]]:
        await create_stream(nats_server.url, storage)
        async with (
            shuffling(nats_server, relay, 999) as one,
            shuffling(nats_server, other_relay, other_first_seq - 1) as other,
        ):
            await asyncio.sleep(FAILS_AFTER_S)
            await fail(nats_server)
            async with asyncio.timeout(IN_TIME_S):
                while not (has_ended(one) and has_ended(other)):
                    await asyncio.sleep(0.05)
        return one, other, await messages(nats_server.url)

    with contextlib.ExitStack() as relays:
        relay = relays.enter_context(BadRelay(RATE_PER_S, count=EVENTS))
        other_relay = (
            relay
            if other_first_seq == 1000
            else relays.enter_context(
                BadRelay(RATE_PER_S, seq=lambda event: other_first_seq + event, count=EVENTS)
            )
        )
        one, other, stored = uvloop.run(main())
    assert places(one) | places(other) == stored
    assert len(places(one)) + len(places(other)) == len(stored)
    # What the other one had stored was in doubt. After a kill it may be nothing.
    assert fail is fail_by_kill or one.account.foreign + other.account.foreign > 0
    for subject in (one, other):
        account = subject.account
        assert account.published == account.published_seqs.total
        if not account.lost_streams:
            assert len(stored) == EVENTS
            assert account.published == len(places(subject))
        assert account.published + account.duplicates == EVENTS
        assert account.failed == account.unknown == account.stored_twice == 0
