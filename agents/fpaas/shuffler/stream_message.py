"""A message as the stream has it, and what it says of itself."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from fpaas.jetstream.jetstream_api import headers_of

#: Says which shuffler wrote it.
SHUFFLER_HEADER = "Fpaas-Shuffler"
SEQ_HEADER = "Fpaas-Seq"
ID_HEADER = "Nats-Msg-Id"


class StreamMessage(NamedTuple):
    """Its relay seq, -1 if no shuffler wrote it, its id, who wrote it, and its data."""

    seq: int
    message_id: str | None = None
    writer: str | None = None
    data: bytes = b""

    @classmethod
    def of_answer(cls, answer: dict[str, Any]) -> StreamMessage:
        """Return the message of an API answer; see JetStreamApi."""
        try:
            message = answer["message"]
            headers = dict(headers_of(base64.b64decode(message.get("hdrs", ""))))
            seq, data = int(headers.get(SEQ_HEADER, "")), base64.b64decode(message.get("data", ""))
            return cls(seq, headers.get(ID_HEADER), headers.get(SHUFFLER_HEADER), data)
        except (KeyError, TypeError, AttributeError, ValueError):
            return cls(-1)
