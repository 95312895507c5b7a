"""Where an event goes in the stream: its subject, its Nats-Msg-Id and its DID's partition.

Subject: `atproto.firehose.<kind>.<partition>.<collection>`, so that one wildcard filters by kind,
by partition of the DID, or by collection. Firehose text is untrusted: what would break a subject or
a header line never reaches one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from fpaas.firehose.frames import Event
from fpaas.shuffler.publish_account import PUBLISHED
from fpaas.shuffler.stream_message import ID_HEADER, SEQ_HEADER, SHUFFLER_HEADER
from fpaas.spec import SUBJECT_ROOT
from fpaas.spec.mix import PARTITIONS, ConsumerClass

DEFAULT_PARTITIONS = PARTITIONS
_HEADER_START_BYTES = len(b"NATS/1.0\r\n")
#: Tokens in the collection's place.
NO_COLLECTION = "_"
MIXED_COLLECTIONS = "_mixed"
INVALID_COLLECTION = "_invalid"
#: In statistics, of those that came when there were very many already.
OTHER_COLLECTIONS = "_others"

# https://atproto.com/specs/nsid: at least three segments, 317 characters in all.
_NSID = re.compile(r"(?=.{5,317}$)[a-zA-Z0-9][a-zA-Z0-9-]*(\.[a-zA-Z0-9][a-zA-Z0-9-]*){2,}")
_MESSAGE_ID_MAX_CHARACTERS = 1024
# Anybody may make up collections: those seen are cached, but neither without end nor of any length.
_CACHE_ENTRIES_MAX = 10_000
_SUBJECTS_CACHED_MAX = 20_000
_CACHED_CHARACTERS_MAX = 1_000
# Statistics are kept of each label.
_LABELS_MAX = 2_000


class Address(NamedTuple):
    """Subject and headers of one event; `label` is `<kind> <collection>`, for statistics.

    `did_crc` is the CRC-32 of its DID, which stands for it if order and partitions are checked.
    `stream` is the number of the stream that has its partition.
    """

    subject: bytes
    header: bytes
    did_crc: int
    label: str
    stream: int


class ClassesOf:
    """Tells which classes of consumers want a message: a bit each, by number, and PUBLISHED."""

    def __init__(self, classes: Sequence[ConsumerClass]) -> None:
        self._classes = classes
        self._known: dict[bytes, int] = {}

    def __call__(self, subject: bytes) -> int:
        """Look at a subject that an Addresser made."""
        bits = self._known.get(subject)
        if bits is None:
            text = subject.decode()
            wanted = (one.wants(text) << number for number, one in enumerate(self._classes))
            bits = PUBLISHED | sum(wanted)
            if len(self._known) >= _SUBJECTS_CACHED_MAX:
                self._known.clear()
            self._known[subject] = bits
        return bits


class Addresser:
    """Addresses events, each DID always to the same one of `partitions`, and of `streams`.

    `writer` tells the shuffler's messages from those of others; None: they do not say.
    """

    def __init__(
        self, partitions: int = DEFAULT_PARTITIONS, streams: int = 1, writer: str | None = None
    ) -> None:
        self.partitions = partitions
        self.streams = streams
        written_by = "" if writer is None else f"{SHUFFLER_HEADER}: {writer}\r\n"
        # Consumers know that Fpaas-Seq is the last one.
        self._header_format = (
            f"NATS/1.0\r\n{written_by}{ID_HEADER}: %b\r\n{SEQ_HEADER}: %d\r\n\r\n".encode()
        )
        self._labels: set[str] = set()
        self._formats: dict[tuple[str, tuple[str, ...]], tuple[bytes, str]] = {}

    def address(self, event: Event) -> Address:
        """Return where an event goes."""
        try:
            subject_format, label = self._formats[event.kind, event.collections]
        except KeyError:
            subject_format, label = self._remember(event.kind, event.collections)
        did_crc = crc32(event.did.encode())
        header = self._header_format % (message_id(event).encode(), event.seq)
        partition = did_crc % self.partitions
        return Address(subject_format % partition, header, did_crc, label, partition % self.streams)

    def _remember(self, kind: str, collections: tuple[str, ...]) -> tuple[bytes, str]:
        token = collection_token(collections)
        label = f"{kind} {token}"
        if len(self._labels) < _LABELS_MAX:
            self._labels.add(label)
        elif label not in self._labels:
            label = f"{kind} {OTHER_COLLECTIONS}"
        made = f"{SUBJECT_ROOT}.{kind}.%d.{token}".encode(), label
        if sum(map(len, collections)) <= _CACHED_CHARACTERS_MAX:
            if len(self._formats) >= _CACHE_ENTRIES_MAX:
                self._formats.clear()
            self._formats[kind, collections] = made
        return made


def expecting(header: bytes, stream_seq: int) -> bytes:
    """Return a header with the condition that the stream ends at `stream_seq`."""
    # In front: consumers know that Fpaas-Seq is the last one.
    return b"NATS/1.0\r\nNats-Expected-Last-Sequence: %d\r\n%b" % (
        stream_seq,
        header[_HEADER_START_BYTES:],
    )


def collection_token(collections: tuple[str, ...]) -> str:
    """Return what stands for a commit's collections in the subject.

    >>> collection_token(("app.bsky.feed.like",)), collection_token(())
    ('app.bsky.feed.like', '_')
    """
    if not collections:
        return NO_COLLECTION
    if len(collections) > 1:
        return MIXED_COLLECTIONS
    return collections[0] if _NSID.fullmatch(collections[0]) else INVALID_COLLECTION


def message_id(event: Event) -> str:
    """Return what identifies an event whichever relay it came through.

    A relay's seq, and with it the frame's hash, are its own; did and rev are not. A #sync repeats
    the rev of a commit, so its kind stands in front. Identity and account events have no rev: their
    time and a digest of their content take its place.
    """
    if event.kind == "commit":
        identity = f"{event.did}/{event.rev}"
    elif event.rev is not None:
        identity = f"{event.kind}/{event.did}/{event.rev}"
    else:
        identity = f"{event.kind}/{event.did}/{event.time}/{event.digest}"
    if (
        len(identity) <= _MESSAGE_ID_MAX_CHARACTERS
        and identity.isascii()
        and identity.isprintable()
    ):
        return identity
    return f"sha256/{hashlib.sha256(identity.encode()).hexdigest()}"
