"""Publishes in flight, bounded, until each has its outcome.

A publish without an answer may have been stored anyway, so it is repeated under the same
Nats-Msg-Id and the stream's duplicate window settles it. Pure: times are given, nothing is sent
from here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from fpaas.measures.intervals import IntervalSet
from fpaas.shuffler.did_turns import DidTurns
from fpaas.shuffler.publish import ACK_TIMEOUT_S, Publish
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import Ack, Answer, Refusal
from fpaas.shuffler.settled_places import SettledPlaces
from fpaas.shuffler.stream_end import StreamEnd
from fpaas.shuffler.stream_message import StreamMessage

MAX_IN_FLIGHT = 8192
MAX_IN_FLIGHT_BYTES = 32 * 2**20

NEVER_SENT = "NATS could not be reached"


class PublishWindow:
    """Publishes in flight, bounded by count and bytes; one read may exceed a bound.

    Publishes are known by a token, the last of their answer's subject. `ready` are those that may
    be written: what is new, and those whose turn has come; see `expected_end`.
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
        self.ready: list[Publish] = []
        #: Taken out when their stream was lost, to be read again: by relay seq, without frames.
        self.withdrawn: dict[int, Publish] = {}
        #: From a killed shuffler: events with an outcome beyond where it is resumed, and the
        #: highest place that it knew. Later events may be in the stream already.
        self.settled_before: IntervalSet | None = None
        self.floor_before: int | None = None
        #: Relay seqs to be read again, for the stream that was made in a lost one's place.
        self.to_replay = IntervalSet()
        self.bytes = 0
        self.stream_began_anew = False
        self._is_only_stream = False
        self._account = account
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._next_token = 1
        #: Called for each publish whose outcome is no ack.
        self._on_unanswered = on_unanswered
        #: Publishes that a duplicate settled.
        self.settled = SettledPlaces(account)
        self._turns = DidTurns()
        #: Of each stream.
        self._ends = [StreamEnd() for _ in account.streams]

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
        publish.token = token
        self.pending[token] = publish
        self.bytes += len(publish.frame)
        self._turns.enter(publish)
        self.ready.append(publish)
        return token

    def take_ready(self) -> list[Publish]:
        """Return what may be written; it is up to the caller now."""
        ready, self.ready = self.ready, []
        return ready

    def on_their_way(self) -> list[Publish]:
        """Return the publishes that a new connection has to bring: those whose turn it is."""
        self.ready = []
        for publish in self.pending.values():
            publish.place = 0
        return [publish for publish in self.pending.values() if publish.before is None]

    def expected_end(self, publish: Publish) -> int | None:
        """Return where the stream has to end for an event to be stored ahead of its turn.

        None if the event has to wait: the one before it is not on its way, or may not be stored.
        """
        before = publish.before
        return None if before is None else self._ends[publish.stream].behind(before.place)

    def written(self, publish: Publish, now_s: float, now_ns: int) -> None:
        """Note that a publish goes out now, behind all that went out before."""
        publish.place = self._ends[publish.stream].write()
        publish.ahead = publish.before is not None
        if publish.writes:
            publish.written_again(now_s)
        else:
            publish.writes = 1
            publish.first_written_ns = now_ns
            publish.repeat_at_s = now_s + ACK_TIMEOUT_S
            if not publish.doubtful:
                publish.floor = self._account.streams[publish.stream].last_seq

    def begin_at(self, stream_seq: int) -> None:
        """Note that the only stream ends there, and that nothing is on its way to it."""
        [end] = self._ends
        end.is_at(stream_seq)

    def lose_connection(self) -> None:
        """Note that what is on its way may not arrive."""
        self._doubt()

    def oldest_seq(self) -> int | None:
        """Smallest relay seq that the stream has yet to take; None if there is none."""
        pending = (publish.seq for publish in self.pending.values())
        again = () if self.to_replay.first is None else (self.to_replay.first,)
        return min(chain(pending, self.withdrawn, again), default=None)

    def due(self, now_s: float) -> list[Publish]:
        """Return the publishes whose time to be repeated has come, in order."""
        due = [
            publish
            for publish in self.pending.values()
            if publish.repeat_at_s <= now_s and publish.before is None
        ]
        for publish in due:
            publish.place = 0
        if due:
            self._doubt()
        return due

    def answer(self, token: int, answer: Answer, now_s: float) -> Publish | None:
        """Take an answer; returns the publish if that gave it its outcome."""
        publish = self.pending.get(token)
        if publish is None:
            # A repeat's answer after the outcome: a duplicate, unless the window forgot the first.
            if isinstance(answer, Ack) and not answer.duplicate:
                self._note_copy(answer.stream_seq, answer.stream)
                self._doubt()
            return None
        if isinstance(answer, Refusal):
            self._doubt()
            if not self._is_refused_for_good(publish, answer, now_s):
                return None
        elif not answer.duplicate:
            self._stored(publish, answer.stream_seq)
        else:
            self._doubt()
            self._stored_before(publish, answer.stream_seq)
        self._remove(publish)
        return publish

    def note_if_in_next(self, publish: Publish, stream_seq: int) -> bool:
        """Note if a new message got a place that was given before: in a stream made since.

        Returns whether it did. Then it has no outcome yet: the caller that looks after the stream
        takes it out.
        """
        is_given = stream_seq in self._account.streams[publish.stream].stored_seqs
        is_settled = (publish.stream, stream_seq) in self.settled
        if self._is_only_stream or not is_given or is_settled:
            return False
        publish.in_next = True
        self._doubt()
        return True

    def know_no_next(self) -> None:
        """Note that the stream is said to be the same: what is in the next one is in none."""
        if any(publish.in_next for publish in self.pending.values()):
            self._is_only_stream = self.stream_began_anew = True

    def fail(self, token: int, reason: str) -> None:
        """Give a publish up that cannot be sent at all."""
        publish = self.pending[token]
        self._give_up(publish, reason)
        self._on_unanswered(publish)
        self._remove(publish)

    def found(self, message: StreamMessage, stream_seq: int, stream: int = 0) -> bool:
        """Take in that a stream has an event at a place that no answer named.

        Returns whether it is one of ours: a publish without an answer, or another copy. If another
        shuffler's message has the event of such a publish, that is a duplicate.
        """
        is_own = message.writer == self._account.writer
        for publish in self.pending.values():
            if not publish.is_in(message, is_own=is_own):
                continue
            if is_own:
                self._account.settled += 1
                self._account.note_published(publish, stream_seq)
            elif not publish.again:
                self._account.note_duplicate(publish.seq)
            self._on_unanswered(publish)
            self._remove(publish)
            return is_own
        if not is_own or message.seq not in self._account.published_seqs:
            return False
        self._note_copy(stream_seq, stream)
        return True

    def withdraw(self) -> list[Publish]:
        """Take everything out that waits for an answer: its stream is gone, it is to be read again.

        Returns the publishes in the order in which they were taken in.
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
        self._doubt()
        self.settled.clear()
        return taken

    def give_up_withdrawn(self) -> None:
        """Give an outcome to publishes that were taken out and could not be read again."""
        withdrawn, self.withdrawn = self.withdrawn, {}
        for publish in withdrawn.values():
            self._give_up(publish, publish.refusal or NEVER_SENT)
            # Its call to NATS was given up when it was taken out.
            publish.writes = 0
            self._on_unanswered(publish)

    def forget(self) -> None:
        """Drop what is known of publishes that have their outcome; see `Account.forget`."""
        self._account.forget()

    def close(self) -> None:
        """Give every publish that has no outcome yet its own."""
        self.give_up_withdrawn()
        for publish in list(self.pending.values()):
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
            self._remove(publish)
        self.ready = []

    def _doubt(self) -> None:
        """Foretell nothing for a while: one connection carries all."""
        for end in self._ends:
            end.doubt()

    def _note_copy(self, stream_seq: int, stream: int) -> None:
        """Note a copy, unless an answer and a look at the stream told of the same place."""
        if stream_seq not in self._account.streams[stream].stored_seqs:
            self._account.note_copy(stream_seq, stream)

    def _give_up(self, publish: Publish, reason: str) -> None:
        if publish.again:
            return
        if publish.doubtful:
            self._account.note_unknown(publish.seq)
        else:
            self._account.note_failed(publish.seq, reason)

    def _remove(self, publish: Publish) -> None:
        del self.pending[publish.token]
        self.bytes -= len(publish.frame)
        publish.has_outcome = True
        if publish.before is not None:
            return
        following = self._turns.leave(publish)
        if following is None or following.place:
            return
        self.ready.append(following)
        if self._ends[publish.stream].is_certain:
            # Those behind it may go ahead once it is written.
            behind = following.following
            while behind is not None and not behind.place:
                self.ready.append(behind)
                behind = behind.following

    def _is_refused_for_good(self, publish: Publish, refusal: Refusal, now_s: float) -> bool:
        if refusal.out_of_turn:
            # Unless it has been written again since.
            if publish.ahead and publish.place:
                publish.refused_ahead(refusal.reason)
                if publish.before is None:
                    self.ready.append(publish)
            return False
        self._account.refusals_by_reason[refusal.reason] += 1
        if not refusal.permanent:
            publish.doubtful |= refusal.in_doubt
            publish.refused(refusal.reason, now_s)
            return False
        self._give_up(publish, refusal.reason)
        self._on_unanswered(publish)
        return True

    def _stored(self, publish: Publish, stream_seq: int) -> None:
        account, stream = self._account, publish.stream
        if publish.writes == 1 and publish.place:
            self._ends[stream].stored(publish.place, stream_seq)
        else:
            # Which of its writes was stored is not known.
            self._doubt()
        # That place is this publish's: another was answered as a duplicate of it.
        if self.settled and self.settled.take_back(stream, stream_seq):
            pass
        elif stream_seq <= account.streams[stream].last_seq:
            self._check_order(stream, stream_seq)
        if publish.doubtful:
            # An earlier write may be stored as well, if the duplicate window was over.
            account.maybe_stored_twice += 1
        self._account.note_published(publish, stream_seq)

    def _stored_before(self, publish: Publish, stream_seq: int) -> None:
        account = self._account
        if self._settles(publish, stream_seq):
            if not publish.again:
                account.settled += 1
                self.settled.add(publish, stream_seq)
            self._account.note_published(publish, stream_seq)
        elif not publish.again:
            account.note_duplicate(publish.seq)

    def _settles(self, publish: Publish, stream_seq: int) -> bool:
        """Whether a duplicate is the publish's own earlier write, and nobody else's message."""
        places = self._account.streams[publish.stream]
        return (
            publish.doubtful
            and stream_seq > publish.floor
            and stream_seq not in places.stored_seqs
            and stream_seq not in places.foreign_seqs
        )

    def _check_order(self, stream: int, stream_seq: int) -> None:
        """Note a new message at a seq that was given before: the stream is not the one it was."""
        places = self._account.streams[stream]
        if stream_seq in places.stored_seqs:
            self.stream_began_anew = True
            places.stored_seqs = IntervalSet()
            self.settled.clear()
            places.last_seq = 0
            for publish in self.pending.values():
                publish.floor = 0
