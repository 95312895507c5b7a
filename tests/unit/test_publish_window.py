"""The window's laws: every event ends with one outcome, and the account agrees with the stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import Ack, Answer, Refusal
from fpaas.shuffler.publish_window import (
    ACK_TIMEOUT_MAX_S,
    ACK_TIMEOUT_S,
    NEVER_SENT,
    REFUSAL_BACKOFF_S,
    Publish,
    PublishWindow,
)


def publish(seq: int, size_bytes: int = 10) -> Publish:
    return Publish(seq, b"s", b"h", bytes(size_bytes), label="commit a.b.c", did_crc=seq % 4)


class Bench:
    """A window and its account, with writes at given times."""

    def __init__(self) -> None:
        self.account = Account(keep_dids=True)
        self.window = PublishWindow(self.account, max_count=8, max_bytes=1000)
        self.now_s = 0.0

    def add(self, seq: int, *, write: bool = True) -> int:
        item = publish(seq)
        self.account.note_read(seq)
        token = self.window.add(item)
        if write:
            self.write(token)
        return token

    def write(self, token: int) -> None:
        item = self.window.pending[token]
        item.written(self.now_s, int(self.now_s * 1e9), self.account.last_stream_seq)

    def answer(self, token: int, answer: Answer) -> Publish | None:
        return self.window.answer(token, answer, self.now_s)


def test_bounded_by_count_and_bytes() -> None:
    bench = Bench()
    tokens = [bench.add(seq) for seq in range(1, 9)]
    assert bench.window.full
    bench.answer(tokens[0], Ack(1, duplicate=False))
    assert not bench.window.full
    assert bench.window.roomy
    window = PublishWindow(Account(), max_count=8, max_bytes=1000)
    window.add(publish(1, size_bytes=1000))
    assert window.full
    assert not window.roomy


def test_acked() -> None:
    bench = Bench()
    token = bench.add(7)
    item = bench.answer(token, Ack(3, duplicate=False))
    assert item is not None
    assert item.seq == 7
    account = bench.account
    assert list(account.published_seqs) == [(7, 7)]
    assert account.stream.runs == [[7, 3, 1]]
    assert account.message_bytes == {"commit a.b.c": {10: 1}}
    assert account.dids is not None
    assert account.dids.tolist() == [0, 0, 3]
    assert bench.window.bytes == 0


def test_stream_runs_go_up_by_one_on_both_sides() -> None:
    bench = Bench()
    for seq, stream_seq in [(1, 1), (2, 2), (3, 4), (5, 5), (6, 6)]:
        bench.answer(bench.add(seq), Ack(stream_seq, duplicate=False))
    assert bench.account.stream.runs == [[1, 1, 2], [3, 4, 1], [5, 5, 2]]


def test_first_publish_answered_as_duplicate_is_one() -> None:
    bench = Bench()
    bench.answer(bench.add(1), Ack(9, duplicate=True))
    assert (bench.account.duplicates, bench.account.published) == (1, 0)


def test_repeat_answered_as_duplicate_was_published() -> None:
    bench = Bench()
    token = bench.add(1)
    bench.write(token)
    bench.answer(token, Ack(9, duplicate=True))
    assert (bench.account.duplicates, bench.account.published) == (0, 1)
    assert bench.account.settled == 1


def test_repeat_of_what_was_refused_is_no_settlement() -> None:
    bench = Bench()
    token = bench.add(1)
    bench.answer(token, Refusal("503", permanent=False))
    bench.write(token)
    bench.answer(token, Ack(9, duplicate=True))
    assert (bench.account.duplicates, bench.account.settled) == (1, 0)


def test_repeat_does_not_claim_what_was_there_before_or_is_another_events() -> None:
    bench = Bench()
    bench.answer(bench.add(1), Ack(50, duplicate=False))
    older, twin = bench.add(2), bench.add(3)
    bench.write(older)
    bench.answer(older, Ack(20, duplicate=True))
    bench.answer(bench.add(4), Ack(51, duplicate=False))
    bench.write(twin)
    bench.answer(twin, Ack(51, duplicate=True))
    assert list(bench.account.duplicate_seqs) == [(2, 3)]


def test_place_of_a_settled_publish_may_turn_out_to_be_its_twins() -> None:
    bench = Bench()
    tokens = [bench.add(seq) for seq in (1, 2, 3)]
    bench.answer(tokens[0], Ack(1, duplicate=False))
    for token in tokens[1:]:
        bench.write(token)
    bench.answer(tokens[1], Ack(2, duplicate=True))
    assert list(bench.account.published_seqs) == [(1, 2)]
    bench.answer(tokens[2], Ack(2, duplicate=False))
    assert list(bench.account.published_seqs) == [(1, 1), (3, 3)]
    assert list(bench.account.duplicate_seqs) == [(2, 2)]
    assert bench.account.stream.runs == [[1, 1, 1], [3, 2, 1]]
    assert not bench.window.stream_began_anew


def test_what_was_forgotten_is_not_taken_back() -> None:
    bench = Bench()
    settled, twin = bench.add(1), bench.add(2)
    bench.write(settled)
    bench.answer(settled, Ack(1, duplicate=True))
    bench.window.forget()
    bench.answer(twin, Ack(1, duplicate=False))
    assert list(bench.account.published_seqs) == [(2, 2)]
    assert bench.account.duplicates == 0


def test_late_answer_of_a_repeat() -> None:
    bench = Bench()
    token = bench.add(1)
    bench.write(token)
    bench.answer(token, Ack(1, duplicate=False))
    assert bench.answer(token, Ack(1, duplicate=True)) is None
    assert bench.account.stored_twice == 0
    assert bench.answer(token, Ack(2, duplicate=False)) is None
    assert bench.account.stored_twice == 1
    assert bench.account.published == 1


def test_refusals_are_tried_again_unless_permanent() -> None:
    bench = Bench()
    lasting, passing = bench.add(1), bench.add(2)
    bench.answer(lasting, Refusal("10054 too large", permanent=True))
    bench.answer(passing, Refusal("503 none", permanent=False))
    assert bench.account.failures_by_reason == {"10054 too large": 1}
    assert bench.window.due(REFUSAL_BACKOFF_S / 2) == []
    assert [token for token, _ in bench.window.due(REFUSAL_BACKOFF_S)] == [passing]
    bench.window.close()
    assert bench.account.failures_by_reason == {"10054 too large": 1, "503 none": 1}
    assert bench.account.refusals_by_reason == {"10054 too large": 1, "503 none": 1}


def test_unanswered_are_repeated_at_growing_intervals() -> None:
    bench = Bench()
    token = bench.add(1)
    waits = []
    for _ in range(6):
        waits.append(bench.window.pending[token].repeat_at_s - bench.now_s)
        bench.now_s = bench.window.pending[token].repeat_at_s
        bench.write(token)
    assert waits == [ACK_TIMEOUT_S, 2 * ACK_TIMEOUT_S, 4 * ACK_TIMEOUT_S] + [ACK_TIMEOUT_MAX_S] * 3


def test_close_tells_unknown_from_never_sent() -> None:
    bench = Bench()
    bench.add(1)
    bench.add(2, write=False)
    doubtful = bench.add(3)
    bench.write(doubtful)
    bench.answer(doubtful, Refusal("503 none", permanent=False))
    bench.window.close()
    account = bench.account
    assert list(account.unknown_seqs) == [(1, 1), (3, 3)]
    assert account.failures_by_reason == {NEVER_SENT: 1}
    assert bench.window.pending == {}
    assert bench.window.bytes == 0


def test_a_stream_that_began_again_is_noticed() -> None:
    bench = Bench()
    bench.answer(bench.add(1), Ack(1, duplicate=False))
    bench.answer(bench.add(2), Ack(2, duplicate=False))
    assert not bench.window.stream_began_anew
    bench.answer(bench.add(3), Ack(1, duplicate=False))
    assert bench.window.stream_began_anew
    bench.answer(bench.add(4), Ack(2, duplicate=False))
    assert bench.account.published == 4


def test_oldest_seq() -> None:
    bench = Bench()
    assert bench.window.oldest_seq() is None
    tokens = [bench.add(seq) for seq in (5, 6, 7)]
    bench.answer(tokens[0], Ack(1, duplicate=False))
    assert bench.window.oldest_seq() == 6


@dataclass
class Server:
    """A stream with a duplicate window that never ends."""

    by_id: dict[int, int] = field(default_factory=dict)
    failed_ids: set[int] = field(default_factory=set)

    def store(self, message_id: int) -> Ack:
        if message_id in self.by_id:
            return Ack(self.by_id[message_id], duplicate=True)
        self.by_id[message_id] = len(self.by_id) + 1
        return Ack(self.by_id[message_id], duplicate=False)


#: What becomes of one write: (what the server does, whether its answer arrives, later or now).
fates = st.sampled_from(["answered", "late", "answer lost", "lost", "refused"])


@example([(1, ["lost", "late"]), (1, ["lost", "answered"])])
@given(st.lists(st.tuples(st.integers(1, 6), st.lists(fates, max_size=4)), max_size=12))
def test_account_agrees_with_the_stream_whatever_is_lost(
    events: list[tuple[int, list[str]]],
) -> None:
    bench, server = Bench(), Server()
    late: list[tuple[int, Answer]] = []
    tokens = {bench.add(seq, write=False): (seq, *event) for seq, event in enumerate(events, 1)}
    for attempt in range(4):
        for token, (_, message_id, its_fates) in tokens.items():
            if token not in bench.window.pending or attempt >= len(its_fates):
                continue
            bench.write(token)
            fate = its_fates[attempt]
            answer: Answer = Refusal("503 none", permanent=False)
            if fate in ("answered", "late", "answer lost"):
                answer = server.store(message_id)
            if fate in ("answered", "refused"):
                bench.answer(token, answer)
            elif fate == "late":
                late.append((token, answer))
        for token, answer in late:
            bench.answer(token, answer)
        late.clear()
    bench.window.close()

    account = bench.account
    outcomes = [
        account.published_seqs,
        account.duplicate_seqs,
        account.failed_seqs,
        account.unknown_seqs,
    ]
    assert sum(len(seqs) for seqs in outcomes) == account.read == len(events)
    counts = [account.published, account.duplicates, account.failed, account.unknown]
    assert counts == [len(seqs) for seqs in outcomes]
    assert sum(account.failures_by_reason.values()) == account.failed
    stored = len(server.by_id)
    assert account.published <= stored <= account.published + account.unknown
    assert len(account.stream.stored_seqs) == account.published
    for seq, message_id, _ in tokens.values():
        if seq in account.published_seqs or seq in account.duplicate_seqs:
            assert message_id in server.by_id


def test_the_next_event_of_a_did_waits_for_the_one_before() -> None:
    # DIDs are seq % 4.
    bench = Bench()
    tokens = [bench.add(seq, write=False) for seq in (1, 2, 5, 9)]
    assert [item.seq for _, item in bench.window.take_ready()] == [1, 2]
    bench.write(tokens[0])
    bench.answer(tokens[0], Refusal("503 none", permanent=False))
    assert bench.window.take_ready() == []
    assert bench.window.due(0.0) == []
    bench.write(tokens[0])
    bench.answer(tokens[0], Ack(1, duplicate=False))
    assert [item.seq for _, item in bench.window.take_ready()] == [5]
    # A new connection brings what is on its way, and not what waits.
    assert [item.seq for _, item in bench.window.on_their_way()] == [2, 5]
    bench.window.close()
    assert bench.window.pending == {}
    assert bench.window.ready == []


#: What becomes of a write: the server stores it now, only after those written later, or never; and
#: whether it answers.
deliveries = st.sampled_from(["stored", "stored unanswered", "late", "lost"])


@example([1, 5], ["late", "stored"])
@given(
    st.lists(st.integers(1, 12), max_size=12),
    st.lists(deliveries, max_size=40),
)
def test_events_of_a_did_are_stored_in_order_whatever_is_lost_or_late(
    dids: list[int], its_fates: list[str]
) -> None:
    bench, server = Bench(), Server()
    window = bench.window
    items = [
        Publish(seq, b"s", b"h", b"frame", label="commit a.b.c", did_crc=did % 3)
        for seq, did in enumerate(dids, 1)
    ]
    for item in items:
        bench.account.note_read(item.seq)
        window.add(item)
    fate = iter(its_fates)
    while window.pending:
        writes = window.take_ready() or window.on_their_way()
        late = []
        for token, item in writes:
            bench.write(token)
            what = next(fate, "stored")
            if what == "late":
                late.append((token, item))
            elif what != "lost":
                answer = server.store(item.seq)
                if what == "stored":
                    bench.answer(token, answer)
        for token, item in late:
            bench.answer(token, server.store(item.seq))
    latest: dict[int, int] = {}
    for seq in server.by_id:
        did = items[seq - 1].did_crc
        assert seq > latest.get(did, 0)
        latest[did] = seq
    assert sorted(server.by_id) == [item.seq for item in items]


def test_a_place_whose_answer_came_while_it_was_read_is_no_second_copy() -> None:
    bench = Bench()
    token = bench.add(1)
    bench.answer(token, Ack(1, duplicate=False))
    assert bench.window.found(1, 1)
    assert bench.account.stored_twice == 0
    # Another place with the same event is one.
    assert bench.window.found(1, 2)
    assert bench.account.stored_twice == 1
