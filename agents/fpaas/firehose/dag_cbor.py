"""DAG-CBOR as the firehose uses it: written by hand where speed asks for it, walked in place.

The writers return bytes for one item; maps are written key by key, in canonical order (shorter keys
first, then bytewise), by callers that know the keys. The walker finds where values lie in a frame
without building them, and decides whether they are well-formed: DRISL, the strict DAG-CBOR of
ATProto (https://dasl.ing/drisl.html), without its floats, which ATProto has none of. Lengths and
numbers are in their shortest form, keys are text in order and each once, text is UTF-8, the only
tag is 42 and stands on a CID, and nothing has an indefinite length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
FALSE, TRUE, NULL = b"\xf4", b"\xf5", b"\xf6"
LINK_TAG = 42
#: CIDv1, dag-cbor, sha2-256, 32 bytes; the digest follows.
CID_PREFIX = b"\x01\x71\x12\x20"
#: The same and that of raw bytes, such as a picture's; there are no other CIDs in ATProto.
CID_PREFIXES = (CID_PREFIX, b"\x01\x55\x12\x20")
CID_BYTES = len(CID_PREFIX) + 32
#: A link is tag 42 on the CID's bytes behind one zero byte.
LINK_PREFIX = b"\xd8\x2a\x58\x25\x00" + CID_PREFIX

_LARGEST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
#: Nesting beyond this is an attack, not an event.
DEPTH_MAX = 64
#: So are more values than this: a byte each in a frame, seventy times that in memory.
ITEMS_MAX = 65_536

_FLOAT64 = 0xFB
#: A byte string of 37 bytes, the first of them 0.
_LINK_HEAD = LINK_PREFIX[2:5]
_LINK_HEAD_BYTES = len(_LINK_HEAD)
_LINK_STARTS = tuple(_LINK_HEAD + prefix for prefix in CID_PREFIXES)


class DagCborError(ValueError):
    """Bytes that are not DRISL; the message says why and at which offset."""


#: Heads of each major type, for numbers below 256: frames are made of these.
_SHORT_HEADS = [
    [
        bytes((kind << 5 | number,)) if number < 24 else bytes((kind << 5 | 24, number))
        for number in range(256)
    ]
    for kind in range(8)
]


def head(major: int, number: int) -> bytes:
    """Encode an item's head: its major type, and its value, length or tag in the fewest bytes."""
    if number < 1 << 8:
        return _SHORT_HEADS[major][number]
    kind = major << 5
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


def read_head(data: bytes, at: int) -> tuple[int, int, int]:
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


def item_end(data: bytes, at: int) -> int:
    """Return the offset behind the item at `at`. Raises DagCborError, in time and memory bounded.

    An item that it walks to its end is DRISL without floats.
    """
    to_come, last_key, is_map = 1, b"", False
    #: The same of the lists and maps around.
    outer: list[tuple[int, bytes, bool]] = []
    for _ in range(ITEMS_MAX):
        if is_map:
            key_at, at = at, _key_end(data, at)
            key = data[key_at:at]
            # A head sorts by its length.
            if key <= last_key:
                raise DagCborError(f"map key at offset {key_at} is out of order or there twice")
            last_key = key
        to_come -= 1
        major, number, end = read_head(data, at)
        if major in (ARRAY, MAP):
            if number:
                outer.append((to_come, last_key, is_map))
                to_come, last_key, is_map = number, b"", major == MAP
                if len(outer) > DEPTH_MAX:
                    raise DagCborError(f"nested more than {DEPTH_MAX} deep at offset {at}")
        else:
            end = _scalar_end(data, at, major, number, end)
        at = end
        while not to_come:
            if not outer:
                return at
            to_come, last_key, is_map = outer.pop()
    raise DagCborError(f"has more than {ITEMS_MAX} values")


def map_entries(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over a map's (key, offset of the value, offset behind it). Raises DagCborError.

    Whether the keys are in order is not looked at.
    """
    major, number, end = read_head(data, at)
    if major != MAP:
        raise DagCborError(f"no map at offset {at}")
    for _ in range(number):
        _, _, key_at = read_head(data, end)
        value_at = _key_end(data, end)
        end = item_end(data, value_at)
        yield bytes(data[key_at:value_at]), value_at, end


def read_text(data: bytes, at: int) -> str:
    """Return the text at `at`. Raises DagCborError if there is none."""
    major, length, start = read_head(data, at)
    if major != TEXT:
        raise DagCborError(f"no text at offset {at}")
    try:
        return bytes(data[start : start + length]).decode()
    except UnicodeDecodeError:
        raise DagCborError(f"text at offset {at} is not UTF-8") from None


def _scalar_end(data: bytes, at: int, major: int, number: int, end: int) -> int:
    """Return the offset behind what is neither a list nor a map; its head ends at `end`."""
    if major == TEXT:
        return _text_end(data, at)
    if major == BYTES:
        return _string_end(data, at, number, end)
    if major == TAG:
        return _link_end(data, at, number, end)
    if major == SIMPLE and data[at : at + 1] not in (FALSE, TRUE, NULL):
        what = "is a float" if data[at] == _FLOAT64 else f"0x{data[at]:02x} is not allowed"
        raise DagCborError(f"byte at offset {at} {what}")
    return end


def _key_end(data: bytes, at: int) -> int:
    if at >= len(data) or data[at] >> 5 != TEXT:
        raise DagCborError(f"map key at offset {at} is not text")
    return _text_end(data, at)


def _text_end(data: bytes, at: int) -> int:
    _, length, start = read_head(data, at)
    end = _string_end(data, at, length, start)
    text_bytes = data[start:end]
    if not text_bytes.isascii():
        try:
            text_bytes.decode()
        except UnicodeDecodeError:
            raise DagCborError(f"text at offset {at} is not UTF-8") from None
    return end


def _string_end(data: bytes, at: int, length: int, start: int) -> int:
    if start + length > len(data):
        raise DagCborError(f"string at offset {at} ends behind the end of the data")
    return start + length


def _link_end(data: bytes, at: int, tag: int, start: int) -> int:
    if tag != LINK_TAG:
        raise DagCborError(f"tag {tag} at offset {at} is not allowed; only links have one, 42")
    end = start + _LINK_HEAD_BYTES + CID_BYTES
    prefix = data[start : start + _LINK_HEAD_BYTES + len(CID_PREFIX)]
    if prefix not in _LINK_STARTS or end > len(data):
        raise DagCborError(f"tag 42 at offset {at} stands on no CID that ATProto has")
    return end
