"""Decoding of firehose frames: what is an event, what is passed by, what is malformed."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.frames import ErrorFrame, Event, FrameError, Ignored, decode

TIME = "2026-07-04T14:38:07.517Z"
DID = "did:plc:wq4aajammjtxdomz3e23667t"


def frame(header: object, body: object) -> bytes:
    return cbor2.dumps(header) + cbor2.dumps(body)


def message(kind: str, **body: object) -> bytes:
    return frame({"op": 1, "t": kind}, body)


def commit(seq: int = 7, paths: tuple[str, ...] = ("app.bsky.feed.like/3a",)) -> bytes:
    operations = [{"action": "create", "path": path, "cid": None} for path in paths]
    return message("#commit", seq=seq, repo=DID, rev="3mptbypluud2a", time=TIME, ops=operations)


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
        (b"\xff", None),
        (commit()[:-1], None),
        (commit() + b"\x00", 7),
        (cbor2.dumps({"op": 1, "t": "#commit"}), None),
        (frame([1], {"seq": 4}), None),
        (frame({"op": 1, "t": "#commit"}, [1]), None),
        (frame({"t": "#commit"}, {"seq": 4}), 4),
        (frame({"op": 1}, {"seq": 4}), 4),
        (message("#commit", seq=4, rev="3a", time=TIME, ops=[]), 4),
        (message("#commit", seq=4, repo=DID, rev=3, time=TIME, ops=[]), 4),
        (message("#commit", seq=4, repo=DID, rev="", time=TIME, ops=[]), 4),
        (message("#commit", seq=4, repo=DID, rev="3a", time=TIME, ops=[{"path": 5}]), 4),
        (message("#commit", seq="4", repo=DID, rev="3a", time=TIME, ops=[]), None),
        (message("#commit", seq=-4, repo=DID, rev="3a", time=TIME, ops=[]), None),
        (message("#commit", seq=True, repo=DID, rev="3a", time=TIME, ops=[]), None),
        (message("#identity", seq=4, time=TIME), 4),
        # Duplicate keys and indefinite lengths are no DAG-CBOR.
        (b"\xa2\x62op\x01\x62op\x01\xa0", None),
        (b"\xbf\x62op\x01\xff\xa0", None),
    ],
)
def test_malformed(raw: bytes, seq: int | None) -> None:
    with pytest.raises(FrameError) as caught:
        decode(raw)
    assert caught.value.seq == seq
    assert str(caught.value)


@given(st.binary(max_size=200))
def test_random_bytes_are_malformed_or_a_frame(raw: bytes) -> None:
    with contextlib.suppress(FrameError):
        decode(raw)


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3)
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
        assert event.seq >= 0
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
