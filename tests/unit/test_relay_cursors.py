from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.relay.cursors import CURSOR_MAX, Backlog, Refused, Start, read_cursor, start_of

FIRST = 1000
#: Frames 40 … 49 of 50 can be replayed; they have seq 1040 … 1049.
BACKLOG = Backlog(oldest=40, end=50, shift=FIRST)

backlogs = st.builds(
    lambda oldest, length, shift: Backlog(oldest, oldest + length, shift),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 2**40),
)


def test_without_cursor_it_begins_with_the_next_frame() -> None:
    assert start_of(None, Backlog(0, 0, FIRST)) == Start(0, outdated=False)
    assert start_of(None, BACKLOG) == Start(50, outdated=False)


@pytest.mark.parametrize(
    ("cursor", "index", "after", "outdated"),
    [
        (1049, 49, 50, False),  # the last one again, or the next
        (1045, 45, 46, False),
        (1040, 40, 41, False),  # the oldest in the window
        (1039, 40, 40, False),  # was seen: nothing is missing
        (1038, 40, 40, True),
        (1, 40, 40, True),
        (0, 40, 40, False),  # asks for the oldest, whichever that is
    ],
)
def test_cursor_replays_from_itself_or_after_it(
    cursor: int, index: int, after: int, *, outdated: bool
) -> None:
    assert start_of(cursor, BACKLOG) == Start(index, outdated)
    assert start_of(cursor, BACKLOG, inclusive=False) == Start(after, outdated)


def test_before_the_first_frame_its_predecessor_is_no_future() -> None:
    nothing = Backlog(0, 0, FIRST)
    assert start_of(FIRST - 1, nothing) == Start(0, outdated=False)
    with pytest.raises(Refused, match="FutureCursor"):
        start_of(FIRST, nothing)


@given(cursor=st.integers(0, CURSOR_MAX), backlog=backlogs, inclusive=st.booleans())
def test_a_cursor_gets_everything_after_it_that_is_there_or_is_told(
    *, cursor: int, backlog: Backlog, inclusive: bool
) -> None:
    last_seq = backlog.end - 1 + backlog.shift
    if cursor > last_seq and cursor:
        with pytest.raises(Refused, match="FutureCursor"):
            start_of(cursor, backlog, inclusive=inclusive)
        return
    start = start_of(cursor, backlog, inclusive=inclusive)
    assert backlog.oldest <= start.index <= backlog.end
    first_sent = start.index + backlog.shift
    if cursor == 0:
        assert start == Start(backlog.oldest, outdated=False)
        return
    assert first_sent >= (cursor if inclusive else cursor + 1)
    # Nothing after the cursor is left out, or it is told; and told only then.
    assert start.outdated == (first_sent > cursor + 1)
    # Nothing before it is sent.
    oldest_seq = backlog.oldest + backlog.shift
    assert first_sent == max(oldest_seq, cursor if inclusive else cursor + 1)


@given(backlog=backlogs, back=st.integers(1, 1000), inclusive=st.booleans())
def test_resuming_from_any_frame_leaves_no_gap(
    *, backlog: Backlog, back: int, inclusive: bool
) -> None:
    """Whoever resumes from the last frame seen gets the next one, and at most that one again."""
    seen = max(backlog.oldest, backlog.end - back)
    if seen >= backlog.end:
        return
    start = start_of(seen + backlog.shift, backlog, inclusive=inclusive)
    assert start == Start(seen + (not inclusive), outdated=False)


@pytest.mark.parametrize("query", ["", "cursor=", "other=3", "cursor=7&cursor="])
def test_no_cursor(query: str) -> None:
    assert read_cursor(query) is None


@given(st.integers(0, CURSOR_MAX), st.integers(0, 3))
def test_cursors_are_read_as_what_they_are(cursor: int, zeros: int) -> None:
    assert read_cursor(f"cursor={'0' * zeros}{cursor}") == cursor


@given(st.text(min_size=1))
def test_anything_else_is_no_cursor(text: str) -> None:
    if text.isascii() and text.isdigit():
        return
    with pytest.raises(ValueError, match="is not a sequence number"):
        read_cursor(f"cursor={quote(text, safe='')}")


@pytest.mark.parametrize("digits", [str(CURSOR_MAX + 1), "9" * 5000])
def test_numbers_beyond_64_bits_are_no_cursor(digits: str) -> None:
    with pytest.raises(ValueError, match="is not a sequence number"):
        read_cursor(f"cursor={digits}")
