"""Decoding of firehose frames: what is an event, what is skipped, what is malformed."""

from __future__ import annotations

import contextlib
import re
import struct
import time
import tracemalloc
from pathlib import Path

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import DagCborError
from fpaas.firehose.frames import SEQ_MAX, ErrorFrame, Event, FrameError, Ignored, decode
from tests.support.event_frames import (
    BIGNUM,
    DID,
    NOT_DRISL,
    TIME,
    commit,
    events,
    frame,
    malformed,
    message,
    raw_message,
)


def read_frames(path: Path) -> list[bytes]:
    data = path.read_bytes()
    frames = []
    position = 0
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        frames.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    return frames


def test_commit() -> None:
    assert decode(commit()) == Event(
        "commit", 7, DID, "3mptbypluud2a", TIME, ("app.bsky.feed.like",), None
    )


def test_collections_are_each_named_once() -> None:
    event = decode(commit(paths=("a.b.c/1", "a.b.d/1", "a.b.c/2")))
    assert isinstance(event, Event)
    assert event.collections == ("a.b.c", "a.b.d")
    assert isinstance(bare := decode(commit(paths=())), Event)
    assert bare.collections == ()


def test_sync_identity_account() -> None:
    sync = decode(message("#sync", seq=1, did=DID, rev="3a", time=TIME, blocks=b""))
    assert sync == Event("sync", 1, DID, "3a", TIME, (), None)
    identity = decode(message("#identity", seq=2, did=DID, time=TIME, handle="a.test"))
    assert isinstance(identity, Event)
    assert (identity.kind, identity.rev, identity.collections) == ("identity", None, ())
    account = decode(message("#account", seq=3, did=DID, time=TIME, active=False))
    assert isinstance(account, Event)
    assert account.kind == "account"


def test_digest_depends_on_content_but_not_on_seq_or_order() -> None:
    def digest(**body: object) -> str | None:
        event = decode(message("#account", **body))
        assert isinstance(event, Event)
        return event.digest

    one = digest(seq=3, did=DID, time=TIME, active=True)
    assert one == digest(active=True, time=TIME, did=DID, seq=999)
    assert one != digest(seq=3, did=DID, time=TIME, active=False)


@pytest.mark.parametrize(
    ("raw", "seq"),
    [
        (message("#info", name="OutdatedCursor", message="too old"), None),
        (message("#tombstone", seq=9, did=DID, time=TIME), 9),
        (frame({"op": 2, "t": "#commit"}, {"seq": 8}), 8),
    ],
)
def test_what_is_unknown_is_passed_by(raw: bytes, seq: int | None) -> None:
    ignored = decode(raw)
    assert isinstance(ignored, Ignored)
    assert ignored.seq == seq


def test_error_frame() -> None:
    raw = frame({"op": -1}, {"error": "FutureCursor", "message": "in the future"})
    assert decode(raw) == ErrorFrame("FutureCursor", "in the future")


@pytest.mark.parametrize(
    ("raw", "seq"),
    [
        (b"", None),
        (commit()[:-1], None),
        (commit() + b"\x00", 7),
        (raw_message("#commit", x=b"\x18\x07"), 7),
        (raw_message("#commit", x=BIGNUM), None),
        (raw_message("#commit", seq=b"\x18\x07"), 7),
        (commit(seq=2**53), None),
        (commit(rev=None), 7),
        (message("#identity", seq=4, time=TIME), 4),
        (frame({"t": "#commit"}, {"seq": 4}), 4),
        (frame({"op": 1}, {"seq": 4}), 4),
    ],
)
def test_seq_of_what_is_malformed(raw: bytes, seq: int | None) -> None:
    with pytest.raises(FrameError) as caught:
        decode(raw)
    assert caught.value.seq == seq


def test_all_that_is_malformed_is_refused_in_no_time() -> None:
    decoded = []
    for what, raw in malformed().items():
        began_s = time.process_time()
        with contextlib.suppress(FrameError):
            decode(raw)
            decoded.append(what)
        assert time.process_time() - began_s < 1, what
    assert not decoded


def test_what_is_odd_but_an_event_is_one() -> None:
    for what, raw in events().items():
        assert isinstance(decode(raw), Event), what


@pytest.mark.parametrize("item", NOT_DRISL.values(), ids=NOT_DRISL)
def test_walker_and_decoder_agree(item: bytes) -> None:
    with pytest.raises(DagCborError):
        dag_cbor.item_end(item, 0)


def test_cause_is_said_with_its_offset() -> None:
    with pytest.raises(FrameError, match=r"number at offset 18 is not in its shortest form"):
        decode(raw_message("#commit", x=b"\x18\x07"))


def test_memory_is_in_proportion() -> None:
    raw = malformed()["5 million values"]
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match="more than 65536 values"):
            decode(raw)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(raw)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("seq", [0, -1, 2**53, 2**64 - 1, "4", None])
def test_seq_of_an_unknown_type_counts_only_where_it_is_one(seq: object) -> None:
    assert decode(message("#new", seq=seq)) == Ignored("unknown type #new", None)
    assert decode(frame({"op": 2}, {"seq": seq})) == Ignored("unknown operation 2", None)
    assert decode(message("#new", seq=SEQ_MAX)) == Ignored("unknown type #new", SEQ_MAX)


def test_what_is_remembered_of_an_event_is_small() -> None:
    """Readers remember some thousand events, to know them if they come again."""
    paths = tuple(f"{number:06d}{'x' * 1000}/1" for number in range(5000))
    event = decode(commit(paths=paths, rev="r" * 2048))
    assert isinstance(event, Event)
    assert len(event.collections) == 20
    assert sum(map(len, event.collections)) == 20 * 318


def test_words_are_cut() -> None:
    long = "x" * 1_000_000
    told = decode(frame({"op": -1}, {"error": long, "message": long}))
    assert isinstance(told, ErrorFrame)
    assert len(told.name) == len(told.message) == 200
    for raw in (message("#info", name=long, message=long), message(long)):
        assert isinstance(ignored := decode(raw), Ignored)
        assert len(ignored.detail) < 500
    assert decode(frame({"op": -1}, {})) == ErrorFrame("unnamed", "")
    assert decode(frame({"op": -1}, {"error": 2**64 - 1})) == ErrorFrame("(no text)", "")


def test_whatever_the_library_raises_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (RecursionError, MemoryError, OverflowError, ValueError, re.error, BaseException):

        def fail(_: bytes, error: type[BaseException] = error) -> list[object]:
            raise error("no")

        monkeypatch.setattr(libipld, "decode_dag_cbor_multi", fail)
        with pytest.raises(FrameError, match="cannot be decoded: no"):
            decode(commit())


@given(st.binary(max_size=200))
def test_random_bytes_are_malformed_or_a_frame(raw: bytes) -> None:
    with contextlib.suppress(FrameError):
        decode(raw)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3)
)
values = scalars | st.lists(st.dictionaries(st.just("path"), scalars, max_size=1), max_size=2)


@given(
    st.sampled_from(["#commit", "#sync", "#identity", "#account", "#info", "#new", 5]),
    st.dictionaries(st.sampled_from(["seq", "repo", "did", "rev", "time", "ops", "name"]), values),
)
def test_any_body_is_malformed_or_a_frame(kind: object, body: dict[str, object]) -> None:
    try:
        event = decode(frame({"op": 1, "t": kind}, body))
    except FrameError:
        return
    if isinstance(event, Event):
        assert 0 < event.seq <= SEQ_MAX
        assert event.did


@given(st.binary(min_size=1, max_size=3), st.integers(min_value=0, max_value=2**16))
def test_damaged_commit_never_raises_anything_else(damage: bytes, at: int) -> None:
    raw = bytearray(commit())
    at %= len(raw)
    raw[at : at + len(damage)] = damage
    with contextlib.suppress(FrameError):
        decode(bytes(raw))


def test_real_frames(real_frames: Path) -> None:
    events = [decode(raw) for raw in read_frames(real_frames)]
    assert len(events) == 100
    assert all(isinstance(event, Event) and event.kind == "commit" for event in events)
    seqs = [event.seq for event in events if isinstance(event, Event)]
    assert seqs == sorted(set(seqs))
