"""Publishes in flight, bounded, until each has its outcome.

A publish without an answer may have been stored all the same, so it is repeated under the same
Nats-Msg-Id and the stream's duplicate window settles it. Pure: times are given, nothing is sent
from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain

from fpaas.measures.intervals import IntervalSet
from fpaas.shuffler.did_turns import DidTurns
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import Ack, Answer, Refusal

MAX_IN_FLIGHT = 8192
MAX_IN_FLIGHT_BYTES = 32 * 2**20
#: An unanswered publish is repeated after this time, then after twice as long, and so on.
ACK_TIMEOUT_S = 5.0
ACK_TIMEOUT_MAX_S = 40.0
#: A refused publish (no stream, stream full) is repeated after this time, doubled each time.
REFUSAL_BACKOFF_S = 0.25
REFUSAL_BACKOFF_MAX_S = 4.0

NEVER_SENT = "NATS could not be reached"


class Publish:
    """One event on its way. `floor` is the last stream seq known before it was first written.

    `has_turn`: no earlier event of its DID is on its way, so it may be written. `again`: a stream
    that was lost had it.
    """

    __slots__ = (
        "again",
        "did_crc",
        "doubtful",
        "first_written_ns",
        "floor",
        "frame",
        "has_turn",
        "header",
        "label",
        "refusal",
        "refusals",
        "repeat_at_s",
        "seq",
        "subject",
        "writes",
    )

    def __init__(
        self, seq: int, subject: bytes, header: bytes, frame: bytes, *, label: str, did_crc: int
    ) -> None:
        self.seq = seq
        self.subject = subject
        self.header = header
        self.frame = frame
        self.label = label
        self.did_crc = did_crc
        self.again = False
        self.floor = 0
        self.first_written_ns = 0
        self.repeat_at_s = math.inf
        self.has_turn = False
        self.writes = 0
        self.refusals = 0
        self.refusal: str | None = None
        self.doubtful = False

    def written(self, now_s: float, now_ns: int, last_stream_seq: int) -> None:
        """Note that it goes out now."""
        if not self.writes:
            self.first_written_ns = now_ns
            if not self.doubtful:
                self.floor = last_stream_seq
            self.repeat_at_s = now_s + ACK_TIMEOUT_S
        else:
            # Unless the last write was refused, it may have been stored all the same.
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


class PublishWindow:
    """What is in flight, bounded by count and bytes; one read may exceed a bound.

    Publishes are known by a token, the last of their answer's subject. `ready` are those to be
    written for the first time: of each DID the oldest, once those before it have their outcome.
    """

    def __init__(
        self,
        account: Account,
        *,
        max_count: int = MAX_IN_FLIGHT,
        max_bytes: int = MAX_IN_FLIGHT_BYTES,
        on_unanswered: Callable[[Publish], None] = lambda _: None,
    ) -> None:
        self.pending: dict[int, Publish] = {}
        self.ready: list[tuple[int, Publish]] = []
        #: Taken out when their stream was lost, to be read again: by relay seq, without frames.
        self.withdrawn: dict[int, Publish] = {}
        #: Of a killed shuffler's: what has its outcome beyond where it is resumed, and the highest
        #: place that it knew. What it published after that, it may have published already.
        self.settled_before: IntervalSet | None = None
        self.floor_before: int | None = None
        #: Relay seqs to be read again, for the stream that was made in a lost one's place.
        self.to_replay = IntervalSet()
        self.bytes = 0
        self.stream_began_anew = False
        self._account = account
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._next_token = 1
        #: Called for each publish whose outcome is no ack.
        self._on_unanswered = on_unanswered
        #: Publishes that a duplicate settled, by where the stream has them: (seq, label, bytes).
        self._settled: dict[int, tuple[int, str, int]] = {}
        self._turns: DidTurns[tuple[int, Publish]] = DidTurns()

    @property
    def full(self) -> bool:
        """Whether nothing more should be read."""
        return len(self.pending) >= self._max_count or self.bytes >= self._max_bytes

    @property
    def roomy(self) -> bool:
        """Whether reading is worth resuming: an eighth of the window is free."""
        return (
            len(self.pending) * 8 <= self._max_count * 7 and self.bytes * 8 <= self._max_bytes * 7
        )

    def add(self, publish: Publish) -> int:
        """Take a publish in; returns its token."""
        token = self._next_token
        self._next_token = token + 1
        if self.floor_before is not None:
            publish.doubtful = True
            publish.floor = self.floor_before
        self.pending[token] = publish
        self.bytes += len(publish.frame)
        if self._turns.enter(publish.did_crc, (token, publish)):
            publish.has_turn = True
            self.ready.append((token, publish))
        return token

    def take_ready(self) -> list[tuple[int, Publish]]:
        """Return what is to be written for the first time; it is up to the caller now."""
        ready, self.ready = self.ready, []
        return ready

    def on_their_way(self) -> list[tuple[int, Publish]]:
        """Return the publishes that a new connection has to bring: those whose turn it is."""
        self.ready = []
        return [item for item in self.pending.items() if item[1].has_turn]

    def oldest_seq(self) -> int | None:
        """Smallest relay seq that the stream has yet to take; None if there is none."""
        pending = (publish.seq for publish in self.pending.values())
        again = () if self.to_replay.first is None else (self.to_replay.first,)
        return min(chain(pending, self.withdrawn, again), default=None)

    def due(self, now_s: float) -> list[tuple[int, Publish]]:
        """Return the publishes whose time to be repeated has come, in order."""
        return [item for item in self.pending.items() if item[1].repeat_at_s <= now_s]

    def answer(self, token: int, answer: Answer, now_s: float) -> Publish | None:
        """Take an answer; returns the publish if that gave it its outcome."""
        publish = self.pending.get(token)
        account = self._account
        if publish is None:
            # A repeat's answer after the outcome: a duplicate, unless the window forgot the first.
            if isinstance(answer, Ack) and not answer.duplicate:
                account.note_copy(answer.stream_seq)
            return None
        if isinstance(answer, Refusal):
            account.refusals_by_reason[answer.reason] += 1
            if not answer.permanent:
                publish.doubtful |= answer.in_doubt
                publish.refused(answer.reason, now_s)
                return None
            self._give_up(publish, answer.reason)
            self._on_unanswered(publish)
        elif not answer.duplicate:
            stream_seq = answer.stream_seq
            twin = self._settled.pop(stream_seq, None) if self._settled else None
            if twin is not None:
                # That place is this publish's: the other was answered as a duplicate of it.
                seq, label, size_bytes = twin
                account.take_back(seq, stream_seq, label=label, size_bytes=size_bytes)
            elif stream_seq <= account.stream.last_seq:
                self._check_order(stream_seq)
            if publish.doubtful:
                # An earlier write may be stored as well, if the duplicate window was over.
                account.maybe_stored_twice += 1
            self._note_published(publish, stream_seq)
        elif self._settles(publish, answer.stream_seq):
            if not publish.again:
                account.settled += 1
                self._settled[answer.stream_seq] = publish.seq, publish.label, len(publish.frame)
            self._note_published(publish, answer.stream_seq)
        elif not publish.again:
            account.note_duplicate(publish.seq)
        self._remove(token, publish)
        return publish

    def fail(self, token: int, reason: str) -> None:
        """Give a publish up that cannot be sent at all."""
        publish = self.pending[token]
        self._give_up(publish, reason)
        self._on_unanswered(publish)
        self._remove(token, publish)

    def found(self, seq: int, stream_seq: int, message_id: str | None = None) -> bool:
        """Take in that the stream has an event of relay seq `seq` at a place that no answer named.

        Returns whether it is one of ours: a publish without an answer, or another copy. Of a relay
        that somebody else reads, another event may have the seq, so `message_id` must be the same.
        """
        for token, publish in self.pending.items():
            if publish.seq == seq:
                if message_id is not None and message_id.encode() not in publish.header:
                    return False
                self._account.settled += 1
                self._note_published(publish, stream_seq)
                self._on_unanswered(publish)
                self._remove(token, publish)
                return True
        if seq not in self._account.published_seqs:
            return False
        # Unless its answer has come meanwhile, and named this very place.
        if stream_seq not in self._account.stream.stored_seqs:
            self._account.note_copy(stream_seq)
        return True

    def withdraw(self) -> list[Publish]:
        """Take everything out that waits for an answer: its stream is gone, it is to be read again.

        Returns what is taken out, in the order in which it was taken in.
        """
        taken = list(self.pending.values())
        for publish in taken:
            publish.doubtful |= publish.writes > 0 and publish.refusal is None
            publish.frame = b""
            if not publish.again:
                self.withdrawn[publish.seq] = publish
        self.pending = {}
        self.ready = []
        self.bytes = 0
        self._turns.clear()
        self._settled.clear()
        return taken

    def give_up_withdrawn(self) -> None:
        """Give an outcome to what was taken out and could not be read again."""
        withdrawn, self.withdrawn = self.withdrawn, {}
        for publish in withdrawn.values():
            self._give_up(publish, publish.refusal or NEVER_SENT)
            # Its call to NATS was given up when it was taken out.
            publish.writes = 0
            self._on_unanswered(publish)

    def forget(self) -> None:
        """Drop what is known of publishes that have their outcome; see `Account.forget`."""
        self._account.forget()
        self._settled.clear()

    def close(self) -> None:
        """Give every publish that has no outcome yet its own."""
        self.give_up_withdrawn()
        for token, publish in list(self.pending.items()):
            if publish.again:
                # It has its outcome: a stream that was lost had it.
                pass
            elif not publish.writes:
                self._give_up(publish, NEVER_SENT)
            elif publish.refusal is not None:
                self._give_up(publish, publish.refusal)
            else:
                self._account.note_unknown(publish.seq)
            self._on_unanswered(publish)
            self._remove(token, publish)
        self.ready = []

    def _give_up(self, publish: Publish, reason: str) -> None:
        if publish.again:
            return
        if publish.doubtful:
            self._account.note_unknown(publish.seq)
        else:
            self._account.note_failed(publish.seq, reason)

    def _note_published(self, publish: Publish, stream_seq: int) -> None:
        self._account.note_published(
            publish.seq,
            stream_seq,
            label=publish.label,
            size_bytes=len(publish.frame),
            did_crc=publish.did_crc,
            subject=publish.subject,
            again=publish.again,
        )

    def _remove(self, token: int, publish: Publish) -> None:
        del self.pending[token]
        self.bytes -= len(publish.frame)
        if not publish.has_turn:
            return
        following = self._turns.leave(publish.did_crc)
        while following is not None and following[0] not in self.pending:
            following = self._turns.leave(publish.did_crc)
        if following is not None:
            following[1].has_turn = True
            self.ready.append(following)

    def _settles(self, publish: Publish, stream_seq: int) -> bool:
        """Whether a duplicate is the publish's own earlier write, and nobody else's message."""
        return (
            publish.doubtful
            and stream_seq > publish.floor
            and stream_seq not in self._account.stream.stored_seqs
        )

    def _check_order(self, stream_seq: int) -> None:
        """Note a new message at a seq that was given before: the stream is not the one it was."""
        stream = self._account.stream
        if stream_seq in stream.stored_seqs:
            self.stream_began_anew = True
            stream.stored_seqs = IntervalSet()
            self._settled.clear()
            stream.last_seq = 0
            for publish in self.pending.values():
                publish.floor = 0
