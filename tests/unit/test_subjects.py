"""Subjects, message ids and partitions, and that no text of the firehose can break them."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.firehose.frames import Event
from fpaas.shuffler.subjects import Addresser, collection_token, message_id

DID = "did:plc:wq4aajammjtxdomz3e23667t"
TIME = "2026-07-04T14:38:07.517Z"
#: CBOR text is UTF-8, so it has no surrogates.
text = st.text(st.characters(codec="utf-8"))


def event(
    *,
    kind: str = "commit",
    did: str = DID,
    rev: str | None = "3a",
    collections: tuple[str, ...] = ("app.bsky.feed.like",),
    digest: str | None = None,
    seq: int = 7,
) -> Event:
    return Event(kind, seq, did, rev, TIME, collections, digest)


def test_commit() -> None:
    address = Addresser(64).address(event())
    partition = zlib.crc32(DID.encode()) % 64
    assert address.did_crc % 64 == partition
    assert address.subject == b"atproto.firehose.commit.%d.app.bsky.feed.like" % partition
    assert address.header == (
        b"NATS/1.0\r\nNats-Msg-Id: %s/3a\r\nFpaas-Seq: 7\r\n\r\n" % DID.encode()
    )
    assert address.label == "commit app.bsky.feed.like"


def test_a_message_says_which_shuffler_wrote_it_and_its_relay_seq_last() -> None:
    address, written = Addresser(64).address(event()), Addresser(64, writer="1a2b").address(event())
    assert written.header == (
        b"NATS/1.0\r\nFpaas-Shuffler: 1a2b\r\nNats-Msg-Id: %s/3a\r\nFpaas-Seq: 7\r\n\r\n"
        % DID.encode()
    )
    assert written._replace(header=address.header) == address


@pytest.mark.parametrize(
    ("collections", "token"),
    [
        ((), "_"),
        (("a.b.c", "a.b.d"), "_mixed"),
        (("app.bsky.feed.like",), "app.bsky.feed.like"),
        (("com.example.fooBar2",), "com.example.fooBar2"),
        (("a.b",), "_invalid"),
        (("a..b.c",), "_invalid"),
        (("a.b.*",), "_invalid"),
        (("a.b.>",), "_invalid"),
        (("a.b.c d",), "_invalid"),
        (("a.b.c\r\nPUB",), "_invalid"),
        (("a.b.c\n",), "_invalid"),
        (("a.b." + "c" * 400,), "_invalid"),
    ],
)
def test_collection_token(collections: tuple[str, ...], token: str) -> None:
    assert collection_token(collections) == token


def test_message_ids_of_one_rev_differ_by_kind() -> None:
    assert message_id(event()) == f"{DID}/3a"
    assert message_id(event(kind="sync", collections=())) == f"sync/{DID}/3a"
    identity = event(kind="identity", rev=None, collections=(), digest="0123456789abcdef")
    assert message_id(identity) == f"identity/{DID}/{TIME}/0123456789abcdef"


def test_message_id_survives_a_change_of_relay() -> None:
    assert message_id(event(seq=1)) == message_id(event(seq=10**12))


@given(text, text.filter(bool), st.lists(text, max_size=2).map(tuple))
def test_nothing_in_the_firehose_breaks_the_protocol(
    did: str, rev: str, collections: tuple[str, ...]
) -> None:
    address = Addresser(8).address(event(did=did, rev=rev, collections=collections))
    assert f".{address.did_crc % 8}." in address.subject.decode()
    tokens = address.subject.decode("ascii").split(".")
    assert all(token and not set(token) & set(" \t\r\n*>") for token in tokens)
    lines = address.header.split(b"\r\n")
    assert len(lines) == 5
    assert lines[3:] == [b"", b""]


@given(st.lists(text, min_size=2, max_size=2, unique=True))
def test_message_ids_differ_where_revs_do(revs: list[str]) -> None:
    first, second = (message_id(event(rev=rev)) for rev in revs)
    assert first != second


def test_cache_of_made_up_collections_is_bounded() -> None:
    addresser = Addresser(8)
    for number in range(25_000):
        addresser.address(event(collections=(f"a.b.c{number}",)))
    assert len(addresser._formats) <= 10_000


def test_labels_are_bounded() -> None:
    addresser = Addresser(8)
    made = [
        addresser.address(event(collections=(f"a.b.c{number}",))).label for number in range(3000)
    ]
    assert made[0] == "commit a.b.c0"
    assert len(set(made)) == 2001
    assert made[-1] == "commit _others"
    assert addresser.address(event(collections=("a.b.c7",))).label == "commit a.b.c7"


def test_long_collections_are_not_cached() -> None:
    addresser = Addresser(8)
    addresser.address(event(collections=("a.b." + "c" * 100_000,)))
    assert not addresser._formats
