from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.frames import ErrorFrame, Ignored, decode
from fpaas.relay.control_frames import error_frame, info_frame
from fpaas.relay.cursors import Refused, Start, start_of

FIRST = 1000


def test_without_cursor_it_begins_with_the_next_frame() -> None:
    assert start_of(None, FIRST, 0, 10) == Start(0, outdated=False)
    assert start_of(None, FIRST, 7, 10) == Start(7, outdated=False)


@pytest.mark.parametrize(
    ("cursor", "index", "outdated"),
    [
        (1049, 49, False),  # the last one again
        (1045, 45, False),
        (1040, 40, False),  # the oldest in the window
        (1039, 40, False),  # was seen: nothing is missing
        (1038, 40, True),
        (0, 40, True),
    ],
)
def test_cursor_replays_from_itself_within_the_window(
    cursor: int, index: int, *, outdated: bool
) -> None:
    assert start_of(cursor, FIRST, 50, 10) == Start(index, outdated)


def test_before_the_first_frame_its_predecessor_is_no_future() -> None:
    assert start_of(FIRST - 1, FIRST, 0, 10) == Start(0, outdated=False)
    with pytest.raises(Refused, match="FutureCursor"):
        start_of(FIRST, FIRST, 0, 10)


def test_future_cursor_is_refused() -> None:
    with pytest.raises(Refused, match="FutureCursor"):
        start_of(1050, FIRST, 50, 10)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_replay_stays_within_the_window(cursor: int, offered: int, window: int) -> None:
    if cursor >= FIRST + offered:
        return
    start = start_of(cursor, FIRST, offered, window)
    assert max(0, offered - window) <= start.index <= offered
    assert FIRST + start.index >= cursor
    if not start.outdated:
        # Nothing after the cursor is left out, or it would have been told.
        assert FIRST + start.index <= max(cursor, FIRST - 1) + 1


def test_control_frames_are_read_as_what_they_are() -> None:
    assert decode(error_frame("FutureCursor", "why")) == ErrorFrame("FutureCursor", "why")
    info = decode(info_frame("OutdatedCursor", "too old"))
    assert isinstance(info, Ignored)
    assert info.seq is None
    assert info.detail.startswith("#info OutdatedCursor")
