"""Publishes that a duplicate settled, until what lies there was read.

A publish without an answer is repeated. If the stream answers that it has the event already, that
may be by the publish's own earlier write, or by another shuffler. The message there says whose.
"""

from __future__ import annotations

from fpaas.shuffler.publish import Publish
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.stream_message import StreamMessage


class SettledPlaces:
    """Their places, by stream. The account has them as published."""

    def __init__(self, account: Account) -> None:
        self._account = account
        #: By stream and stream sequence: relay seq, label and bytes of the publish.
        self._publishes: dict[tuple[int, int], tuple[int, str, int]] = {}

    def __len__(self) -> int:
        return len(self._publishes)

    def __contains__(self, place: tuple[int, int]) -> bool:
        return place in self._publishes

    def add(self, publish: Publish, stream_seq: int) -> None:
        """Note that a duplicate said that the stream has the publish there."""
        settled = publish.seq, publish.label, len(publish.frame)
        self._publishes[publish.stream, stream_seq] = settled

    def of_stream(self, stream: int = 0) -> list[int]:
        """Return the stream sequences that were not read yet, in order."""
        return sorted(place for of_stream, place in self._publishes if of_stream == stream)

    def take_back(self, stream: int, stream_seq: int) -> bool:
        """Make the publish there, if there is one, a duplicate of another event; returns that."""
        settled = self._publishes.pop((stream, stream_seq), None)
        if settled is None:
            return False
        seq, label, size_bytes = settled
        self._account.take_back(seq, stream_seq, label=label, size_bytes=size_bytes, stream=stream)
        return True

    def has_read(self, message: StreamMessage | None, stream_seq: int, stream: int = 0) -> None:
        """Take in what lies there; None: it has left the stream, so nobody will know more."""
        settled = self._publishes.get((stream, stream_seq))
        if settled is None:
            # Its stream was lost in the meantime, or its answer came.
            return
        is_own = message is None or message.writer == self._account.writer
        if is_own and (message is None or message.seq == settled[0]):
            del self._publishes[stream, stream_seq]
            return
        self.take_back(stream, stream_seq)
        if not is_own:
            self._account.note_foreign(stream_seq, stream)

    def clear(self) -> None:
        """Forget them all: their outcome stays as it is."""
        self._publishes.clear()
