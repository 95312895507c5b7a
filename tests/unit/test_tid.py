from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose import tid

numbers = st.integers(0, tid.MAX)


@given(numbers)
def test_decoding_undoes_encoding(value: int) -> None:
    assert tid.decode(tid.encode(value)) == value


@given(numbers, numbers)
def test_text_sorts_as_the_numbers(one: int, other: int) -> None:
    assert (tid.encode(one) < tid.encode(other)) == (one < other)


def test_bounds() -> None:
    assert tid.encode(0) == "2222222222222"
    assert tid.encode(tid.MAX) == "bzzzzzzzzzzzz"


def test_real_rev_is_of_its_day() -> None:
    unix_us = tid.decode("3mptbypluud2a") >> tid.CLOCK_ID_BITS
    assert unix_us // 86_400_000_000 == 20_638  # 2026-07-04


@pytest.mark.parametrize("text", ["", "222222222222", "3mptbypluud20", "czzzzzzzzzzzz"])
def test_what_is_no_tid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a timestamp id"):
        tid.decode(text)
