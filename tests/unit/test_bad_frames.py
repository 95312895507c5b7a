"""Frames that cannot be decoded: which are given up, whatever the relay replays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.bad_frames import BadFrames


def play(
    bad: set[int], last: int, *, inclusive: bool, dense: bool
) -> tuple[list[int], list[int | None], int]:
    """Read a relay that has seqs 1 … `last`; return good ones, those given up, connections."""
    frames = BadFrames(is_dense=dense)
    read: list[int] = []
    given_up: list[int | None] = []
    at = connections = 0
    while at < last and connections < 100:
        connections += 1
        for seq in range(max(1, at if inclusive else at + 1), last + 1):
            if seq in bad:
                given_up += frames.left_behind(at)
                if not frames.is_stepped_over(at, None):
                    break
            elif seq <= at:
                given_up += frames.reread()[1]
            else:
                given_up += frames.passed(at, seq)
                read.append(seq)
                at = seq
        else:
            break
        frames.connection_lost()
    given_up += frames.ended(at)
    assert not frames.once
    return read, given_up, connections


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("bad", range(1, 17))
def test_bad_frames_in_a_row_cost_one_connection(bad: int, *, inclusive: bool) -> None:
    broken = set(range(10, 10 + bad))
    read, given_up, connections = play(broken, 40, inclusive=inclusive, dense=True)
    assert read == [seq for seq in range(1, 41) if seq not in broken]
    assert given_up == sorted(broken)
    assert connections == 2


@given(st.sets(st.integers(1, 30), max_size=25), st.booleans(), st.booleans())
def test_any_bad_frames_are_counted_and_cost_no_good_one(
    bad: set[int],
    inclusive: bool,  # noqa: FBT001
    dense: bool,  # noqa: FBT001
) -> None:
    read, given_up, _ = play(bad, 30, inclusive=inclusive, dense=dense)
    assert read == [seq for seq in range(1, 31) if seq not in bad]
    assert len(given_up) == len(bad)
    assert given_up == (sorted(bad) if dense else [None] * len(bad))


def test_one_that_was_damaged_on_its_way_is_not_given_up() -> None:
    frames = BadFrames(is_dense=True)
    assert not frames.is_stepped_over(5, None)
    frames.connection_lost()
    assert frames.passed(5, 6) == []
    assert frames.ended(6) == []
    assert frames.once == 1


@pytest.mark.parametrize("inclusive", [True, False])
def test_garbage_between_the_relays_frames_is_counted(*, inclusive: bool) -> None:
    frames = BadFrames(is_dense=False)
    for after in (5, 8, 9):
        assert frames.left_behind(after) == []
        assert not frames.is_stepped_over(after, None)
        frames.connection_lost()
        if inclusive:
            assert frames.reread() == (0, [])
    assert frames.left_behind(12) == []
    assert frames.ended(12) == []
    assert frames.once == 3


def test_those_stepped_over_on_a_connection_that_was_lost_are_counted() -> None:
    frames = BadFrames(is_dense=False)
    assert not frames.is_stepped_over(5, None)
    frames.connection_lost()
    assert frames.is_stepped_over(5, None)
    assert frames.is_stepped_over(5, None)
    frames.connection_lost()
    # One of them comes a third time.
    assert frames.is_stepped_over(5, None)
    assert frames.left_behind(7) == [None]
    assert frames.once == 1


def test_one_that_did_not_come_again_is_given_up_at_the_end() -> None:
    frames = BadFrames(is_dense=True)
    assert not frames.is_stepped_over(5, None)
    frames.connection_lost()
    assert frames.ended(5) == [6]


def test_those_of_a_live_tail_are_stepped_over_at_once() -> None:
    frames = BadFrames(is_dense=False)
    assert frames.is_stepped_over(None, None)
    assert frames.passed(None, None) == [None]


def test_those_among_repeats_are_repeats() -> None:
    frames = BadFrames(is_dense=True)
    frames.is_stepped_over(1, None)
    frames.connection_lost()
    assert frames.is_stepped_over(1, None)
    assert frames.passed(1, 3) == [2]
    # Now it repeats everything.
    frames.connection_lost()
    assert not frames.is_stepped_over(3, None)
    frames.connection_lost()
    assert frames.is_stepped_over(3, None)
    assert frames.reread() == (1, [])
