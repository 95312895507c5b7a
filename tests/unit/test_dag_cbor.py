from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import DagCborError

links = st.binary(min_size=32, max_size=32).map(
    lambda digest: cbor2.CBORTag(42, b"\0" + dag_cbor.CID_PREFIX + digest)
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=300)
    | links
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=30), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(st.integers(0, 7), st.integers(0, 2**64 - 1))
def test_reading_undoes_writing_a_head(major: int, number: int) -> None:
    if major == dag_cbor.SIMPLE:
        number %= 20
    encoded = dag_cbor.head(major, number)
    assert dag_cbor.read_head(encoded, 0) == (major, number, len(encoded))


@given(values)
def test_item_ends_where_it_ends(value: object) -> None:
    encoded = cbor2.dumps(value, canonical=True)
    assert dag_cbor.item_end(b"ab" + encoded + b"\xff", 2) == 2 + len(encoded)


@given(values, st.data())
def test_item_cut_short_is_refused(value: object, data: st.DataObject) -> None:
    encoded = cbor2.dumps(value, canonical=True)
    length = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DagCborError):
        dag_cbor.item_end(encoded[:length], 0)


@given(st.binary(max_size=100))
def test_any_bytes_are_walked_or_refused(data: bytes) -> None:
    try:
        end = dag_cbor.item_end(data, 0)
    except DagCborError:
        return
    assert 0 < end <= len(data)


@given(st.dictionaries(st.text(max_size=30), values, max_size=8))
def test_entries_are_found_in_place(value: dict[str, object]) -> None:
    encoded = cbor2.dumps(value, canonical=True)
    found = {
        key.decode(): cbor2.loads(encoded[at:end])
        for key, at, end in dag_cbor.map_entries(encoded, 0)
    }
    assert found == value


@given(st.text(), st.binary())
def test_strings_are_written_as_the_library_writes_them(text: str, data: bytes) -> None:
    assert dag_cbor.text(text) == cbor2.dumps(text)
    assert dag_cbor.byte_string(data) == cbor2.dumps(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x9f\xff", "not allowed"),  # indefinite length
        (b"\x18\x17", "shortest"),
        (b"\x19\x00\xff", "shortest"),
        (b"\xc1\x00", "tag 1 .* not allowed"),
        (b"\xd8\x2a\x00", "no CID"),
        (b"\xa1\x01\x01", "is not text"),
        (b"\xf9\x00\x00", "not allowed"),  # half float
        (b"\xfb" + bytes(8), "is a float"),
        (b"\xf7", "not allowed"),  # undefined
        (b"\xa2\x61a\x01\x61a\x01", "out of order or there twice"),
        (b"\xa2\x62aa\x01\x61b\x01", "out of order"),
        (b"\x62\xc3\x28", "not UTF-8"),
        (b"\x9a\x00\x01\x00\x00" + bytes(2**16), "more than 65536 values"),
        (b"\x81" * 100 + b"\x01", "deep"),
        (b"", "ends early"),
        (b"\x1a\x00\x00", "ends early"),
        (b"\x45abc", "behind the end"),
    ],
)
def test_what_dag_cbor_forbids_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(DagCborError, match=why):
        dag_cbor.item_end(data, 0)


def test_wrong_types_are_refused() -> None:
    with pytest.raises(DagCborError, match="no map"):
        list(dag_cbor.map_entries(b"\x01", 0))
    with pytest.raises(DagCborError, match="no text"):
        dag_cbor.read_text(b"\x01", 0)
    with pytest.raises(DagCborError, match="UTF-8"):
        dag_cbor.read_text(b"\x61\xff", 0)
