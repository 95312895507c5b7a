"""What consumers are at work on: when it is answered, and what is left when the run is over."""

from __future__ import annotations

import statistics

import pytest

from fpaas.consumers.processing_time import ProcessingTime
from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.consumers.schedule import PollSchedule
from fpaas.consumers.work import RETRY_NS, Work
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.spec.answers import Answer

MS = 1_000_000
ACK_WAIT_NS = 40 * MS


class Bench:
    """Two consumers on one connection that take 10 ms over a message."""

    def __init__(self) -> None:
        self.earlier = 0
        self.work = Work(ACK_WAIT_NS, self._note)
        self.gate = Gate(10)
        self.gate.is_open = True
        processing = ProcessingTime(10, None, seed=1)
        self.habit = Habit(
            PollSchedule(0, 10**9, 0, 1), batch_size=3, drain=False, processing=processing
        )
        self.pullers = [
            Puller(DeliveryLog(i, f"fpaas-{i:05d}"), self.gate, b"", self.habit) for i in range(2)
        ]

    def _note(self) -> None:
        self.earlier += 1

    def take(self, consumer: int, seq: int, answer: Answer = Answer.ACK, now: int = 0) -> None:
        self.work.take(self.pullers[consumer], seq, b"r%d" % seq, answer, now)

    def answered(self, now: int) -> tuple[list[bytes], int]:
        written, acks = self.work.answer_due(now)
        return written.get(self.gate, []), acks


def test_each_consumer_works_on_one_message_after_the_other() -> None:
    bench = Bench()
    for consumer, seq in ((0, 1), (0, 2), (1, 3)):
        bench.take(consumer, seq)
    assert bench.work.next_unix_ns == 10 * MS
    assert bench.earlier == 1
    assert bench.answered(9 * MS) == ([], 0)
    assert bench.answered(10 * MS) == ([b"PUB r1 0\r\n\r\n", b"PUB r3 0\r\n\r\n"], 2)
    assert bench.pullers[0].busy_until_unix_ns == 20 * MS
    assert bench.answered(20 * MS) == ([b"PUB r2 0\r\n\r\n"], 1)
    assert bench.work.next_unix_ns is None


def test_what_fails_is_answered_when_it_is_done() -> None:
    bench = Bench()
    for seq, answer in enumerate((Answer.NAK, Answer.TERMINATE, Answer.NO_ACK), 1):
        bench.take(0, seq, answer)
    assert bench.answered(30 * MS) == (
        [b"PUB r1 4\r\n-NAK\r\n", b"PUB r2 5\r\n+TERM\r\n"],
        0,
    )
    assert bench.habit.answered.total() == 3


def test_what_is_in_progress_says_so_until_it_is_done() -> None:
    bench = Bench()
    for seq in range(1, 7):
        bench.take(0, seq, Answer.IN_PROGRESS if seq == 6 else Answer.ACK)
    in_progress = b"PUB r6 4\r\n+WPI\r\n"
    assert bench.answered(0)[0] == [in_progress]
    for at_ms in (20, 40):
        assert in_progress in bench.answered(at_ms * MS)[0]
    assert bench.answered(60 * MS)[0][-1] == b"PUB r6 0\r\n\r\n"
    assert bench.habit.answered[Answer.IN_PROGRESS] == 1


def test_answers_wait_for_their_connection() -> None:
    bench = Bench()
    bench.take(0, 1)
    bench.gate.is_open = False
    assert bench.answered(10 * MS) == ([], 0)
    bench.gate.is_open = True
    assert bench.work.next_unix_ns == 10 * MS + RETRY_NS
    assert bench.answered(10 * MS + RETRY_NS)[1] == 1


def test_what_is_left_is_known_to_be_unanswered() -> None:
    bench = Bench()
    for seq in (1, 2, 3):
        bench.take(0, seq)
    bench.answered(10 * MS)
    bench.work.abandon()
    assert sorted(bench.pullers[0].log.unanswered) == [2, 3]
    assert bench.work.next_unix_ns is None


@pytest.mark.parametrize(("mean_ms", "p99_ms"), [(10, 10), (10, 20), (5, 60), (1, 14.8)])
def test_times_have_their_mean_and_percentile(mean_ms: float, p99_ms: float) -> None:
    processing = ProcessingTime(mean_ms, p99_ms, seed=7)
    times_ms = [processing.draw_ns(i % 100, i) / MS for i in range(40_000)]
    assert statistics.fmean(times_ms) == pytest.approx(mean_ms, rel=0.06)
    assert statistics.quantiles(times_ms, n=100)[98] == pytest.approx(p99_ms, rel=0.08)
    assert times_ms == [processing.draw_ns(i % 100, i) / MS for i in range(40_000)]
