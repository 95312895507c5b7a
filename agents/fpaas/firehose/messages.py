"""Messages out of the bytes that a relay's socket brings.

Nearly all that a relay sends are binary messages of one frame each. These are split off here, in
a third of the time that the library takes. All other bytes are the library's: the handshake,
control frames, fragments, and what breaks the protocol. Source: RFC 6455, 5.2 (base framing).
"""

from __future__ import annotations

import sys

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State

#: First byte of a frame that is a binary message by itself: FIN, no extension.
_WHOLE_BINARY = 0x82
#: Second byte: the payload's size, or in how many bytes it follows. Only clients set the mask bit.
_SIZE_IN_2_BYTES, _SIZE_IN_8_BYTES, _MASKED = 126, 127, 128
_HANDSHAKE_END = b"\r\n\r\n"
_DATA = (Opcode.BINARY, Opcode.TEXT, Opcode.CONT)


class MessageReader:
    """Reads one connection's messages; `protocol` takes all that is not simply one of them.

    It gets messages that are larger than `message_max_bytes`, too, and refuses them.
    """

    def __init__(self, protocol: ClientProtocol, *, message_max_bytes: int) -> None:
        self._protocol = protocol
        self._message_max_bytes = message_max_bytes
        self._is_open = False
        self._last_bytes = b""
        #: The part of the next frame that is there, and how much of it is needed to go on.
        self._begun = bytearray()
        self._needed_bytes = 0
        #: How much is to come of a frame that is the library's.
        self._passed_on_bytes = 0
        self._fragments = bytearray()
        self._is_fragmented = False

    @property
    def is_cut(self) -> bool:
        """Whether a frame or message has begun and is not whole."""
        is_passing = 0 < self._passed_on_bytes < sys.maxsize
        return bool(self._begun) or is_passing or self._is_fragmented

    def read(self, data: bytes) -> list[bytes]:
        """Take in a chunk; returns the messages that are complete with it."""
        messages: list[bytes] = []
        if not self._is_open:
            data = self._shake_hands(data, messages)
        at = 0
        while self._begun:
            # Only the missing part is copied from the chunk.
            missing_bytes = self._needed_bytes - len(self._begun)
            self._begun += data[at : at + missing_bytes]
            at += missing_bytes
            if at > len(data):
                return messages
            begun = bytes(self._begun)
            self._begun.clear()
            self._take(begun, 0, messages)
        self._take(data, at, messages)
        return messages

    def end(self) -> None:
        """Take in that nothing more comes: the library says what is missing of the last frame."""
        self._protocol.receive_data(bytes(self._begun))
        self._protocol.receive_eof()

    def _take(self, data: bytes, at: int, messages: list[bytes]) -> None:
        size = len(data)
        while at < size:
            if self._passed_on_bytes:
                at = self._pass_on_frame(data, at, messages)
                continue
            end = self._split(data, at, messages)
            if end > size:
                self._begun += data[at:]
                self._needed_bytes = end - at
                return
            at = end

    def _split(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """Take the message at `at`, if it is a whole one; returns up to where data is needed.

        A frame for the library is left where it is, for `_pass_on_frame`.
        """
        if at + 2 > len(data):
            return at + 2
        payload_bytes = data[at + 1]
        start = at + 2
        if payload_bytes == _SIZE_IN_2_BYTES:
            start = at + 4
            payload_bytes = int.from_bytes(data[at + 2 : start])
        elif payload_bytes == _SIZE_IN_8_BYTES:
            start = at + 10
            payload_bytes = int.from_bytes(data[at + 2 : start])
        elif payload_bytes >= _MASKED:
            payload_bytes = sys.maxsize
        if start > len(data):
            return start
        end = start + payload_bytes
        is_own = data[at] == _WHOLE_BINARY and payload_bytes <= self._message_max_bytes
        if not is_own or self._is_fragmented:
            self._passed_on_bytes = end - at
            return at
        if end <= len(data):
            messages.append(data[start:end])
        return end

    def _pass_on_frame(self, data: bytes, at: int, messages: list[bytes]) -> int:
        end = min(at + self._passed_on_bytes, len(data))
        self._passed_on_bytes -= end - at
        self._pass_on(data[at:end], messages)
        if self._protocol.state is not State.OPEN:
            # Closed or broken: whatever comes, the library drops it.
            self._passed_on_bytes = sys.maxsize
        return end

    def _shake_hands(self, data: bytes, messages: list[bytes]) -> bytes:
        """Give the library what belongs to the handshake; returns the rest."""
        joined = self._last_bytes + data
        self._last_bytes = joined[1 - len(_HANDSHAKE_END) :]
        end = joined.find(_HANDSHAKE_END)
        if end >= 0:
            end += len(_HANDSHAKE_END) - len(joined) + len(data)
        else:
            end = len(data)
        self._pass_on(data[:end], messages)
        self._is_open = self._protocol.state is State.OPEN
        if self._is_open:
            return data[end:]
        self._pass_on(data[end:], messages)
        return b""

    def _pass_on(self, data: bytes, messages: list[bytes]) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in _DATA:
                continue
            # Not a list of fragments: there may be any number of empty ones.
            self._fragments += event.data
            self._is_fragmented = not event.fin
            if event.fin:
                messages.append(bytes(self._fragments))
                self._fragments.clear()
