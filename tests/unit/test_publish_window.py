"""The window's laws: every event ends with one outcome, and the account agrees with the stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fpaas.shuffler.publish import (
    ACK_TIMEOUT_MAX_S,
    ACK_TIMEOUT_S,
    REFUSAL_BACKOFF_S,
    Publish,
)
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import OUT_OF_TURN, Ack, Answer, Refusal
from fpaas.shuffler.publish_window import NEVER_SENT, PublishWindow
from fpaas.shuffler.stream_message import StreamMessage


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
        self.window.written(item, self.now_s, int(self.now_s * 1e9))

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
    assert account.stream.dids is not None
    assert account.stream.dids.tolist() == [0, 0, 3]
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


def test_what_is_forgotten_may_yet_be_taken_back() -> None:
    bench = Bench()
    settled, twin = bench.add(1), bench.add(2)
    bench.write(settled)
    bench.answer(settled, Ack(1, duplicate=True))
    bench.window.forget()
    bench.answer(twin, Ack(1, duplicate=False))
    assert list(bench.account.published_seqs) == [(2, 2)]
    assert (bench.account.published, bench.account.duplicates) == (1, 1)


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
    assert [item.token for item in bench.window.due(REFUSAL_BACKOFF_S)] == [passing]
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


def test_what_is_in_a_stream_that_nobody_looked_at_waits_for_that() -> None:
    bench = Bench()
    bench.answer(bench.add(1), Ack(1, duplicate=False))
    bench.answer(bench.add(2), Ack(2, duplicate=False))
    item = bench.window.pending[bench.add(3)]
    assert not bench.window.note_if_in_next(item, 3)
    assert bench.window.note_if_in_next(item, 1)
    assert item in bench.window.withdraw()
    # If the stream is said to be the same, it began again.
    item = bench.window.pending[bench.add(4)]
    bench.window.know_no_next()
    assert not bench.window.stream_began_anew
    assert bench.window.note_if_in_next(item, 2)
    bench.window.know_no_next()
    assert bench.window.stream_began_anew
    assert not bench.window.note_if_in_next(item, 1)


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
    assert sum(seqs.total for seqs in outcomes) == account.read == len(events)
    counts = [account.published, account.duplicates, account.failed, account.unknown]
    assert counts == [seqs.total for seqs in outcomes]
    assert sum(account.failures_by_reason.values()) == account.failed
    stored = len(server.by_id)
    assert account.published <= stored <= account.published + account.unknown
    assert account.stream.stored_seqs.total == account.published
    for seq, message_id, _ in tokens.values():
        if seq in account.published_seqs or seq in account.duplicate_seqs:
            assert message_id in server.by_id


def writable(window: PublishWindow) -> list[tuple[int, int | None]]:
    """Return (relay seq, where the stream has to end if it goes ahead) of what may be written."""
    return [
        (item.seq, window.expected_end(item))
        for item in window.take_ready()
        if item.before is None or window.expected_end(item) is not None
    ]


def test_the_next_event_of_a_did_waits_for_the_one_before_if_that_may_not_be_stored() -> None:
    # DIDs are seq % 4.
    bench = Bench()
    tokens = [bench.add(seq, write=False) for seq in (1, 2, 5, 9)]
    assert writable(bench.window) == [(1, None), (2, None)]
    bench.write(tokens[0])
    bench.answer(tokens[0], Refusal("503 none", permanent=False))
    assert bench.window.take_ready() == []
    assert bench.window.due(0.0) == []
    bench.write(tokens[0])
    bench.answer(tokens[0], Ack(1, duplicate=False))
    assert writable(bench.window) == [(5, None)]
    # A new connection brings what is on its way, and not what waits.
    assert [item.seq for item in bench.window.on_their_way()] == [2, 5]
    bench.window.close()
    assert bench.window.pending == {}
    assert bench.window.ready == []


def certain() -> Bench:
    """Return a window that knows where its stream ends: at 2."""
    bench = Bench()
    for seq in (1, 2):
        bench.answer(bench.add(seq), Ack(seq, duplicate=False))
    bench.window.take_ready()
    return bench


def test_an_event_goes_ahead_where_the_stream_ends_if_all_before_it_is_stored() -> None:
    bench = certain()
    for seq in (3, 4, 7, 11):
        bench.add(seq, write=False)
    ends = []
    for item in bench.window.take_ready():
        ends.append(bench.window.expected_end(item))
        bench.write(item.token)
    assert ends == [None, None, 4, 5]


def test_what_was_refused_ahead_of_its_turn_waits_for_that() -> None:
    bench = certain()
    before, ahead = (bench.add(seq) for seq in (3, 7))
    bench.window.take_ready()
    bench.answer(before, Refusal("503 none", permanent=False))
    bench.answer(ahead, Refusal(OUT_OF_TURN, permanent=False, out_of_turn=True))
    assert bench.account.refusals_by_reason == {"503 none": 1}
    bench.now_s = ACK_TIMEOUT_MAX_S
    assert [item.seq for item in bench.window.due(bench.now_s)] == [3]
    bench.write(before)
    bench.answer(before, Ack(3, duplicate=False))
    assert writable(bench.window) == [(7, None)]
    bench.write(ahead)
    # An answer to what was written before: what was written since may still be stored.
    bench.answer(ahead, Refusal(OUT_OF_TURN, permanent=False, out_of_turn=True))
    assert bench.window.take_ready() == []
    bench.answer(ahead, Ack(4, duplicate=False))
    assert bench.account.stream.runs == [[1, 1, 3], [7, 4, 1]]


@pytest.mark.parametrize("what", ["connection", "repeat", "duplicate", "place"])
def test_nothing_goes_ahead_of_what_may_not_be_stored(what: str) -> None:
    bench = certain()
    first, _ = bench.add(3), bench.add(4)
    bench.window.take_ready()
    if what == "connection":
        bench.window.lose_connection()
    elif what == "repeat":
        bench.window.due(ACK_TIMEOUT_S)
    else:
        is_duplicate = what == "duplicate"
        bench.answer(first, Ack(1 if is_duplicate else 9, duplicate=is_duplicate))
    # Neither behind what is on its way, nor behind what is written now.
    bench.add(8, write=False)
    assert writable(bench.window) == []
    bench.add(5)
    bench.window.take_ready()
    bench.add(9, write=False)
    assert writable(bench.window) == []


def test_nothing_goes_ahead_of_what_was_refused_or_never_answered() -> None:
    bench = certain()
    refused, _, third = bench.add(3), bench.add(4), bench.add(5)
    bench.answer(refused, Refusal("503 none", permanent=False))
    bench.answer(third, Ack(4, duplicate=False))
    bench.answer(bench.add(6), Ack(5, duplicate=False))
    bench.window.take_ready()
    for seq in (7, 8, 9, 13):
        bench.add(seq, write=False)
    ends = []
    for item in bench.window.take_ready():
        end = bench.window.expected_end(item)
        if item.before is None or end is not None:
            ends.append((item.seq, end))
            bench.write(item.token)
    assert ends == [(9, None), (13, 6)]


def test_of_a_stream_that_is_made_again_nothing_is_known() -> None:
    bench = certain()
    bench.window.withdraw()
    bench.add(3)
    bench.window.take_ready()
    bench.add(7, write=False)
    assert writable(bench.window) == []


def test_whoever_waits_goes_ahead_once_the_stream_is_known_again() -> None:
    bench = certain()
    lost = bench.add(3)
    bench.window.take_ready()
    bench.window.lose_connection()
    waiting = [bench.add(seq, write=False) for seq in (7, 11, 15, 19)]
    assert writable(bench.window) == []
    bench.window.on_their_way()
    bench.write(lost)
    bench.answer(lost, Ack(3, duplicate=True))
    # A repeat does not tell where the stream ends; what is written once does.
    assert writable(bench.window) == [(7, None)]
    bench.write(waiting[0])
    bench.answer(waiting[0], Ack(4, duplicate=False))
    ends = []
    for item in bench.window.take_ready():
        ends.append((item.seq, bench.window.expected_end(item)))
        bench.write(item.token)
    assert ends == [(11, None), (15, 5), (19, 6)]


class Line:
    """What one connection carries to a server: in order, all of it or up to some place."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, int, int | None]] = []


class Link:
    """A window, the lines that it wrote to, and a server that takes from them."""

    def __init__(self, dids: list[int], known: list[int]) -> None:
        self.bench = Bench()
        self.server = Server()
        for seq in known:
            # Another shuffler's.
            self.server.store(seq)
        self.dids = dids
        self.lines = [Line()]
        self.answers: list[tuple[int, Answer]] = []
        self.added = 0

    def add(self) -> None:
        if self.added == len(self.dids):
            return
        self.added += 1
        did_crc = self.dids[self.added - 1]
        item = Publish(self.added, b"s", b"h", b"f", label="commit a.b.c", did_crc=did_crc)
        self.bench.account.note_read(item.seq)
        self.bench.window.add(item)

    def write(self, items: list[Publish]) -> None:
        window = self.bench.window
        for item in items:
            if item.place or item.has_outcome:
                continue
            end = window.expected_end(item)
            if item.before is not None and end is None:
                continue
            self.lines[-1].writes.append((item.token, item.seq, end))
            self.bench.write(item.token)

    def take(self, line: Line, *, refused: bool) -> None:
        """Have the server take the next write of a line."""
        if not line.writes:
            return
        token, seq, end = line.writes.pop(0)
        server = self.server
        answer: Answer
        if refused:
            answer = Refusal("503 full", permanent=False)
        elif seq not in server.by_id and end not in (None, len(server.by_id)):
            answer = Refusal(OUT_OF_TURN, permanent=False, out_of_turn=True)
        else:
            answer = server.store(seq)
        self.answers.append((token, answer))

    def hear(self, *, lost: bool = False) -> None:
        if self.answers:
            token, answer = self.answers.pop(0)
            if not lost:
                self.bench.answer(token, answer)

    def cut(self, arriving: int) -> None:
        """Lose the connection; some of its last writes may still be on their way."""
        del self.lines[-1].writes[arriving:]
        self.bench.window.lose_connection()
        self.lines.append(Line())
        self.write(self.bench.window.on_their_way())

    def repeat(self) -> None:
        self.bench.now_s += ACK_TIMEOUT_MAX_S
        self.write(self.bench.window.due(self.bench.now_s))

    def do(self, what: str) -> None:
        {
            "add": self.add,
            "write": lambda: self.write(self.bench.window.take_ready()),
            "take": lambda: self.take(self.lines[-1], refused=False),
            "refuse": lambda: self.take(self.lines[-1], refused=True),
            "take late": lambda: self.take(self.lines[len(self.lines) // 2 - 1], refused=False),
            "hear": self.hear,
            "lose answer": lambda: self.hear(lost=True),
            "cut": lambda: self.cut(0),
            "cut late": lambda: self.cut(3),
            "repeat": self.repeat,
        }[what]()

    def finish(self) -> None:
        """Add, write and answer whatever is left."""
        while self.added < len(self.dids) or self.bench.window.pending:
            self.add()
            self.repeat()
            self.write(self.bench.window.take_ready())
            for line in self.lines:
                while line.writes:
                    self.take(line, refused=False)
            while self.answers:
                self.hear()


usual = st.sampled_from(["add", "add", "write", "take", "hear"])
steps = usual | st.sampled_from(["refuse", "take late", "lose answer", "cut", "cut late", "repeat"])
#: One event that is stored and answered: from then on the window knows where the stream ends.
FIRST = ["add", "write", "take", "hear"]


@example(
    [0, 1, 2, 1], [], ["add", "write", "refuse", "hear"] + 3 * ["add", "write", "take", "hear"]
)
@example([0, 1, 1], [], ["add", "add", "write", "refuse", "take", "hear", "hear"])
@example([0, 1, 1, 1], [3], ["add", "add", "add", "write", "refuse", "take", "take"])
@given(
    st.lists(st.integers(0, 2), max_size=30),
    st.lists(st.integers(1, 30), max_size=3, unique=True),
    st.lists(steps, max_size=120),
)
def test_events_of_a_did_are_stored_in_order_whatever_is_lost_or_late(
    dids: list[int], known: list[int], its_steps: list[str]
) -> None:
    link = Link(dids, known)
    for step in FIRST + its_steps:
        link.do(step)
    link.finish()
    latest: dict[int, int] = {}
    for seq in link.server.by_id:
        if seq not in known:
            did = dids[seq - 1]
            assert seq > latest.get(did, 0)
            latest[did] = seq
    ours = {seq for seq in range(1, len(dids) + 1) if seq not in known}
    assert set(link.server.by_id) == ours | set(known)
    account = link.bench.account
    assert {seq for seq in ours if seq in account.published_seqs} == ours
    assert account.published + account.duplicates == len(dids)
    assert account.stored_twice == 0


def test_a_place_whose_answer_came_while_it_was_read_is_no_second_copy() -> None:
    bench = Bench()
    token = bench.add(1)
    bench.answer(token, Ack(1, duplicate=False))
    assert bench.window.found(StreamMessage(1), 1)
    assert bench.account.stored_twice == 0
    # Another place with the same event is one.
    assert bench.window.found(StreamMessage(1), 2)
    assert bench.account.stored_twice == 1


def test_an_answer_that_names_the_place_that_was_read_is_no_second_copy() -> None:
    bench = Bench()
    token = bench.add(1)
    assert bench.window.found(StreamMessage(1), 1)
    # In a cluster whose leader was killed, answers to an earlier write may come that late.
    bench.answer(token, Ack(1, duplicate=False))
    assert bench.account.stored_twice == 0
    bench.answer(token, Ack(2, duplicate=False))
    assert bench.account.stored_twice == 1
