"""Why messages left the stream: what could have been their age is taken for it."""

from __future__ import annotations

from fpaas.ledger.removals import Removals, StreamSample, classify
from fpaas.spec import Stream

SECOND = 1_000_000_000
#: 10 messages a second.
STORED_BY = [(second * SECOND, 10 * second) for second in range(61)]


def stream(max_age_s: float = 20, max_bytes: int = 1_000_000) -> Stream:
    return Stream("S", ["s.>"], "memory", max_age_s, max_bytes, 1, 1, 10)


def found(samples: list[StreamSample], **limits: float) -> tuple[list[tuple[int, int]], ...]:
    removals = classify(samples, STORED_BY, stream(**limits))  # type: ignore[arg-type]
    return list(removals.by_size), list(removals.by_hand)


def sample(second: float, first_seq: int, size: int = 0, *deleted: int) -> StreamSample:
    return StreamSample(round(second * SECOND), first_seq, size, deleted)


def test_what_is_as_old_as_it_may_be_expired() -> None:
    # At 25 s, what was stored until 5 s is 20 s old.
    assert found([sample(10, 1), sample(25, 51), sample(30, 101)]) == ([], [])


def test_what_left_a_full_stream_before_its_age_left_for_its_size() -> None:
    by_size, by_hand = found([sample(10, 1, 950_000), sample(15, 61, 990_000)])
    assert (by_size, by_hand) == ([(1, 60)], [])
    # Of what left by 25 s, all stored before 6 s may have been as old as it may be.
    by_size, by_hand = found([sample(10, 1, 950_000), sample(25, 91, 990_000)])
    assert (by_size, by_hand) == ([(71, 90)], [])


def test_what_left_a_stream_with_room_before_its_age_was_removed() -> None:
    assert found([sample(10, 1, 300_000), sample(15, 151, 0)]) == ([], [(1, 150)])
    assert found([sample(15, 1, 300_000, 7, 9)]) == ([], [(7, 7), (9, 9)])


def test_no_samples_tell_nothing() -> None:
    assert classify([], STORED_BY, stream()) == Removals()
    assert classify([sample(5, 1)], [], stream()) == Removals()
