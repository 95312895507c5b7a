"""Events that a killed shuffler published and had no time to write down, read from the stream.

The shuffler that takes its place reads the relay again from where its account ends, so these events
get their outcome as duplicates. If the firehose is over by then, only the stream has them.
"""

from __future__ import annotations

from fpaas.firehose.frames import Event, FrameError, decode
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.stream_message import StreamMessage


class LifeBefore:
    """The life that ended, and the account that it left to the one that goes on."""

    def __init__(self, publisher: Publisher, account: Account) -> None:
        self._publisher = publisher
        self._account = account

    def has_published(self, message: StreamMessage, stream_seq: int) -> bool:
        """Take in a message that nobody knows; returns whether it is its."""
        account, seq, frame = self._account, message.seq, message.data
        if seq < 0 or message.writer != account.writer or account.has_outcome(seq):
            return False
        try:
            event = decode(frame)
        except FrameError:
            return False
        if not isinstance(event, Event):
            return False
        account.note_read(seq)
        publish = self._publisher.publish_of(event._replace(seq=seq), frame)
        account.note_published(publish, stream_seq)
        return True

    def give_up(self) -> None:
        """Give the rest an outcome: what it had read, and no relay brought again."""
        account = self._account
        for first, last in account.read_seqs.difference(account.outcomes()):
            for seq in range(first, last + 1):
                account.note_unknown(seq)
