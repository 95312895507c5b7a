"""Sans-I/O parser of a NATS server's messages, built for one thing: speed per message.

Source: the NATS client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol).
`nats-py` manages streams and consumers; this parser carries the load, where its cost per message
decides how many consumers one host can play. Payloads that nobody wants are skipped, not copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fpaas import json_input

MAX_CONTROL_LINE_BYTES = 64 * 1024
#: A server's max_payload, which covers headers, is never more.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_ERROR_CHARACTERS_MAX = 300

#: handler(subject, reply, header, payload, payload_bytes). `reply` and `header` are empty if the
#: message has none; `payload` is empty for a subscription that does not want payloads;
#: `payload_bytes` is its size without the header either way.
MessageHandler = Callable[[bytes, bytes, bytes, bytes, int], None]


class ProtocolError(Exception):
    """The peer does not speak the NATS client protocol."""


class Parser:
    """Turns chunks of bytes into calls of the handlers registered by subscription id.

    `subscriptions` maps a subscription id to `(handler, wants_payload)`; messages of an unknown id
    (just unsubscribed) are skipped. `on_info`, `on_ping`, `on_pong` and `on_error` are called
    with the decoded INFO, nothing, nothing, and the text of -ERR.
    """

    def __init__(
        self,
        *,
        on_info: Callable[[dict[str, Any]], None],
        on_ping: Callable[[], None],
        on_pong: Callable[[], None],
        on_error: Callable[[str], None],
    ) -> None:
        self.subscriptions: dict[bytes, tuple[MessageHandler, bool]] = {}
        self._on_info = on_info
        self._on_ping = on_ping
        self._on_pong = on_pong
        self._on_error = on_error
        self._pending = b""
        self._skip_bytes = 0

    def reset(self) -> None:
        """Forget half-read input; for a new connection."""
        self._pending = b""
        self._skip_bytes = 0

    def feed(self, data: bytes) -> None:
        """Parse a chunk, calling handlers on the way. Raises ProtocolError on garbage."""
        if self._skip_bytes:
            if self._skip_bytes >= len(data):
                self._skip_bytes -= len(data)
                return
            data = data[self._skip_bytes :]
            self._skip_bytes = 0
        if self._pending:
            data = self._pending + data
            self._pending = b""
        position = 0
        size = len(data)
        while position < size:
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                break
            kind = data[position]
            if kind in b"HM":
                consumed = self._message(data, position, line_end)
                if consumed < 0:
                    break
                position = consumed
            else:
                self._control(data[position:line_end])
                position = line_end + 2
        if position < size:
            self._pending = data[position:]
            if len(self._pending) > MAX_CONTROL_LINE_BYTES and b"\r\n" not in self._pending:
                raise ProtocolError(f"no line end in {len(self._pending)} bytes: not a NATS server")
        elif position > size:
            self._skip_bytes = position - size

    def _message(self, data: bytes, position: int, line_end: int) -> int:
        """Dispatch the message at `position`; return where the next one starts, or -1: need more.

        The returned position may lie beyond `data`: an unwanted payload that is still to come.
        """
        fields = data[position:line_end].split(b" ")
        try:
            total_bytes = int(fields[-1])
            header_bytes = int(fields[-2]) if fields[0] == b"HMSG" else 0
            subject = fields[1]
            sid = fields[2]
        except (ValueError, IndexError):
            raise ProtocolError(f"bad message line {data[position:line_end][:80]!r}") from None
        # A size below zero would be read again for ever, a huge one be waited for.
        if not 0 <= header_bytes <= total_bytes <= MAX_MESSAGE_BYTES:
            raise ProtocolError(f"bad sizes in line {data[position:line_end][:80]!r}")
        reply = fields[3] if len(fields) - (header_bytes > 0) == 5 else b""
        body = line_end + 2
        end = body + total_bytes
        handler, wants_payload = self.subscriptions.get(sid, _IGNORED)
        payload_start = body + header_bytes
        if end + 2 > len(data) and (wants_payload or payload_start > len(data)):
            return -1
        handler(
            subject,
            reply,
            data[body:payload_start],
            data[payload_start:end] if wants_payload else b"",
            total_bytes - header_bytes,
        )
        return end + 2

    def _control(self, line: bytes) -> None:
        if line == b"PING":
            self._on_ping()
        elif line == b"PONG":
            self._on_pong()
        elif line.startswith(b"INFO "):
            self._on_info(_info(line[5:]))
        elif line.startswith(b"-ERR"):
            text = line[4:].strip().strip(b"'").decode("utf-8", "replace")
            self._on_error(text[:_ERROR_CHARACTERS_MAX])
        elif line != b"+OK":
            raise ProtocolError(f"unknown line {line[:80]!r}: not a NATS server")


def _info(text: bytes) -> dict[str, Any]:
    try:
        info = json_input.loads(text)
    except ValueError:
        raise ProtocolError(f"INFO is not JSON: {text[:80]!r}") from None
    if not isinstance(info, dict) or not isinstance(info.get("max_payload", 0), int):
        raise ProtocolError(f"INFO is not that of a NATS server: {text[:80]!r}")
    return info


def _ignore(_s: bytes, _r: bytes, _h: bytes, _p: bytes, _n: int) -> None:
    """Handle messages of a subscription that is gone."""


_IGNORED: tuple[MessageHandler, bool] = (_ignore, False)


def status_of(header: bytes) -> tuple[str, str]:
    """Split a status header into code and description.

    >>> status_of(b"NATS/1.0 409 Exceeded MaxWaiting\\r\\n\\r\\n")
    ('409', 'Exceeded MaxWaiting')
    """
    first_line = header[: header.find(b"\r\n")].decode("ascii", "replace")
    _, _, rest = first_line.partition(" ")
    code, _, description = rest.partition(" ")
    return code, description
