"""WebSocket frames byte by byte, right and wrong ones, as no library would send them."""

from __future__ import annotations

import base64
import hashlib
import re
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

_KEY = re.compile(rb"Sec-WebSocket-Key: (\S+)", re.IGNORECASE)
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accepted(request: bytes, headers: bytes = b"") -> bytes:
    """Answer a handshake; `headers` are more of them, a line each."""
    key = _KEY.search(request)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT_SALT).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n" + headers + b"\r\n"
    )


def ws_frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes = b""
) -> bytes:
    """Return a frame; `reserved` are its three reserved bits, RSV1 being 4."""
    masked = 0x80 if mask else 0
    if len(data) < 126:
        length = bytes([masked | len(data)])
    elif len(data) < 65_536:
        length = struct.pack("!BH", masked | 126, len(data))
    else:
        length = struct.pack("!BQ", masked | 127, len(data))
    if mask:
        data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    return bytes([fin << 7 | reserved << 4 | opcode]) + length + mask + data


def in_fragments(data: bytes, size_bytes: int, between: bytes = b"") -> bytes:
    """Return a message in fragments, with something between each two."""
    parts = [data[at : at + size_bytes] for at in range(0, len(data), size_bytes)]
    last = len(parts) - 1
    return between.join(
        ws_frame(CONT if index else BINARY, part, fin=index == last)
        for index, part in enumerate(parts)
    )


def close(code: int, reason: bytes = b"") -> bytes:
    return ws_frame(CLOSE, struct.pack("!H", code) + reason)
