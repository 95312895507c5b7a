"""DAG-CBOR as the firehose uses it: written by hand where speed asks for it, walked in place.

The writers return bytes for one item; maps are written key by key, in canonical order (shorter
keys first, then bytewise), by whoever knows the keys. The walkers find where values lie in a frame
without building them, and refuse what DAG-CBOR does not allow: indefinite lengths, tags other
than 42, lengths that are not the shortest. See https://ipld.io/specs/codecs/dag-cbor/spec/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TypeAlias

Buffer: TypeAlias = "bytes | bytearray | memoryview"

UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
FALSE, TRUE, NULL = b"\xf4", b"\xf5", b"\xf6"
LINK_TAG = 42
#: CIDv1, dag-cbor, sha2-256, 32 bytes; the digest follows.
CID_PREFIX = b"\x01\x71\x12\x20"
#: A link is tag 42 on the CID's bytes behind one zero byte.
LINK_PREFIX = b"\xd8\x2a\x58\x25\x00" + CID_PREFIX

_LARGEST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
#: Nesting beyond this is an attack, not an event.
_DEPTH_MAX = 64


class DagCborError(ValueError):
    """Bytes that are not DAG-CBOR; the message says what and at which offset."""


def head(major: int, number: int) -> bytes:
    """Encode an item's head: its major type, and its value, length or tag in the fewest bytes."""
    kind = major << 5
    if number < 24:
        return bytes((kind | number,))
    if number < 1 << 8:
        return bytes((kind | 24, number))
    if number < 1 << 16:
        return (kind | 25).to_bytes(1, "big") + number.to_bytes(2, "big")
    if number < 1 << 32:
        return (kind | 26).to_bytes(1, "big") + number.to_bytes(4, "big")
    return (kind | 27).to_bytes(1, "big") + number.to_bytes(8, "big")


def text(value: str) -> bytes:
    """Encode a text string."""
    encoded = value.encode()
    return head(TEXT, len(encoded)) + encoded


def byte_string(value: bytes) -> bytes:
    """Encode a byte string."""
    return head(BYTES, len(value)) + value


def digest_of(block: bytes) -> bytes:
    """Return the SHA-256 that a block's CID holds."""
    return hashlib.sha256(block).digest()


def read_head(data: Buffer, at: int) -> tuple[int, int, int]:
    """Read an item's head: (major type, number, offset behind the head). Raises DagCborError."""
    try:
        initial = data[at]
        low = initial & 31
        at += 1
        if low < 24:
            return initial >> 5, low, at
        if low > 27 or (initial >= SIMPLE << 5 and low < 27):
            raise DagCborError(f"byte 0x{initial:02x} at offset {at - 1} is not allowed")
        end = at + (1 << (low - 24))
        number = int.from_bytes(data[at:end], "big")
    except IndexError:
        raise DagCborError(f"ends early, at offset {at}") from None
    if end > len(data):
        raise DagCborError(f"ends early, at offset {len(data)}")
    if number < _LARGEST[low] and initial < SIMPLE << 5:
        raise DagCborError(f"number at offset {at - 1} is not in its shortest form")
    return initial >> 5, number, end


def item_end(data: Buffer, at: int, depth: int = 0) -> int:
    """Return the offset behind the item at `at`. Raises DagCborError."""
    major, number, end = read_head(data, at)
    if major in (UINT, NEGATIVE):
        return end
    if major in (BYTES, TEXT):
        end += number
        if end > len(data):
            raise DagCborError(f"string at offset {at} ends behind the end of the data")
        return end
    if major == SIMPLE:
        # 20, 21, 22 stand for themselves; a float's bits are its `number`.
        if data[at] not in (0xF4, 0xF5, 0xF6, 0xFB):
            raise DagCborError(f"byte 0x{data[at]:02x} at offset {at} is not allowed")
        return end
    if depth >= _DEPTH_MAX:
        raise DagCborError(f"nested more than {_DEPTH_MAX} deep at offset {at}")
    if major == TAG:
        if number != LINK_TAG or end >= len(data) or data[end] >> 5 != BYTES:
            raise DagCborError(f"tag {number} at offset {at} is no link")
        return item_end(data, end, depth + 1)
    for _ in range(number):
        if major == MAP:
            end = _key_end(data, end)
        end = item_end(data, end, depth + 1)
    return end


def map_entries(data: Buffer, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over a map's (key, offset of the value, offset behind it). Raises DagCborError."""
    major, number, end = read_head(data, at)
    if major != MAP:
        raise DagCborError(f"no map at offset {at}")
    for _ in range(number):
        _, _, key_at = read_head(data, end)
        value_at = _key_end(data, end)
        end = item_end(data, value_at, 1)
        yield bytes(data[key_at:value_at]), value_at, end


def read_text(data: Buffer, at: int) -> str:
    """Return the text at `at`. Raises DagCborError where there is none."""
    major, length, start = read_head(data, at)
    if major != TEXT:
        raise DagCborError(f"no text at offset {at}")
    try:
        return bytes(data[start : start + length]).decode()
    except UnicodeDecodeError:
        raise DagCborError(f"text at offset {at} is not UTF-8") from None


def read_integer(data: Buffer, at: int) -> int:
    """Return the integer at `at`. Raises DagCborError where there is none."""
    major, number, _ = read_head(data, at)
    if major == UINT:
        return number
    if major == NEGATIVE:
        return -1 - number
    raise DagCborError(f"no integer at offset {at}")


def _key_end(data: Buffer, at: int) -> int:
    if at >= len(data) or data[at] >> 5 != TEXT:
        raise DagCborError(f"map key at offset {at} is no text")
    return item_end(data, at)
