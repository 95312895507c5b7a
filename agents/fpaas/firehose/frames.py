"""What a firehose frame says: pure decoding, strict about CBOR, lenient about what is new.

A frame is one binary WebSocket message of two concatenated DAG-CBOR objects, header `{op, t}` and
body. Source: https://atproto.com/specs/event-stream and the lexicon
com.atproto.sync.subscribeRepos. A client passes by operations and types that it does not know, and
drops the connection on frames that it cannot decode.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any, NamedTuple

import cbor2

#: The largest frame that the event stream specification allows.
MAX_FRAME_BYTES = 5 * 2**20

_OP_MESSAGE = 1
_OP_ERROR = -1
_DIGEST_HEX_DIGITS = 16


class FrameError(Exception):
    """A frame that is malformed; `seq` where it could still be read."""

    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


class Event(NamedTuple):
    """One event of the firehose; its kind is the message type without `#`.

    `rev` is None where the kind has none (identity, account); `digest` then tells apart what `rev`
    would (hex of a hash over the content without seq), and is None otherwise. `collections` are the
    NSIDs that a commit's operations touch, each once, in order of appearance.
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

    `detail` is for the log; `seq` is None where the frame has none.
    """

    detail: str
    seq: int | None


Frame = Event | ErrorFrame | Ignored


def decode(frame: bytes) -> Frame:
    """Decode one frame. Raises FrameError where it is malformed."""
    stream = BytesIO(frame)
    decoder = cbor2.CBORDecoder(
        stream,
        read_size=len(frame) or 1,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        header = decoder.decode()
        body = decoder.decode()
    except Exception as error:
        # The decoder promises CBORError, but tagged nonsense may surface as what it provokes.
        raise FrameError(f"is no DAG-CBOR: {error}") from error
    if stream.tell() != len(frame):
        raise FrameError(f"{len(frame) - stream.tell()} bytes follow the body", _seq_of(body))
    if not isinstance(header, dict) or not isinstance(body, dict):
        raise FrameError("header and body must both be maps")
    operation = header.get("op")
    if operation == _OP_MESSAGE:
        return _message(header.get("t"), body)
    if operation == _OP_ERROR:
        return ErrorFrame(str(body.get("error", "unnamed")), str(body.get("message", "")))
    if not isinstance(operation, int):
        raise FrameError(f"header has no integer op: {header!r:.80}", _seq_of(body))
    return Ignored(f"unknown operation {operation}", _seq_of(body))


def _message(message_type: object, body: dict[str, Any]) -> Frame:
    try:
        if message_type == "#commit":
            return _event("commit", body, did=body["repo"], rev=body["rev"], digest=None)
        if message_type == "#sync":
            return _event("sync", body, did=body["did"], rev=body["rev"], digest=None)
        if message_type in ("#identity", "#account"):
            digest = _digest_without_seq(body)
            return _event(message_type[1:], body, did=body["did"], rev=None, digest=digest)
    except KeyError as error:
        raise FrameError(f"{message_type} without {error.args[0]}", _seq_of(body)) from None
    except (TypeError, ValueError, AttributeError) as error:
        raise FrameError(f"{message_type} with a bad field: {error}", _seq_of(body)) from None
    if not isinstance(message_type, str):
        raise FrameError(f"header has no type t: {message_type!r:.80}", _seq_of(body))
    if message_type == "#info":
        return Ignored(f"#info {body.get('name')}: {body.get('message', '')}", None)
    return Ignored(f"unknown type {message_type:.80}", _seq_of(body))


def _event(
    kind: str, body: dict[str, Any], *, did: str, rev: str | None, digest: str | None
) -> Event:
    seq = body["seq"]
    time = body["time"]
    if seq.__class__ is not int or seq < 0:
        raise TypeError(f"seq is {seq!r:.80}")
    for text in (did, time) if rev is None else (did, rev, time):
        if text.__class__ is not str or not text:
            raise TypeError(f"text expected, not {text!r:.80}")
    collections = _collections(body["ops"]) if kind == "commit" else ()
    return Event(kind, seq, did, rev, time, collections, digest)


def _collections(operations: list[dict[str, Any]]) -> tuple[str, ...]:
    if len(operations) == 1:
        return (operations[0]["path"].partition("/")[0],)
    return tuple(dict.fromkeys([operation["path"].partition("/")[0] for operation in operations]))


def _digest_without_seq(body: dict[str, Any]) -> str:
    content = {name: value for name, value in body.items() if name != "seq"}
    return hashlib.sha256(cbor2.dumps(content, canonical=True)).hexdigest()[:_DIGEST_HEX_DIGITS]


def _seq_of(body: object) -> int | None:
    seq = body.get("seq") if isinstance(body, dict) else None
    return seq if seq.__class__ is int and seq >= 0 else None
