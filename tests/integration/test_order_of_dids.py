"""The order of each DID's events in a real stream, whatever of them it refuses or loses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import nats
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from fpaas.firehose.frames import Event
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.subjects import Addresser
from fpaas.spec import STREAM_NAME, SUBJECT_ROOT
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

DIDS = 3
AHEAD = "Nats-Expected-Last-Sequence"


def event(seq: int) -> Event:
    did = f"did:plc:{seq * seq % 7 % DIDS}"
    return Event("commit", seq, did, f"3l{seq}", "2026-01-01T00:00:00Z", ("app.bsky.a.b",), None)


async def connected(server: NatsServer, account: Account) -> Publisher:
    publisher = Publisher(NatsAddress.parse(server.url), account, Addresser())
    await publisher.connect(PATIENCE_S)
    return publisher


async def publish(publisher: Publisher, seqs: Iterable[int]) -> None:
    for seq in seqs:
        publisher.publish(event(seq), b"frame")
        # As many as a chunk that the relay's socket brings.
        if seq % 40 == 0:
            publisher.flush()
            await asyncio.sleep(0)
    publisher.flush()


def seq_of(message: Msg) -> int:
    return int((message.headers or {})["Fpaas-Seq"])


def assert_in_order(found: list[int], count: int) -> None:
    assert sorted(found) == list(range(1, count + 1))
    for number in range(DIDS):
        of_did = [seq for seq in found if event(seq).did == f"did:plc:{number}"]
        assert of_did == sorted(of_did)


async def read(context: JetStreamContext, count: int) -> list[Msg]:
    """Read messages, a few at a time; each that is acked makes room in a work queue."""
    subscription = await context.pull_subscribe(f"{SUBJECT_ROOT}.>", durable="d")
    messages: list[Msg] = []
    while len(messages) < count:
        with contextlib.suppress(TimeoutError):
            for message in await subscription.fetch(5, timeout=1):
                messages.append(message)
                await message.ack()
    return messages


def test_a_stream_that_is_full_now_and_then(nats_server: NatsServer) -> None:
    count = 400

    account = Account()

    async def play() -> list[Msg]:
        client = await nats.connect(nats_server.url)
        context = client.jetstream(timeout=PATIENCE_S)
        await context.add_stream(
            StreamConfig(
                name=STREAM_NAME,
                subjects=[f"{SUBJECT_ROOT}.>"],
                storage=StorageType.MEMORY,
                retention=RetentionPolicy.WORK_QUEUE,
                discard=DiscardPolicy.NEW,
                max_msgs=20,
            )
        )
        publisher = await connected(nats_server, account)
        reading = asyncio.ensure_future(read(context, count))
        await publish(publisher, range(1, count + 1))
        messages = await reading
        await publisher.drain(PATIENCE_S)
        await publisher.close()
        await client.close()
        return messages

    messages = asyncio.run(asyncio.wait_for(play(), 5 * PATIENCE_S))
    assert_in_order([seq_of(message) for message in messages], count)
    assert any(AHEAD in (message.headers or {}) for message in messages)
    assert account.published == count
    # The stream was full; what came ahead of its turn then is no refusal of its own.
    assert [reason.split()[0] for reason in account.refusals_by_reason] == ["10077"]


def test_connections_that_are_lost_with_what_is_on_its_way(nats_server: NatsServer) -> None:
    count = 3000
    account = Account()

    async def play() -> list[Msg]:
        client = await nats.connect(nats_server.url)
        await client.jetstream(timeout=PATIENCE_S).add_stream(
            StreamConfig(name=STREAM_NAME, subjects=[f"{SUBJECT_ROOT}.>"], duplicate_window=120)
        )
        await client.close()
        publisher = await connected(nats_server, account)
        for connects, first in enumerate(range(1, count + 1, count // 3), 2):
            await publish(publisher, range(first, first + count // 3))
            nats_server.kill()
            nats_server.start()
            while publisher.connection.connects < connects or publisher.congested:
                await asyncio.sleep(0.01)
        await publisher.drain(PATIENCE_S)
        await publisher.close()
        client = await nats.connect(nats_server.url)
        messages = await read(client.jetstream(timeout=PATIENCE_S), count)
        await client.close()
        return messages

    messages = asyncio.run(asyncio.wait_for(play(), 5 * PATIENCE_S))
    assert_in_order([seq_of(message) for message in messages], count)
    assert any(AHEAD in (message.headers or {}) for message in messages)
    assert account.published == count
    assert account.stored_twice == account.duplicates == 0
