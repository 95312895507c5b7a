"""Decoding of firehose frames: strict about bytes, lenient about unknown contents. Pure.

A frame is one binary WebSocket message of two concatenated DRISL-CBOR objects, header `{op, t}` and
body. Source: https://atproto.com/specs/event-stream and the lexicon
com.atproto.sync.subscribeRepos. A client skips operations and types that it does not know, and
drops the connection on frames that it cannot decode.

`decode` is the only judge of frames: the shuffler, recordings and captures all ask it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import libipld

from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import DagCborError
from fpaas.legible import legible

#: The largest frame that the event stream specification allows.
MAX_FRAME_BYTES = 5 * 2**20
#: The largest seq; what is larger is not the same number in every language.
SEQ_MAX = 2**53 - 1

_OP_MESSAGE = 1
_OP_ERROR = -1
_DIGEST_HEX_DIGITS = 16
#: DIDs have no more, and neither has any other text that tells events apart. Some thousand events
#: are remembered.
TEXT_CHARACTERS_MAX = 2048
#: Of longer ones than the longest NSID it only matters that they are none; of many, that they are.
_COLLECTION_CHARACTERS_MAX = 318
_COLLECTIONS_MAX = 20
#: Words of a relay are cut to this many characters.
_WORDS_CHARACTERS_MAX = 200
#: Frames nested deeper are left to the walker; events are not.
_PLAIN_DEPTH_MAX = 8
#: How JSON begins, and no header: it is a map.
_JSON_BEGINNINGS = (b"{", b"[")
#: First bytes of anything that the library may have read as a CID, of version 1 and 0.
_CID_BEGINNINGS = (b"\x01", b"\x12")
#: Headers of the events there are, which most frames have.
_USUAL_HEADERS = frozenset(
    libipld.encode_dag_cbor({"op": 1, "t": t})
    for t in ("#commit", "#sync", "#identity", "#account")
)


class FrameError(Exception):
    """A frame that is malformed, whatever is wrong with it; `seq` if it could still be read."""

    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


class Event(NamedTuple):
    """One event of the firehose; its kind is the message type without `#`.

    `rev` is None if the kind has none (identity, account); `digest` then tells apart what `rev`
    would (hex of a hash over the content without seq), and is None otherwise. `collections` are the
    NSIDs that a commit's operations touch, each once, in order of appearance, the first 20 of them.
    """

    kind: str
    seq: int
    did: str
    rev: str | None
    time: str
    collections: tuple[str, ...]
    digest: str | None


class ErrorFrame(NamedTuple):
    """The relay's last words before it closes, such as FutureCursor or ConsumerTooSlow."""

    name: str
    message: str


class Ignored(NamedTuple):
    """A valid frame that is no event to us: #info, an unknown type or operation.

    `detail` is for the log; `seq` is None if the frame has none.
    """

    detail: str
    seq: int | None


Frame = Event | ErrorFrame | Ignored


def decode(frame: bytes) -> Frame:
    """Decode one frame. Raises FrameError if it is malformed, and nothing else.

    Its time and memory are in proportion to the frame's size, which `dag_cbor.ITEMS_MAX` and
    `DEPTH_MAX` see to.
    """
    header, body = _objects(frame)
    operation = header.get("op")
    if operation.__class__ is not int:
        raise FrameError("has no integer op in its header", _seq_of(body))
    if operation == _OP_MESSAGE:
        return _message(header.get("t"), body)
    if operation == _OP_ERROR:
        return ErrorFrame(_words(body, "error") or "unnamed", _words(body, "message"))
    return Ignored(f"unknown operation {operation}", _seq_of(body))


def received(frame: bytes) -> Frame | FrameError:
    """Decode a frame as it was received; if it is too large or malformed, return what is wrong."""
    if len(frame) > MAX_FRAME_BYTES:
        return FrameError(f"is larger than {MAX_FRAME_BYTES} bytes")
    try:
        return decode(frame)
    except FrameError as error:
        return error


# -- bytes ---------------------------------------------------------------------------------------


def _objects(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and body.

    The library always encodes in canonical form. So if its encoding of what it read is
    the frame again, and none of it is of a kind that the library takes and ATProto does not, the
    frame is well-formed. Any other goes to the walker, which judges, and says what is wrong where.
    """
    if len(frame) > dag_cbor.ITEMS_MAX:
        # It may have more values than are to be in memory.
        _walk(frame, None)
    try:
        objects = libipld.decode_dag_cbor_multi(frame)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001
        # ValueError and RecursionError are promised, but no frame is to end the process.
        _walk(frame, None)
        raise FrameError(f"cannot be decoded: {error}") from None
    body = objects[1] if len(objects) > 1 else None
    if len(objects) != 2:
        _walk(frame, _seq_of(body))
        raise FrameError(f"is {len(objects)} objects, not header and body", _seq_of(body))
    header = objects[0]
    if not isinstance(header, dict) or not isinstance(body, dict):
        raise FrameError("is not two maps, header and body", _seq_of(body))
    again = libipld.encode_dag_cbor(body)
    header_bytes = frame[: len(frame) - len(again)]
    if (
        not frame.endswith(again)
        or not _is_plain(body.values())
        or (header_bytes not in _USUAL_HEADERS and not _is_plain_header(header, header_bytes))
    ):
        _walk(frame, _seq_of(body))
    return header, body


def _is_plain_header(header: dict[str, Any], header_bytes: bytes) -> bool:
    return libipld.encode_dag_cbor(header) == header_bytes and _is_plain(header.values())


def _walk(frame: bytes, seq: int | None) -> None:
    """Raise FrameError if a frame is not two DRISL objects; `seq` is its own if known."""
    if frame.startswith(_JSON_BEGINNINGS):
        raise FrameError("begins as JSON does; a relay's subscribeRepos sends DRISL-CBOR")
    try:
        end = dag_cbor.item_end(frame, dag_cbor.item_end(frame, 0))
    except DagCborError as error:
        raise FrameError(f"is not DRISL-CBOR: {error}", seq) from None
    if end != len(frame):
        raise FrameError(f"has {len(frame) - end} bytes behind its body", seq)


def _is_plain(values: Iterable[Any], depth: int = 0) -> bool:
    """Tell whether there is no float, no odd CID and no deep nesting among values."""
    for value in values:
        kind = value.__class__
        if kind is str or kind is int:
            continue
        if kind is bytes:
            # The library returns a link as its CID's bytes.
            if value.startswith(_CID_BEGINNINGS) and not _is_cid(value):
                return False
        elif kind is list or kind is dict:
            if value:
                inner = value.values() if kind is dict else value
                if depth == _PLAIN_DEPTH_MAX or not _is_plain(inner, depth + 1):
                    return False
        elif kind is float:
            return False
    return True


def _is_cid(value: bytes) -> bool:
    return len(value) == dag_cbor.CID_BYTES and value.startswith(dag_cbor.CID_PREFIXES)


# -- messages ------------------------------------------------------------------------------------


def _message(message_type: object, body: dict[str, Any]) -> Frame:
    try:
        if message_type == "#commit":
            return _event("commit", body, did=body["repo"], rev=body["rev"], digest=None)
        if message_type == "#sync":
            return _event("sync", body, did=body["did"], rev=body["rev"], digest=None)
        if message_type in ("#identity", "#account"):
            return _event(
                message_type[1:], body, did=body["did"], rev=None, digest=_digest_without_seq(body)
            )
    except KeyError as error:
        raise FrameError(f"is {message_type} without {error.args[0]}", _seq_of(body)) from None
    except TypeError as error:
        raise FrameError(f"is {message_type} with a bad field: {error}", _seq_of(body)) from None
    if not isinstance(message_type, str):
        raise FrameError("has no text t in its header", _seq_of(body))
    if message_type == "#info":
        return Ignored(f"#info {_words(body, 'name')}: {_words(body, 'message')}", None)
    return Ignored(f"unknown type {legible(message_type, 80)}", _seq_of(body))


def _event(
    kind: str, body: dict[str, Any], *, did: str, rev: str | None, digest: str | None
) -> Event:
    seq = body["seq"]
    time = body["time"]
    if seq.__class__ is not int or not 0 < seq <= SEQ_MAX:
        raise TypeError(f"seq is not an integer from 1 to {SEQ_MAX}")
    _check_text(did)
    _check_text(time)
    # Only kinds without a digest have a rev.
    if digest is None:
        _check_text(rev)
    collections = _collections(body["ops"]) if kind == "commit" else ()
    return Event(kind, seq, did, rev, time, collections, digest)


def _check_text(text: object) -> None:
    if text.__class__ is not str or not text:
        raise TypeError(f"text expected, not {text!r:.80}")
    if len(text) > TEXT_CHARACTERS_MAX:
        raise TypeError(f"{legible(text, 20)} is longer than {TEXT_CHARACTERS_MAX} characters")


def _collections(operations: list[dict[str, Any]]) -> tuple[str, ...]:
    if operations.__class__ is not list:
        raise TypeError(f"ops is not a list but {operations!r:.80}")
    if len(operations) == 1:
        return (_collection(operations[0]),)
    return tuple(dict.fromkeys(map(_collection, operations)))[:_COLLECTIONS_MAX]


def _collection(operation: dict[str, Any]) -> str:
    path = operation["path"] if operation.__class__ is dict else None
    if path.__class__ is not str:
        raise TypeError(f"operation without a path in text: {operation!r:.80}")
    return path.partition("/")[0][:_COLLECTION_CHARACTERS_MAX]


def _digest_without_seq(body: dict[str, Any]) -> str:
    content = {name: value for name, value in body.items() if name != "seq"}
    encoded = libipld.encode_dag_cbor(content)
    return hashlib.sha256(encoded).hexdigest()[:_DIGEST_HEX_DIGITS]


def _seq_of(body: object) -> int | None:
    seq = body.get("seq") if isinstance(body, dict) else None
    return seq if seq.__class__ is int and 0 < seq <= SEQ_MAX else None


def _words(body: dict[str, Any], name: str) -> str:
    words = body.get(name, "")
    return legible(words, _WORDS_CHARACTERS_MAX) if isinstance(words, str) else "(no text)"
