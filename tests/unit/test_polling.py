from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.consumers.polling import FULL_OF_BYTES, PULL_TIMEOUT_NS, Polling
from fpaas.consumers.pull_size import LARGEST_MESSAGE_BYTES, PullSize, spread
from fpaas.consumers.puller import Gate, Habit, Puller, request_of
from fpaas.firehose.frames import MAX_FRAME_BYTES
from fpaas.measures.delivery_log import DeliveryLog, duplicate_deliveries
from fpaas.verdict.goal_figures import GOOD_STATUSES

BATCH = 10
SECOND = 1_000_000_000
FULL_HEADER = b"NATS/1.0 409 Message Size Exceeds MaxBytes\r\nNats-Pending-Messages: 3\r\n\r\n"
NO_MESSAGES = b"NATS/1.0 404 No Messages\r\n\r\n"


@dataclass(frozen=True)
class EverySecond:
    """Consumer c polls at c ms, and every second from then on."""

    def first_due(self, consumer: int) -> int:
        return consumer * 1_000_000

    def absences_before(self, _due: int) -> int:
        return 0

    def next_due(self, consumer: int, poll: int, previous_due: int) -> int:
        assert previous_due == consumer * 1_000_000 + (poll - 1) * SECOND
        return previous_due + SECOND


class Lab:
    """Pullers behind gates, driven by hand."""

    def __init__(
        self,
        consumers: int = 1,
        *,
        gates: int = 1,
        limit: int = 10,
        drain: bool = False,
        until: int = 100 * SECOND,
    ) -> None:
        self.gates = [Gate(limit) for _ in range(gates)]
        habit = Habit(EverySecond(), batch_size=BATCH, drain=drain)
        self.pullers = [
            Puller(DeliveryLog(i, f"fpaas-{i:05d}"), self.gates[i % gates], b"%d" % i, habit)
            for i in range(consumers)
        ]
        self.polling = Polling(self.pullers, until_unix_ns=until)
        for gate in self.gates:
            self.polling.connection_up(gate, 0)

    def sent(self) -> list[int]:
        """Take what would be written, as consumer indices."""
        requests = [int(request) for gate in self.polling.to_send for request in gate.outbox]
        for gate in self.polling.to_send:
            gate.outbox.clear()
        self.polling.to_send.clear()
        return requests

    def deliver(self, consumer: int, count: int, now: int) -> None:
        """Do what the reader of deliveries does."""
        puller = self.pullers[consumer]
        puller.progress_unix_ns = now
        puller.remaining -= count
        if puller.remaining == 0:
            self.polling.pull_answered(puller, b"", now)

    def status(self, consumer: int, header: bytes, now: int) -> None:
        self.polling.pull_answered(self.pullers[consumer], header, now)


def test_a_poll_is_sent_when_it_is_due_and_not_before() -> None:
    lab = Lab(consumers=3)

    lab.polling.start_due(1_000_000)
    assert lab.sent() == [0, 1]
    assert lab.polling.next_due_unix_ns == 2_000_000

    lab.polling.start_due(2_500_000)
    assert lab.sent() == [2]
    assert lab.polling.timings.poll_lateness.samples_ns == [1_000_000, 0, 500_000]
    assert lab.polling.next_due_unix_ns is None


def test_a_full_batch_ends_the_poll() -> None:
    lab = Lab()
    lab.polling.start_due(0)

    lab.deliver(0, BATCH, now=5)

    assert lab.polling.fetches().ok == 1
    assert lab.polling.timings.fetch_call.samples_ns == [5]
    assert lab.polling.next_due_unix_ns == SECOND


def test_an_empty_answer_and_a_part_of_a_batch() -> None:
    lab = Lab(consumers=2)
    lab.polling.start_due(1_000_000)

    lab.status(0, NO_MESSAGES, now=2_000_000)
    lab.deliver(1, 3, now=2_000_000)
    lab.status(1, NO_MESSAGES, now=3_000_000)

    fetches = lab.polling.fetches()
    assert (fetches.ok, fetches.empty, fetches.by_status) == (1, 1, {"404": 2})


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n", "409:Exceeded MaxWaiting"),
        (b"NATS/1.0 409 Consumer Deleted\r\n\r\n", "409:Consumer Deleted"),
        (b"NATS/1.0 503\r\n\r\n", "503"),
        (b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n", "408"),
    ],
)
def test_statuses_are_counted_by_reason_and_polls_go_on(header: bytes, key: str) -> None:
    lab = Lab()
    lab.polling.start_due(0)
    lab.sent()

    lab.status(0, header, now=1)
    lab.polling.start_due(SECOND)

    assert lab.polling.fetches().by_status == {key: 1}
    assert lab.polling.fetches().refused == (key != "408")
    assert lab.sent() == [0]


def test_drain_pulls_until_a_pull_comes_back_not_full() -> None:
    lab = Lab(drain=True)
    lab.polling.start_due(0)
    assert lab.sent() == [0]

    lab.deliver(0, BATCH, now=10)
    assert lab.sent() == [0]
    lab.deliver(0, BATCH, now=20)
    assert lab.sent() == [0]
    lab.deliver(0, 1, now=30)
    lab.status(0, NO_MESSAGES, now=30)

    assert lab.sent() == []
    assert lab.polling.polls == 1
    assert lab.polling.fetches().pulls == 3
    assert lab.polling.timings.fetch_call_intended.samples_ns == [10, 10, 10]
    assert lab.polling.timings.poll_lateness.samples_ns == [0]
    assert lab.polling.next_due_unix_ns == SECOND


class AwayBeforeThird(EverySecond):
    """Consumers are away before their third poll."""

    def absences_before(self, due: int) -> int:
        return int(due >= 2 * SECOND)


def test_who_was_away_catches_up() -> None:
    lab = Lab()
    lab.pullers[0].habit.schedule = AwayBeforeThird()
    for second in range(4):
        lab.polling.start_due(second * SECOND)
        lab.deliver(0, BATCH, now=second * SECOND + 5)
        if second == 2:
            lab.deliver(0, BATCH, now=second * SECOND + 9)
            lab.status(0, NO_MESSAGES, now=second * SECOND + 10)
    assert lab.polling.fetches().pulls == 4 + 2
    assert lab.polling.polls == 4


@pytest.mark.parametrize("drain", [False, True])
def test_who_is_at_work_does_not_pull(*, drain: bool) -> None:
    lab = Lab(drain=drain)
    lab.polling = Polling(lab.pullers, until_unix_ns=100 * SECOND, takes_time=True)
    lab.polling.connection_up(lab.gates[0], 0)
    timings = lab.polling.timings
    lab.polling.start_due(0)
    assert lab.sent() == [0]
    lab.pullers[0].busy_until_unix_ns = 5 * SECOND // 2
    lab.deliver(0, BATCH, now=5)
    # The poll that is due meanwhile, or the rest of this one, waits; another falls due.
    lab.polling.start_due(2 * SECOND)
    assert lab.sent() == []
    overdue = {True: [SECOND, 2 * SECOND], False: [SECOND, 2 * SECOND]}[drain]
    lab.polling.watch(lambda: 2 * SECOND)
    assert list(timings.poll_lateness.still_open()) == overdue
    assert lab.polling.next_due_unix_ns == 5 * SECOND // 2
    lab.polling.start_due(5 * SECOND // 2)
    assert lab.sent() == [0]
    assert len(timings.poll_lateness.samples_ns) == (1 if drain else 2)
    # Late by its own work: that is not the lab's lateness.
    assert len(timings.poll_lateness_own.samples_ns) == 1


def test_once_pulls_once_however_full() -> None:
    lab = Lab()
    lab.polling.start_due(0)
    lab.sent()

    lab.deliver(0, BATCH, now=10)

    assert lab.sent() == []


def test_a_poll_that_waited_for_its_predecessor_is_late_from_its_due_time() -> None:
    lab = Lab()
    lab.polling.start_due(0)
    lab.sent()

    lab.polling.start_due(SECOND)
    assert lab.sent() == []
    lab.status(0, NO_MESSAGES, now=3 * SECOND + 7)

    # Polls 1, 2 and 3 are overdue; each is sent right after the one before.
    assert lab.sent() == [0]
    lab.status(0, NO_MESSAGES, now=3 * SECOND + 8)
    lab.status(0, NO_MESSAGES, now=3 * SECOND + 9)
    timings = lab.polling.timings
    assert timings.poll_lateness.samples_ns == [0, 2 * SECOND + 7, SECOND + 8, 9]
    assert timings.fetch_call_intended.samples_ns[1] == 2 * SECOND + 8
    # The lateness was the server's, not ours.
    assert timings.poll_lateness_own.samples_ns == [0]


def test_a_gate_holds_pulls_back_and_lets_them_through_in_order() -> None:
    lab = Lab(consumers=4, limit=2)
    lab.polling.start_due(3_000_000)
    assert lab.sent() == [0, 1]

    lab.status(1, NO_MESSAGES, now=4_000_000)
    assert lab.sent() == [2]
    lab.status(0, NO_MESSAGES, now=5_000_000)
    assert lab.sent() == [3]

    assert lab.polling.timings.poll_lateness.samples_ns[-1] == 2_000_000


def test_gates_do_not_hold_each_other_back() -> None:
    lab = Lab(consumers=4, gates=2, limit=1)

    lab.polling.start_due(3_000_000)

    assert lab.sent() == [0, 1]


def test_pulls_in_flight_are_lost_with_their_connection_and_later_ones_wait_for_it() -> None:
    lab = Lab(consumers=2)
    lab.polling.start_due(0)
    lab.sent()

    lab.polling.connection_lost(lab.gates[0], now=500)
    lab.polling.start_due(SECOND + 1_000_000)
    assert lab.sent() == []
    assert lab.polling.fetches().lost == 1

    lab.polling.connection_up(lab.gates[0], now=2 * SECOND)
    assert sorted(lab.sent()) == [0, 1]
    assert lab.polling.in_flight == 2


def test_a_pull_without_answer_is_given_up_and_the_next_poll_goes_on() -> None:
    lab = Lab()
    lab.polling.start_due(0)
    lab.sent()

    lab.polling.expire(PULL_TIMEOUT_NS - 1)
    assert lab.polling.fetches().client_timeout == 0
    lab.polling.expire(PULL_TIMEOUT_NS)

    assert lab.polling.fetches().client_timeout == 1
    assert lab.sent() == [0]


def test_a_pull_that_still_brings_messages_is_not_given_up() -> None:
    lab = Lab()
    lab.polling.start_due(0)
    lab.deliver(0, 1, now=PULL_TIMEOUT_NS - 1)

    lab.polling.expire(PULL_TIMEOUT_NS)
    assert lab.polling.fetches().client_timeout == 0

    lab.polling.expire(2 * PULL_TIMEOUT_NS)
    assert lab.polling.fetches().client_timeout == 1


def test_a_late_answer_to_a_pull_that_was_given_up_ends_nothing() -> None:
    lab = Lab()
    lab.polling.start_due(0)
    lab.polling.connection_lost(lab.gates[0], now=1)

    lab.status(0, NO_MESSAGES, now=2)

    assert lab.polling.fetches().empty == 0
    assert lab.polling.in_flight == 0


def test_after_the_end_nothing_is_sent_and_the_unanswered_are_counted() -> None:
    lab = Lab(consumers=3, limit=2, drain=True)
    lab.polling.start_due(2_000_000)
    lab.sent()

    lab.polling.stop(now=3 * SECOND)
    lab.deliver(0, BATCH, now=3_000_000)
    lab.polling.start_due(10 * SECOND)
    lab.polling.abandon(now=3 * SECOND)

    fetches = lab.polling.fetches()
    assert lab.sent() == []
    # A poll of each falls due every second; of the first ones, one waited for its turn.
    assert (fetches.ok, fetches.unanswered, fetches.unsent) == (1, 1, 1 + 7)


def test_who_stood_still_over_the_end_pulls_no_more() -> None:
    lab = Lab(consumers=3, limit=1, until=10 * SECOND)
    lab.polling.start_due(2_000_000)
    assert lab.sent() == [0]

    lab.deliver(0, BATCH, now=30 * SECOND)
    lab.polling.start_due(30 * SECOND)
    assert lab.sent() == []
    lab.polling.stop(now=30 * SECOND)

    fetches = lab.polling.fetches()
    assert (fetches.ok, fetches.unsent) == (1, 3 * 10 - 1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["due", "full", "part", "empty", "lose", "return", "expire"]),
        st.integers(0, 4),
        st.integers(0, 3 * SECOND),
    ),
    max_size=60,
)


@given(steps=STEPS, limit=st.integers(1, 3), drain=st.booleans())
def test_every_pull_ends_exactly_one_way(
    *, steps: list[tuple[str, int, int]], limit: int, drain: bool
) -> None:
    lab = Lab(consumers=5, gates=2, limit=limit, drain=drain, until=20 * SECOND)
    polling = lab.polling
    now = 0
    for step, number, wait in steps:
        now += wait
        puller, gate = lab.pullers[number], lab.gates[number % 2]
        if step == "due":
            polling.start_due(now)
        elif step == "lose":
            polling.connection_lost(gate, now)
        elif step == "return":
            polling.connection_up(gate, now)
        elif step == "expire":
            polling.expire(now)
        elif puller.in_flight:
            if step == "full":
                lab.deliver(number, puller.remaining, now)
            else:
                if step == "part":
                    lab.deliver(number, 1, now)
                if puller.in_flight:
                    lab.status(number, NO_MESSAGES, now)
        in_flight = [p for p in lab.pullers if p.in_flight]
        assert polling.in_flight == len(in_flight)
        for one in lab.gates:
            assert one.in_flight == sum(p.gate is one for p in in_flight) <= limit
            assert one.is_open or not one.in_flight

    in_flight_at_end = polling.in_flight
    polling.stop(now)
    polling.abandon(now)

    fetches = polling.fetches()
    ended = fetches.ok + fetches.empty + fetches.refused + fetches.client_timeout + fetches.lost
    assert fetches.unanswered == in_flight_at_end
    assert fetches.pulls == ended + fetches.unanswered
    assert len(polling.timings.poll_lateness.samples_ns) == polling.polls
    assert all(sample >= 0 for sample in polling.timings.poll_lateness.samples_ns)
    assert polling.polls <= fetches.pulls


@given(st.integers(1, 10_000), st.integers(1, 200), st.integers(1, 256))
def test_spread_is_even_and_within_bounds(count: int, per: int, most: int) -> None:
    sizes = spread(count, per, most)

    assert sum(sizes) == count
    assert 1 <= len(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    assert max(sizes) <= per or len(sizes) == most


def test_no_connection_can_be_cut_by_its_own_batches() -> None:
    # The server's limit is 64 MiB pending.
    for batch_size in (20, 100, 500, 1000, 10_000):
        for message_bytes in (9_000, 100_000, 1_600_000, 5_000_000):
            size = PullSize(batch_size, message_bytes)
            outstanding = size.pulls_at_a_time * min(size.batch_bytes, size.bytes_max)
            assert outstanding < 32 * 1024 * 1024
            # The largest frame passes any pull.
            assert size.bytes_max > MAX_FRAME_BYTES


@pytest.mark.parametrize(("drain", "goes_on"), [(True, True), (False, False)])
def test_a_pull_that_is_full_of_bytes_is_good_and_a_drain_goes_on(
    *, drain: bool, goes_on: bool
) -> None:
    lab = Lab(drain=drain)
    lab.polling.start_due(0)
    lab.sent()
    lab.deliver(0, 3, now=4)

    lab.status(0, FULL_HEADER, now=5)

    fetches = lab.polling.fetches()
    assert (fetches.ok, fetches.refused, fetches.by_status) == (1, 0, {FULL_OF_BYTES: 1})
    assert lab.sent() == [0] * goes_on


def test_the_end_of_a_full_batch_is_not_taken_for_the_next_pulls() -> None:
    lab = Lab(drain=True)
    lab.polling.start_due(0)
    lab.sent()
    lab.deliver(0, BATCH, now=4)
    assert lab.sent() == [0]
    lab.status(0, b"NATS/1.0 409 Batch Completed\r\nNats-Pending-Messages: 0\r\n\r\n", now=5)
    assert lab.polling.in_flight == 1
    assert lab.polling.fetches().by_status == {}


@pytest.mark.parametrize(
    ("size", "stated"),
    [
        (PullSize(100, 9_000, is_sure=True), None),
        (PullSize(10_000, 9_000, is_sure=True), 16 * 1024 * 1024),
        (PullSize(100, 9_000), LARGEST_MESSAGE_BYTES),
    ],
)
def test_bytes_are_stated_where_they_may_be_many(size: PullSize, stated: int | None) -> None:
    assert size.stated_bytes_max == stated


def test_a_message_that_fits_into_no_pull_is_no_good_answer() -> None:
    lab = Lab(drain=True)
    lab.polling.start_due(0)
    lab.sent()
    lab.status(0, FULL_HEADER, now=5)
    fetches = lab.polling.fetches()
    assert (fetches.ok, fetches.refused) == (0, 1)
    (status,) = fetches.by_status
    assert status not in GOOD_STATUSES
    # Nor is it asked for again and again at once.
    assert lab.sent() == []


def test_a_request_names_stream_durable_inbox_and_batch() -> None:
    assert request_of("S", "d", "_INBOX.x", 50, None) == (
        b'PUB $JS.API.CONSUMER.MSG.NEXT.S.d _INBOX.x 27\r\n{"batch":50,"no_wait":true}\r\n'
    )
    assert request_of("S", "d", "_INBOX.x", 50, 1000) == (
        b"PUB $JS.API.CONSUMER.MSG.NEXT.S.d _INBOX.x 44\r\n"
        b'{"batch":50,"max_bytes":1000,"no_wait":true}\r\n'
    )


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), max_size=60))
def test_duplicates_are_repeats_within_a_durable(deliveries: list[tuple[int, int]]) -> None:
    # Consumers 0 and 1 share a durable.
    durables = ["shared", "shared", "own"]
    logs = [DeliveryLog(i, durable) for i, durable in enumerate(durables)]
    seen: set[tuple[str, int]] = set()
    for consumer_seq, (consumer, stream_seq) in enumerate(deliveries):
        logs[consumer].record(stream_seq, consumer_seq, 0)
        seen.add((durables[consumer], stream_seq))
    for log in logs:
        log.end_run()

    assert duplicate_deliveries(logs) == len(deliveries) - len(seen)
