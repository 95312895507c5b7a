"""Subscribers' messages: pings, pongs and closes. Anything else is skipped, and not kept."""

from __future__ import annotations

#: The longest head: two bytes, a length of eight, a mask of four.
_HEAD_BYTES_MAX = 14
_OPCODE, _LENGTH, _MASKED = 0x0F, 0x7F, 0x80
#: Continuation, text and binary; what is neither these nor control is for the protocol to refuse.
_DATA_OPCODES = (0, 1, 2)
_LENGTH_BYTES = {126: 2, 127: 8}


class Incoming:
    """Takes a client's WebSocket frames apart; only those that are no data are returned.

    Frames of data of any length and number are skipped, and counted in `skipped`.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._head = bytearray()
        self._payload_left = 0
        self._skipping = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream, cut anywhere; return what of it the protocol is to read."""
        kept = bytearray()
        at = 0
        end = len(data)
        while at < end:
            if self._payload_left:
                taken = min(self._payload_left, end - at)
                if not self._skipping:
                    kept += data[at : at + taken]
                self._payload_left -= taken
                at += taken
                continue
            at += self._take_head(data[at : at + _HEAD_BYTES_MAX], kept)
        return bytes(kept)

    def _take_head(self, data: bytes, kept: bytearray) -> int:
        """Return how many bytes of `data` belong to a frame's head, which may end beyond it."""
        before = len(self._head)
        head = self._head + data
        if len(head) < 2:
            self._head = head
            return len(data)
        length = head[1] & _LENGTH
        length_bytes = _LENGTH_BYTES.get(length, 0)
        head_bytes = 2 + length_bytes + (4 if head[1] & _MASKED else 0)
        if len(head) < head_bytes:
            self._head = head
            return len(data)
        if length_bytes:
            length = int.from_bytes(head[2 : 2 + length_bytes], "big")
        self._payload_left = length
        self._skipping = head[0] & _OPCODE in _DATA_OPCODES
        if self._skipping:
            self.skipped += 1
        else:
            kept += head[:head_bytes]
        self._head = bytearray()
        return head_bytes - before
