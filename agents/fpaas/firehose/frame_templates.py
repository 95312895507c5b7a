"""Frames with holes: most of their bytes stay, and each frame fills in its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import LINK_PREFIX, head, text


class Template(NamedTuple):
    """A frame with holes; the segments between them, in the order of the wire.

    `link` is the tree's root as prevData of the author's next commit, None if the kind has none.
    """

    render: Callable[[Hole], bytes]
    link: bytes | None


class Hole(NamedTuple):
    """The fields that differ from frame to frame, encoded for the wire."""

    seq: bytes
    did: bytes
    rev: bytes
    since: bytes
    time: bytes
    prev_data: bytes
    #: How often the pool was gone through before.
    lap: int


LINK_BYTES = len(LINK_PREFIX) + 32
DID_LENGTH = 32
DID_HEAD = head(dag_cbor.TEXT, DID_LENGTH)
DID_KEY = text("did") + DID_HEAD
TIME_HEAD = head(dag_cbor.TEXT, 24)


def header(message_type: str) -> bytes:
    """Encode the header of a frame."""
    return head(dag_cbor.MAP, 2) + text("t") + text(message_type) + text("op") + b"\x01"


def section(block: bytes) -> bytes:
    """Encode a block as a CAR file has it."""
    cid = dag_cbor.CID_PREFIX + dag_cbor.digest_of(block)
    return varint(len(cid) + len(block)) + cid + block


def varint(number: int) -> bytes:
    """Encode an unsigned LEB128."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
