"""One event on its way into the stream, from when it is read until it has its outcome."""

from __future__ import annotations

import math

from fpaas.shuffler.stream_message import ID_HEADER, StreamMessage

#: An unanswered publish is repeated after this time, then after twice as long, and so on.
ACK_TIMEOUT_S = 5.0
ACK_TIMEOUT_MAX_S = 40.0
#: A refused publish (no stream, stream full) is repeated after this time, doubled each time.
REFUSAL_BACKOFF_S = 0.25
REFUSAL_BACKOFF_MAX_S = 4.0


class Publish:
    """One event on its way. `floor` is the last stream seq known before it was first written.

    `before` is the event of its DID before it, None once its turn has come; `following` is the one
    after it. `place` numbers its write on this connection, 0 if it is not on its way: not written,
    refused, or its connection is lost. `ahead`: that write was one ahead of its turn. `again`: a
    stream that was lost had it. `in_next`: the stream that came after the one that is known has it.
    `stream` is the number of the one that it goes to, of several.
    """

    __slots__ = (
        "again",
        "ahead",
        "before",
        "did_crc",
        "doubtful",
        "first_written_ns",
        "floor",
        "following",
        "frame",
        "has_outcome",
        "header",
        "in_next",
        "label",
        "place",
        "refusal",
        "refusals",
        "repeat_at_s",
        "seq",
        "stream",
        "subject",
        "token",
        "writes",
    )

    def __init__(
        self,
        seq: int,
        subject: bytes,
        header: bytes,
        frame: bytes,
        *,
        label: str,
        did_crc: int,
        stream: int = 0,
    ) -> None:
        self.seq = seq
        self.stream = stream
        self.subject = subject
        self.header = header
        self.frame = frame
        self.label = label
        self.did_crc = did_crc
        self.token = 0
        self.place = 0
        self.before: Publish | None = None
        self.following: Publish | None = None
        self.ahead = False
        self.again = False
        self.in_next = False
        self.has_outcome = False
        self.floor = 0
        self.first_written_ns = 0
        self.repeat_at_s = math.inf
        self.writes = 0
        self.refusals = 0
        self.refusal: str | None = None
        self.doubtful = False

    def is_in(self, message: StreamMessage, *, is_own: bool) -> bool:
        """Whether a message has this event; `is_own`: this shuffler wrote it.

        Of its own, two may be one event, with a seq each. Another's may be of another relay, with
        seqs of its own.
        """
        if message.message_id is None:
            return is_own and message.seq == self.seq
        has_id = f"{ID_HEADER}: {message.message_id}\r\n".encode() in self.header
        return has_id and (message.seq == self.seq or not is_own)

    def written_again(self, now_s: float) -> None:
        """Note that it goes out once more."""
        # Unless the last write was refused, it may have been stored anyway.
        if self.refusal is None:
            self.doubtful = True
        self.refusal = None
        timeout_s = min(ACK_TIMEOUT_S * (1 << min(self.writes, 10)), ACK_TIMEOUT_MAX_S)
        self.repeat_at_s = now_s + timeout_s
        self.writes += 1

    def refused(self, reason: str, now_s: float) -> None:
        """Note that its last write was refused and when to try again."""
        backoff_s = min(REFUSAL_BACKOFF_S * (1 << min(self.refusals, 10)), REFUSAL_BACKOFF_MAX_S)
        self.refusals += 1
        self.refusal = reason
        self.repeat_at_s = now_s + backoff_s
        self.place = 0

    def refused_ahead(self, reason: str) -> None:
        """Note that it was refused because it came ahead of its turn; it waits for that now."""
        self.refusal = reason
        self.repeat_at_s = math.inf
        self.place = 0
        self.ahead = False
