from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.consumers.deliveries import Deliveries
from fpaas.consumers.delivery_parser import DeliveryParser
from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.consumers.schedule import PollSchedule
from fpaas.jetstream.nats_wire import ProtocolError
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.measures.first_fetch import ZERO
from fpaas.spec.answers import Answer
from tests.support.chunks import cut
from tests.support.nats_headers import header_block

T0 = 1_800_000_000_000_000_000
NOW = T0 + 20_000_000_000
BATCH = 3
STATUS = b"NATS/1.0 404 No Messages\r\n\r\n"


@dataclass
class Every:
    """Answers to every n-th message."""

    step: int
    answer: Answer

    def to(self, stream_seq: int, _delivered: int) -> Answer:
        return Answer.ACK if stream_seq % self.step else self.answer


@dataclass
class Reader:
    """A parser of two consumers' inboxes, with what it did."""

    deliveries: Deliveries = field(
        default_factory=lambda: Deliveries(t0_unix_ns=T0, first_seq=1, frame_interval_ns=10**6)
    )
    written: list[bytes] = field(default_factory=list)
    answered: list[tuple[int, bytes]] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)

    ack: str = "explicit"
    late_from_unix_ns: int = NOW + 1
    missed: list[int] | None = None

    def __post_init__(self) -> None:
        gate = Gate(1)
        self.habit = habit = Habit(PollSchedule(0, 10**9, 0, 1), batch_size=BATCH, drain=False)
        self.pullers = {
            b"%d" % sid: Puller(DeliveryLog(sid, f"fpaas-{sid:05d}"), gate, b"", habit)
            for sid in (1, 2)
        }
        for puller in self.pullers.values():
            puller.remaining = BATCH
        self.parser = self.made()

    def made(self) -> DeliveryParser:
        parser = DeliveryParser(
            pullers=self.pullers,
            deliveries=self.deliveries,
            habit=self.habit,
            ack=self.ack,
            late_from_unix_ns=self.late_from_unix_ns,
            on_missed=None if self.missed is None else self.miss,
            write=self.written.append,
            on_answered=lambda puller, header, _now: self.answered.append(
                (puller.log.consumer_index, header)
            ),
            clock=lambda: NOW,
            on_info=self.others.append,
            on_ping=lambda: self.others.append("ping"),
            on_pong=lambda: self.others.append("pong"),
            on_error=self.others.append,
        )
        parser.subscriptions[b"9"] = (lambda *got: self.others.append(got), True)
        return parser

    def miss(self, puller: Puller, _now: int) -> None:
        assert self.missed is not None
        self.missed.append(puller.log.consumer_index)
        del self.pullers[b"%d" % puller.log.consumer_index]

    @property
    def acked(self) -> list[bytes]:
        return [line.split(b" ")[1] for line in b"".join(self.written).split(b"\r\n") if line]

    def runs(self, sid: bytes) -> list[int]:
        log = self.pullers[sid].log
        log.end_run()
        return list(log.runs)


def delivery(
    sid: int,
    stream_seq: int,
    consumer_seq: int,
    *,
    age_ns: int = 5_000_000,
    relay_seq: int | None = 7,
    delivered: int = 1,
    size: int = 40,
    is_long: bool = False,
) -> tuple[bytes, bytes]:
    """A delivery as the server writes it, and its reply subject."""
    numbers = f"{delivered}.{stream_seq}.{consumer_seq}.{NOW - age_ns}.99"
    reply = f"$JS.ACK.ATPROTO_FIREHOSE.fpaas-{sid:05d}.{numbers}"
    if is_long:
        reply = f"$JS.ACK.hub.ACCHASH.ATPROTO_FIREHOSE.fpaas-{sid:05d}.{numbers}.token"
    subject = "atproto.firehose.commit.3.app.bsky.feed.like"
    payload = b"\r\nMSG 1\r\n" + b"x" * size
    if relay_seq is None:
        line = f"MSG {subject} {sid} {reply} {len(payload)}\r\n".encode()
        return line + payload + b"\r\n", reply.encode()
    header = header_block([("Nats-Msg-Id", "did:plc:a/3l"), ("Fpaas-Seq", str(relay_seq))])
    sizes = f"{len(header)} {len(header) + len(payload)}"
    line = f"HMSG {subject} {sid} {reply} {sizes}\r\n".encode()
    return line + header + payload + b"\r\n", reply.encode()


def status(sid: int) -> bytes:
    return f"HMSG _INBOX.a.{sid} {sid} {len(STATUS)} {len(STATUS)}\r\n".encode() + STATUS + b"\r\n"


def test_what_its_class_cannot_process_is_terminated() -> None:
    reader = Reader()
    reader.habit.answers = Every(3, Answer.TERMINATE)  # type: ignore[assignment]
    parts = [delivery(1, seq, seq, is_long=seq == 3) for seq in range(1, 5)]
    reader.parser = reader.made()
    reader.parser.feed(b"".join(message for message, _ in parts))
    replies = [reply for _, reply in parts]
    assert b"".join(reader.written) == (
        b"PUB " + replies[2] + b" 5\r\n+TERM\r\n"
        b"PUB " + replies[0] + b" 0\r\n\r\nPUB " + replies[1] + b" 0\r\n\r\n"
        b"PUB " + replies[3] + b" 0\r\n\r\n"
    )
    assert (reader.deliveries.acks, reader.habit.answered[Answer.TERMINATE]) == (3, 1)
    assert reader.deliveries.processed == 4
    reader.parser.feed(delivery(1, 6, 5)[0])
    assert (reader.deliveries.acks, reader.habit.answered[Answer.TERMINATE]) == (3, 2)


@pytest.mark.parametrize(
    ("answer", "payload", "is_acked"),
    [
        (Answer.NAK, b'-NAK {"delay": 5}', False),
        (Answer.NO_ACK, None, False),
        (Answer.IN_PROGRESS, b"+WPI", True),
    ],
)
def test_failures_are_answered_as_the_class_has_them(
    answer: Answer, payload: bytes | None, *, is_acked: bool
) -> None:
    reader = Reader()
    reader.habit.answers = Every(3, answer)  # type: ignore[assignment]
    reader.habit.nak = b'-NAK {"delay": 5}'
    reader.parser = reader.made()
    message, reply = delivery(1, 3, 1)
    reader.parser.feed(message)
    expected = b""
    if payload is not None:
        expected = b"PUB %s %d\r\n%s\r\n" % (reply, len(payload), payload)
    if is_acked:
        expected += b"PUB " + reply + b" 0\r\n\r\n"
    assert b"".join(reader.written) == expected
    assert reader.habit.answered == {answer: 1}
    assert reader.deliveries.acks == is_acked


def test_how_often_a_repeat_was_delivered_is_logged() -> None:
    reader = Reader()
    for consumer_seq, delivered in enumerate((1, 2, 7), 1):
        reader.parser.feed(delivery(1, 3, consumer_seq, delivered=delivered)[0])
    log = reader.pullers[b"1"].log
    assert (list(log.repeats), list(log.numbers)) == ([2, 3], [2, 7])


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("delivery"), st.integers(1, 2), st.integers(1, 50), st.integers(0, 300)),
        st.tuples(st.just("status"), st.integers(1, 2), st.just(0), st.just(0)),
        st.tuples(st.just("ping"), st.just(0), st.just(0), st.just(0)),
        st.tuples(st.just("other"), st.just(0), st.just(0), st.integers(0, 300)),
    ),
    max_size=20,
)


@given(EVENTS, st.lists(st.integers(0)))
def test_any_chunking_gives_the_same_account(
    events: list[tuple[str, int, int, int]], places: list[int]
) -> None:
    data = b""
    replies = []
    for number, (kind, sid, stream_seq, size) in enumerate(events):
        if kind == "delivery":
            message, reply = delivery(sid, stream_seq, number, size=size)
            data += message
            replies.append(reply)
        elif kind == "status":
            data += status(sid)
        elif kind == "ping":
            data += b"PING\r\n"
        else:
            data += b"MSG a.b 9 %d\r\n" % size + b"y" * size + b"\r\n"
    whole, chunked = Reader(), Reader()

    whole.parser.feed(data)
    for chunk in cut(data, places):
        chunked.parser.feed(chunk)

    for reader in (whole, chunked):
        assert reader.acked == replies
        assert reader.deliveries.processed == reader.deliveries.acks == len(replies)
        assert len(reader.deliveries.ages.publish_to_fetch.samples_ns) == len(replies)
    assert chunked.answered == whole.answered
    assert chunked.others == whole.others
    assert chunked.deliveries.bytes == whole.deliveries.bytes
    assert chunked.deliveries.first_fetch == whole.deliveries.first_fetch
    for inbox in (b"1", b"2"):
        assert chunked.runs(inbox) == whole.runs(inbox)


def test_a_delivery_is_taken_down_in_every_account() -> None:
    reader = Reader()

    reader.parser.feed(delivery(1, stream_seq=4, consumer_seq=2, relay_seq=101, size=100)[0])

    deliveries = reader.deliveries
    assert deliveries.bytes == 100 + len(b"\r\nMSG 1\r\n")
    assert deliveries.ages.publish_to_fetch.samples_ns == [5_000_000]
    # Frame 100 (the 101st) is due 100 ms after T0.
    assert deliveries.ages.end_to_end.samples_ns == [20_000_000_000 - 100_000_000]
    assert deliveries.first_fetch is not None
    assert list(deliveries.first_fetch[:5]) == [0, 0, 0, ZERO + 50, 0]
    assert reader.runs(b"1") == [20_000, 4, 2, 1]
    assert deliveries.redelivered == 0


def test_a_delivery_counts_and_is_acked_when_all_of_it_is_here() -> None:
    message, reply = delivery(1, 1, 1, size=1000)
    reader = Reader()

    reader.parser.feed(message[:-1])
    assert reader.deliveries.processed == 0
    assert reader.written == []

    reader.parser.feed(message[-1:])
    assert reader.deliveries.processed == 1
    assert reader.acked == [reply]


def test_a_full_batch_answers_the_pull_after_its_acks() -> None:
    reader = Reader()
    order: list[str] = []
    reader.parser._write = lambda _data: order.append("ack")
    reader.parser._on_answered = lambda *_: order.append("answered")

    reader.parser.feed(b"".join(delivery(1, seq, seq)[0] for seq in range(1, BATCH + 1)))

    assert order == ["ack", "answered"]


def test_acks_of_a_chunk_are_one_write() -> None:
    reader = Reader()

    reader.parser.feed(delivery(1, 1, 1)[0] + delivery(2, 1, 1)[0])

    assert len(reader.written) == 1
    assert reader.written[0].count(b" 0\r\n\r\n") == 2


def test_a_status_answers_the_pull() -> None:
    reader = Reader()

    reader.parser.feed(delivery(2, 1, 1)[0] + status(2))

    assert reader.answered == [(2, STATUS)]
    assert reader.pullers[b"2"].remaining == BATCH - 1


def test_only_the_first_fetch_of_a_message_counts_as_such() -> None:
    reader = Reader()

    reader.parser.feed(delivery(1, 1, 1, age_ns=3_000_000)[0])
    reader.parser.feed(delivery(2, 1, 1, age_ns=9_000_000)[0])

    assert reader.deliveries.first_fetch is not None
    assert reader.deliveries.first_fetch[0] == ZERO + 30


def test_a_negative_latency_stays_negative() -> None:
    reader = Reader()

    reader.parser.feed(delivery(1, 1, 1, age_ns=-2_000)[0])

    assert reader.deliveries.ages.publish_to_fetch.samples_ns == [-2_000]


def test_a_redelivery_is_counted_and_logged() -> None:
    reader = Reader()

    reader.parser.feed(delivery(1, 1, 1)[0] + delivery(1, 1, 2, delivered=2)[0])

    assert reader.deliveries.redelivered == 1
    assert reader.deliveries.processed == 2


@pytest.mark.parametrize("options", [{"relay_seq": None}, {"is_long": True}])
def test_other_forms_of_a_delivery(options: dict[str, Any]) -> None:
    message, reply = delivery(1, 12, 34, **options)
    reader = Reader()

    reader.parser.feed(message)

    assert reader.acked == [reply]
    assert reader.runs(b"1") == [20_000, 12, 34, 1]


def test_a_foreign_header_has_no_due_time() -> None:
    message, _ = delivery(1, 1, 1)
    reader = Reader()

    reader.parser.feed(message.replace(b"Fpaas-Seq: 7", b"Fpaas-Seq: x"))

    assert reader.deliveries.processed == 1
    assert reader.deliveries.ages.end_to_end.samples_ns == []


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"HMSG a 1 x 2 2\r\nab\r\n", b"MSG a 1 $JS.ACK.no 0\r\n\r\n", b"MSG\r\n", b"GET /\r\n"),
        # Read again for ever, waited for without end, or more than there is memory for.
        b"MSG a 1 -9\r\n\r\n",
        b"MSG a 1 $JS.ACK.S.C.1.1.1.1.1 -9\r\n\r\n",
        b"HMSG a 1 $JS.ACK.S.C.1.1.1.1.1 5 2\r\n\r\n",
        b"MSG a 1 $JS.ACK.S.C.1.1.1.1.1 99999999999\r\n\r\n",
        b"MSG a 1 $JS.ACK.S.C.1.99999999999999.1.1.1 0\r\n\r\n",
        b"MSG a 1 $JS.ACK.S.C.1.1.99999999999999999999.1.1 0\r\n\r\n",
        b"MSG a 1 $JS.ACK.S.C.1.0.0.1.1 0\r\n\r\n",
    ],
)
def test_garbage_is_an_error(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader().parser.feed(garbage)


def test_a_new_connection_forgets_what_was_half_read() -> None:
    message, _ = delivery(1, 1, 1)
    reader = Reader()
    reader.parser.feed(message[:-10])

    reader.parser.reset()
    reader.parser.feed(message)

    assert reader.deliveries.processed == 1


@pytest.mark.parametrize("form", ["short", "long"])
def test_an_ack_that_is_of_all_before_is_of_what_is_furthest_in_the_stream(form: str) -> None:
    # A repeat that comes later is of a message that the server has acked with another.
    got = [(1, 11, 5, 1), (2, 11, 1, 1), (1, 12, 6, 1), (1, 3, 7, 2), (2, 12, 2, 1)]
    made = [
        delivery(sid, stream_seq, seq, delivered=number, is_long=form == "long")
        for sid, stream_seq, seq, number in got
    ]
    reader = Reader(ack="all")
    reader.parser.feed(b"".join(data for data, _ in made))
    assert reader.acked == [made[2][1], made[4][1]]
    assert reader.deliveries.acks == 2
    assert reader.deliveries.processed == 5
    # Each chunk has its own.
    more = [delivery(1, 13, 8), delivery(1, 14, 9), delivery(2, 13, 3), delivery(1, 15, 10)]
    reader.parser.feed(b"".join(data for data, _ in more))
    assert reader.acked[2:] == [more[3][1], more[2][1]]


def test_without_acks_nothing_is_written() -> None:
    reader = Reader(ack="none")
    reader.parser.feed(delivery(1, 11, 5)[0] + delivery(2, 11, 1)[0])
    assert (reader.written, reader.deliveries.acks, reader.deliveries.processed) == ([], 0, 2)
    assert reader.runs(b"1")


@pytest.mark.parametrize("ack", ["explicit", "none", "all"])
def test_what_comes_too_late_is_taken_down_without_ack_and_repeats_are_left_out(ack: str) -> None:
    reader = Reader(ack=ack, late_from_unix_ns=NOW)
    first, _ = delivery(1, 11, 1)
    repeat, _ = delivery(1, 10, 2, delivered=2)
    other, _ = delivery(2, 11, 1, is_long=True)
    last, _ = delivery(1, 12, 3)
    reader.parser.feed(first + repeat + other + last)
    assert reader.acked == []
    assert (reader.deliveries.processed, reader.deliveries.acks) == (3, 0)
    assert reader.deliveries.redelivered == 0
    in_process = {sid: list(one.log.unanswered) for sid, one in reader.pullers.items()}
    assert in_process == ({b"1": [1, 3], b"2": [1]} if ack == "explicit" else {b"1": [], b"2": []})
    assert reader.runs(b"1")[1::4] == [11, 12]


def test_after_a_missing_delivery_of_an_ordered_consumer_nothing_of_it_is_taken() -> None:
    reader = Reader(ack="none", missed=[])
    reader.pullers[b"1"].before = 100
    parts = [delivery(1, 11, 1), delivery(2, 11, 1), delivery(1, 12, 2)]
    parts += [delivery(1, 14, 4), delivery(1, 15, 5), delivery(2, 12, 2)]
    pullers = dict(reader.pullers)
    reader.parser.feed(b"".join(part for part, _ in parts))
    assert reader.missed == [1]
    assert reader.deliveries.processed == len(reader.deliveries.ages.publish_to_fetch.samples_ns)
    assert reader.deliveries.processed == 4
    log = pullers[b"1"].log
    log.end_run()
    # In the log, they go on after those of the consumer before.
    assert log.runs[1:].tolist() == [11, 101, 2]
    fresh = Reader(ack="none", missed=[])
    fresh.parser.feed(delivery(1, 2, 2)[0])
    assert (fresh.missed, fresh.deliveries.processed) == ([1], 0)


def test_flow_control_is_answered_and_is_no_delivery() -> None:
    reader = Reader(ack="none", missed=[])
    header = b"NATS/1.0 100 FlowControl Request\r\n\r\n"
    asks = b"HMSG in.1 1 $JS.FC.S.c.r4nd0m %d %d\r\n%s\r\n" % (len(header), len(header), header)
    reader.parser.feed(delivery(1, 1, 1)[0] + asks + delivery(1, 2, 2)[0])
    assert reader.written == [b"PUB $JS.FC.S.c.r4nd0m 0\r\n\r\n"]
    assert (reader.deliveries.processed, reader.missed, reader.answered) == (2, [], [])
