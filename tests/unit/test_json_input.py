from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas import json_input

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(DOCUMENTS, st.booleans())
def test_json_is_read(document: object, ensure_ascii: bool) -> None:  # noqa: FBT001
    text = json.dumps(document, ensure_ascii=ensure_ascii)
    assert json_input.loads(text) == document
    assert json_input.loads(text.encode()) == document


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "NaN", "[Infinity]", '{"a":-Infinity}', "1e400", "[-1e999]", "9" * 5000),
        *("[" * 101 + "]" * 101, "[" * 100_000, '{"a":' * 100_000),
        *('"\\ud800"', '{"\\uDFFF":1}'),
        *(b"\xff", b'"\xff"'),
    ],
)
def test_what_is_none_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        json_input.loads(text)


def test_a_character_in_two_halves_is_one() -> None:
    assert json_input.loads('"\\ud83d\\ude00"') == "\U0001f600"
    assert json_input.loads("[" * 99 + "]" * 99)
