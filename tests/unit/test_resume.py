"""Resuming a relay, and stepping over a frame that cannot be decoded."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from fpaas.shuffler.resume import ResumePoint


def test_resumes_after_what_was_read() -> None:
    point = ResumePoint(10)
    assert point.cursor == 10
    point.last_read = 11
    assert point.cursor == 11
    assert ResumePoint(None).cursor is None


def test_first_failure_is_read_again() -> None:
    point = ResumePoint(10)
    assert not point.frame_failed(None)
    assert point.in_doubt
    assert point.cursor == 10
    point.last_read = 11
    assert not point.in_doubt


def test_second_failure_gives_up_once_and_steps_ever_further() -> None:
    point = ResumePoint(10)
    assert [point.frame_failed(None) for _ in range(5)] == [False, True, False, False, False]
    assert not point.in_doubt
    assert point.cursor == 10 + 8
    point.last_read = 20
    assert point.cursor == 20


def test_known_seq_is_stepped_over_exactly() -> None:
    point = ResumePoint(10)
    point.frame_failed(15)
    assert point.frame_failed(15)
    assert point.cursor == 15


def test_live_tail_is_never_in_doubt() -> None:
    point = ResumePoint(None)
    assert point.frame_failed(None)
    assert not point.in_doubt
    assert point.cursor is None


def test_start_anew() -> None:
    point = ResumePoint(10)
    point.frame_failed(None)
    point.start_anew()
    assert point.cursor is None
    assert not point.in_doubt


@given(st.sets(st.integers(1, 60)), st.booleans())
@example(bad={1, 2, 3, 4, 21, 22, 24, 28, 36, 52}, replays_from_cursor=True)
@example(bad={1, 7, 8, 9, 11, 15, 23, 39}, replays_from_cursor=False)
def test_any_bad_frames_are_passed(bad: set[int], replays_from_cursor: bool) -> None:  # noqa: FBT001
    """Every relay is read to its end, and no good frame before the first bad one is missed.

    Steps that meet bad frames only lead past the relay's end: FutureCursor, and on with the live
    tail.
    """
    last = 70
    point = ResumePoint(0)
    read: list[int] = []
    for _ in range(200):
        assert point.cursor is not None
        first = point.cursor if replays_from_cursor else point.cursor + 1
        if first > last:
            # FutureCursor; or, after just the last frame, a subscription that waits for the next.
            point.start_anew()
            break
        for seq in range(first, last + 1):
            if seq in bad:
                point.frame_failed(None)
                break
            assert point.last_read is not None
            if seq > point.last_read:
                point.last_read = seq
                read.append(seq)
        if point.last_read == last:
            break
    assert point.last_read in (last, None)
    assert read == sorted(set(read))
    good_start = range(1, min(bad, default=last + 1))
    assert read[: len(good_start)] == list(good_start)


@given(st.sets(st.integers(1, 30), max_size=20), st.booleans())
@example(bad={1, 2, 3, 4, 21, 22, 24, 28}, replays_from_cursor=True)
@example(bad=set(range(20, 31)), replays_from_cursor=True)
def test_of_a_relay_without_gaps_every_good_frame_is_read(
    bad: set[int],
    replays_from_cursor: bool,  # noqa: FBT001
) -> None:
    """Whatever lies between frames read while stepping is bad, every one of it."""
    last = 30
    point = ResumePoint(0, contiguous=True)
    read: list[int] = []
    undecodable: set[int] = set()
    for _ in range(200):
        assert point.cursor is not None
        assert point.last_read is not None
        if point.cursor > last:
            # Nothing there yet: what comes later is not to be missed.
            point.step_back()
            assert point.stepping
            break
        first = point.cursor if replays_from_cursor else point.cursor + 1
        for seq in range(first, last + 1):
            if seq in bad:
                point.frame_failed(None)
                break
            if seq > point.last_read:
                if point.stepping:
                    undecodable.update(range(point.last_read + 1, seq))
                point.last_read = seq
                read.append(seq)
        if point.last_read == last:
            break
    assert read == [seq for seq in range(1, last + 1) if seq not in bad]
    assert undecodable == {seq for seq in bad if seq < max(read, default=0)}
