"""What a class answers to deliveries: by share, the same whoever asks."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fpaas.spec.answers import FAILURES, PLACES, Answer, Answers

ANSWERS = st.tuples(*[st.sampled_from([0, 0.001, 0.5, 3, 25]) for _ in range(4)]).map(
    lambda parts: Answers(*parts)
)


@given(ANSWERS, st.integers(1, 3 * PLACES), st.integers(0, 300))
def test_what_is_counted_is_what_is_answered(answers: Answers, first: int, count: int) -> None:
    seqs = range(first, first + count)
    given_ = Counter(answers.to(seq, 1) for seq in seqs)
    assert {answer: answers.count(answer, first, first + count - 1) for answer in Answer} == {
        answer: given_[answer] for answer in Answer
    }
    failing = [seq for seq in seqs if answers.to(seq, 1) in FAILURES]
    assert list(answers.failing(first, first + count - 1)) == failing


def test_shares_are_of_every_stretch_of_the_stream() -> None:
    answers = Answers(terminate_pct=1, nak_pct=10, no_ack_pct=5, in_progress_pct=20)
    for first in (1, 5000, 123_456):
        found = Counter(answers.to(seq, 1) for seq in range(first, first + 1000))
        for answer, part in ((Answer.TERMINATE, 10), (Answer.NAK, 100), (Answer.NO_ACK, 50)):
            assert abs(found[answer] - part) <= 3
    assert answers.count(Answer.NAK, 1, PLACES) == PLACES / 10


def test_what_fails_is_acked_at_last() -> None:
    answers = Answers(nak_pct=100, fail_times=2)
    assert [answers.to(9, number) for number in (1, 2, 3, 4)] == [
        Answer.NAK,
        Answer.NAK,
        Answer.ACK,
        Answer.ACK,
    ]
    assert not Answers()
    assert Answers(in_progress_pct=1)
    assert not Answers(in_progress_pct=1, terminate_pct=99).fails
