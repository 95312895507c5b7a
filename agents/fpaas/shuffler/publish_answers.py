"""JetStream's answers to a publish: stored, a duplicate, or refused for now or for good.

Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference; error codes from the
server's errors.json, whose `code` follows HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fpaas import json_input
from fpaas.jetstream.nats_wire import status_of

# Codes of an API error that a repeat may not meet again: no such stream (yet), timeout, too many.
_TEMPORARY_CLIENT_ERRORS = (404, 408, 429)
#: JetStream's error code for an earlier write of the same message that a cluster still agrees on.
_IN_PROCESS = 10158
#: Codes that say that the stream does not end where the publish expects it to.
_OUT_OF_TURN = (10071, 10164)
#: Why a publish was refused that came ahead of its turn.
OUT_OF_TURN = "10071 an event before it was not stored"
#: Reason of a publish that nobody answered.
NO_STREAM = "503 no stream takes the subject"
#: Stream sequences are numbers of 64 bits; one of fewer digits always is.
_SEQ_LIMIT = 2**64
_DIGITS_MAX = 19
_ZERO = ord("0")
#: Each reason is counted.
_REASON_CHARACTERS_MAX = 200


class Ack(NamedTuple):
    """The stream has the message at `stream_seq`; `duplicate` if it had it before.

    `stream` is its number, of several.
    """

    stream_seq: int
    duplicate: bool
    stream: int = 0


class Refusal(NamedTuple):
    """The publish was not stored; `permanent` if a repeat would be refused as well.

    `in_doubt` if it may be stored anyway: the cluster had not agreed on it yet.
    `out_of_turn` if something before it was not stored, and it was written on that condition.
    """

    reason: str
    permanent: bool
    in_doubt: bool = False
    out_of_turn: bool = False


Answer = Ack | Refusal


class AnswerReader:
    """Reads the answers to publishes; of one stream they begin alike, which makes most cheap.

    Of several streams, `names` are theirs, of one length; any name will do for a single one.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._usual_start = b"\0"
        #: Of several streams: how usual answers begin → the number of their stream.
        self._usual = {_start(name): number for name, number in self._numbers.items()}
        self._usual_length = len(next(iter(self._usual), b""))

    def read(self, header: bytes, payload: bytes) -> Answer:
        """Decode an answer; one that makes no sense is a refusal that says so."""
        usual_start = self._usual_start
        if payload.startswith(usual_start):
            stream_seq = payload[len(usual_start) : -1]
            if len(stream_seq) < _DIGITS_MAX and stream_seq.isdigit() and stream_seq[0] != _ZERO:
                return Ack(int(stream_seq), duplicate=False)
        elif (number := self._usual.get(payload[: self._usual_length])) is not None:
            stream_seq = payload[self._usual_length : -1]
            if len(stream_seq) < _DIGITS_MAX and stream_seq.isdigit() and stream_seq[0] != _ZERO:
                return Ack(int(stream_seq), duplicate=False, stream=number)
        if header:
            code, description = status_of(header)
            reason = f"{code:.20} {description:.{_REASON_CHARACTERS_MAX}}"
            return Refusal(NO_STREAM if code == "503" else reason, permanent=False)
        try:
            answer = json_input.loads(payload)
            if "error" in answer:
                return _refusal(answer["error"])
            name = answer["stream"]
            number = self._numbers[name] if self._numbers else 0
            ack = Ack(_seq(answer["seq"]), bool(answer.get("duplicate", False)), number)
            if not self._numbers:
                self._usual_start = _start(name)
        except (ValueError, KeyError, TypeError, AttributeError):
            return Refusal(f"no JetStream answer: {payload[:80]!r}", permanent=False)
        return ack


def _start(name: str) -> bytes:
    return b'{"stream":"%s","seq":' % name.encode()


def _seq(value: object) -> int:
    if not isinstance(value, int) or not 0 < value < _SEQ_LIMIT:
        raise ValueError("no stream sequence")
    return value


def _refusal(error: dict[str, object]) -> Refusal:
    code = int(str(error.get("code", 0)))
    err_code = int(str(error.get("err_code", code)))
    if err_code in _OUT_OF_TURN:
        return Refusal(OUT_OF_TURN, permanent=False, out_of_turn=True)
    description = str(error.get("description", ""))[:_REASON_CHARACTERS_MAX]
    # A leader that is deposed answers so for what it has proposed, and its successor may keep it.
    in_doubt = err_code == _IN_PROCESS or description.startswith("raft:")
    permanent = 400 <= code < 500 and code not in _TEMPORARY_CLIENT_ERRORS and not in_doubt
    return Refusal(f"{err_code!s:.20} {description}", permanent, in_doubt)
