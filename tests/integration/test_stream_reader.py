"""What no answer told is read from a real stream: whose message lies where."""

from __future__ import annotations

import asyncio

import nats
import pytest
from nats.js.api import StorageType, StreamConfig

from fpaas.firehose.frames import Event, decode
from fpaas.firehose.synthetic import Synthetic
from fpaas.jetstream.jetstream_api import JetStreamApi
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.shuffler import stream_reader
from fpaas.shuffler.life_before import LifeBefore
from fpaas.shuffler.publish import Publish
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import Ack
from fpaas.shuffler.publish_window import PublishWindow
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.subjects import Addresser
from tests.support.nats_servers import NatsServer
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

STREAM = "S"


def publish(seq: int) -> Publish:
    return Publish(seq, b"s", b"h", b"frame", label="commit a.b.c", did_crc=seq)


async def store(
    url: str, headers: list[dict[str, str] | None], frames: list[bytes] | None = None
) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream(timeout=PATIENCE_S)
    config = StreamConfig(name=STREAM, subjects=["s.>"], storage=StorageType.MEMORY)
    await jetstream.add_stream(config)
    for header, frame in zip(headers, frames or [b"frame"] * len(headers), strict=True):
        await jetstream.publish("s.a", frame, headers=header)
    await client.close()


async def read(
    url: str, account: Account, window: PublishWindow, life_before: LifeBefore | None = None
) -> None:
    api = JetStreamApi(NatsAddress.parse(url), name="test")
    await api.connection.connect_patiently(PATIENCE_S)
    await stream_reader.settle(api, STREAM, account, window, life_before)
    await stream_reader.read_settled(api, STREAM, account, window, reads_max=100)
    await api.close()


def test_unanswered_publishes_copies_and_foreign_messages(nats_server: NatsServer) -> None:
    account = Account(keep_dids=True)
    window = PublishWindow(account)
    tokens = [window.add(publish(seq)) for seq in (7, 8, 9)]
    for item in window.pending.values():
        window.written(item, 0.0, 0)
    # 7 was acknowledged at place 2; its first write lies at place 1. 8 and 9 were never answered,
    # and 8 is there; place 4 is somebody else's.
    window.answer(tokens[0], Ack(2, duplicate=False), 0.0)
    headers = [{"Fpaas-Seq": "7"}, {"Fpaas-Seq": "7"}, {"Fpaas-Seq": "8"}, None]
    asyncio.run(store(nats_server.url, headers))
    asyncio.run(read(nats_server.url, account, window))
    assert list(account.published_seqs) == [(7, 8)]
    assert (account.settled, account.stored_twice, account.foreign) == (1, 1, 1)
    assert list(account.stream.copy_seqs) == [(1, 1)]
    assert account.stream.runs == [[7, 2, 2]]
    window.close()
    assert list(account.unknown_seqs) == [(9, 9)]


def test_what_another_shuffler_stored_is_its(nats_server: NatsServer) -> None:
    """After NATS failed, both repeat events, of which it has some; it may read another relay."""
    account = Account(keep_dids=True, writer="ours")
    window = PublishWindow(account)
    tokens = [window.add(publish(seq)) for seq in (7, 8, 9)]
    for _ in range(2):
        for item in window.pending.values():
            window.written(item, 0.0, 0)
    for place, token in enumerate(tokens, 1):
        window.answer(token, Ack(place, duplicate=True), 0.0)
    assert account.settled == 3
    headers: list[dict[str, str] | None] = [
        {"Fpaas-Shuffler": "ours", "Fpaas-Seq": "7"},
        {"Fpaas-Shuffler": "other", "Fpaas-Seq": "8"},
        {"Fpaas-Shuffler": "other", "Fpaas-Seq": "1009"},
    ]
    asyncio.run(store(nats_server.url, headers))
    asyncio.run(read(nats_server.url, account, window))
    assert list(account.published_seqs) == [(7, 7)]
    assert list(account.duplicate_seqs) == [(8, 9)]
    assert (account.settled, account.foreign) == (1, 2)
    assert account.stream.runs == [[7, 1, 1]]
    assert list(account.stream.stored_seqs) == [(1, 1)]
    assert account.stream.dids is not None
    assert list(account.stream.dids) == [7, 0, 0]


def test_an_event_without_an_answer_that_another_shuffler_stored_is_a_duplicate(
    nats_server: NatsServer,
) -> None:
    account = Account(writer="ours")
    window = PublishWindow(account)
    for seq in (7, 8):
        item = publish(seq)
        item.header = b"NATS/1.0\r\nNats-Msg-Id: did/%d\r\n\r\n" % seq
        window.add(item)
        window.written(item, 0.0, 0)
    headers: list[dict[str, str] | None] = [
        {"Fpaas-Shuffler": "other", "Nats-Msg-Id": "did/7", "Fpaas-Seq": "1007"},
        {"Fpaas-Shuffler": "ours", "Nats-Msg-Id": "did/8", "Fpaas-Seq": "8"},
    ]
    asyncio.run(store(nats_server.url, headers))
    asyncio.run(read(nats_server.url, account, window))
    assert list(account.duplicate_seqs) == [(7, 7)]
    assert list(account.published_seqs) == [(8, 8)]
    assert (account.foreign, account.unknown) == (1, 0)


def test_what_a_killed_shuffler_published_last_is_its(nats_server: NatsServer) -> None:
    """The firehose was over when another went on: no relay brings these events again."""
    frames = [Synthetic(1).frame(number) for number in range(4)]
    account = Account(keep_dids=True, writer="ours")
    publisher = Publisher(NatsAddress.parse(nats_server.url), account, Addresser(writer="ours"))
    first, known, *_ = (publisher.publish_of(event_of(frame), frame) for frame in frames)
    # It knew of all but the last one, and of the second one's ack only.
    for seq in (first.seq, known.seq, first.seq + 3):
        account.note_read(seq)
    account.note_published(known, 2)
    life_before = LifeBefore(publisher, account)
    stored = [
        (first.seq, "ours"),
        (known.seq, "ours"),
        (first.seq + 2, "ours"),
        (first.seq, "other"),
    ]
    headers: list[dict[str, str] | None] = [
        {"Fpaas-Shuffler": writer, "Fpaas-Seq": str(seq)} for seq, writer in stored
    ]
    asyncio.run(store(nats_server.url, [*headers, None], [*frames[:3], frames[0], b"frame"]))
    asyncio.run(read(nats_server.url, account, publisher.window, life_before))
    assert list(account.published_seqs) == [(first.seq, first.seq + 2)]
    assert sorted(account.stream.runs) == [
        [first.seq + number, 1 + number, 1] for number in range(3)
    ]
    assert account.foreign == 2
    # What it had read, and is nowhere, has an outcome, too.
    life_before.give_up()
    assert list(account.unknown_seqs) == [(first.seq + 3, first.seq + 3)]
    assert list(account.read_seqs) == [(first.seq, first.seq + 3)]
    assert account.read_seqs == account.outcomes()


def event_of(frame: bytes) -> Event:
    event = decode(frame)
    assert isinstance(event, Event)
    return event
