"""Reads a relay's events once each, through its disconnects and whatever it does with its numbers.

Frames that cannot be decoded drop the connection, as the event stream specification asks; the relay
is then resumed after what was read. Publishes in flight stay in memory, so that a resume
never has to go back to the last acknowledged seq; only a restarted process does (`cursor`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from websockets.frames import CloseCode

from fpaas import common_time
from fpaas.firehose.bad_frames import LOGGED_MAX, BadFrames
from fpaas.firehose.frames import ErrorFrame, Event, Frame, FrameError, Ignored, received
from fpaas.firehose.numbering import LEAP_MAX, Kind, Numbering
from fpaas.firehose.relay_client import RelayConnection
from fpaas.firehose.subscription import Patience, Subscription
from fpaas.firehose.unreceivable import Unreceivable
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.records.events import RELAY_RECONNECTED
from fpaas.records.shuffler import RelayGap
from fpaas.shuffler import relay_gaps
from fpaas.shuffler.kept_frames import KeptFrames
from fpaas.shuffler.listening import Listening
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.relay_gaps import RelayGaps
from fpaas.watch.lost_connections import LostConnections

log = logging.getLogger(__name__)

#: Kept seqs of frames that are no events, and may explain a gap.
IGNORED_AHEAD_MAX = 1000


class RelayReader:
    """Reads `url` into a publisher from after seq `after` on; None is the live tail.

    `contiguous` tells that the relay leaves no gaps (ours does not), so that the seq of a frame
    that cannot be read is still known.
    """

    def __init__(
        self,
        url: str,
        publisher: Publisher,
        account: Account,
        *,
        after: int | None,
        contiguous: bool = False,
        due_ns: Callable[[int], int] | None = None,
        bins: Bins | None = None,
        patience: Patience | None = None,
        kept_frames: KeptFrames | None = None,
    ) -> None:
        self.subscription = Subscription(
            url,
            cursor=lambda: self._unreceivable.cursor(self.numbering.last_seq),
            events=lambda: account.read,
            on_frames=self._got_frames,
            on_connected=self._connected,
            on_lost=self._lost,
            until_ready=self._until_room,
            patience=patience,
        )
        self.numbering = Numbering(after)
        self.gaps = RelayGaps(is_dense=contiguous)
        self.due_to_read = CallRecorder("due_to_read", bins)
        self.listening = Listening()
        self.seq_resets = 0
        #: Up to here, a shuffler that was killed has recorded when it read what.
        self.recorded_to = -1
        #: Notes lost connections; nobody does but in a run.
        self.lost_connections = LostConnections(RELAY_RECONNECTED, None)
        #: Called when the first event was read, before it is published.
        self.on_first_read: Callable[[], None] = lambda: None
        self._publisher = publisher
        self._account = account
        self._due_ns = due_ns
        self._bad_frames = BadFrames(is_dense=contiguous)
        self._kept_frames = kept_frames
        self._unreceivable = Unreceivable(after)
        self._read_before = 0
        self._is_outdated = False
        self._pending_gap: str | None = None
        self._ignored_ahead: deque[int] = deque(maxlen=IGNORED_AHEAD_MAX)
        self._paused = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the relay is subscribed to."""
        return self.subscription.url

    @property
    def connected(self) -> asyncio.Event:
        """Set while there is a subscription."""
        return self.subscription.connected

    @property
    def last_read(self) -> int | None:
        """The position of the event read last: its seq, unless the relay renumbered."""
        return self.numbering.last_position

    @property
    def position(self) -> int | None:
        """The position up to which every event read has its outcome; None before the first."""
        oldest = self._publisher.oldest_seq
        return self.last_read if oldest is None else oldest - 1

    @property
    def cursor(self) -> int | None:
        """Up to here every event read has its outcome: where a new process may resume."""
        oldest = self._publisher.oldest_seq
        return self.numbering.last_seq if oldest is None else self.numbering.seq_before(oldest)

    @property
    def is_listening(self) -> bool:
        """Whether the relay is read, or tried; not while there is no room for what it sends."""
        return not self._paused.is_set() and not self._publisher.congested

    async def connect_once(self) -> None:
        """Connect, unless connected. Raises RelayError that names the URL and the cause."""
        await self.subscription.connect_once()

    async def run(self) -> None:
        """Read until cancelled, reconnecting. Raises RelayError if another try cannot help."""
        gate = asyncio.ensure_future(self._resume_when_room())
        try:
            await self.subscription.run()
        finally:
            gate.cancel()
            given_up = self._bad_frames.ended(self.last_read)
            self._unreceivable.passed(0)
            self._give_up(given_up)

    def take_no_more(self) -> None:
        """Discard what comes from now on, as the run is over for a relay that goes on."""
        if self.listening.discarding:
            return
        if not self.connected.is_set():
            # What it had by now is not known, and nobody will ask it.
            now_ns = common_time.now_ns()
            self.gaps.note_unknown(RelayGap(self.last_read, None, now_ns, relay_gaps.AWAY_AT_END))
        self.subscription.expects_events = False
        self.listening.discarding = True

    # -- connections -----------------------------------------------------------------------------

    def _connected(self) -> None:
        self.lost_connections.made(self)
        if self._publisher.congested:
            self._pause()

    def _lost(self, connection: RelayConnection) -> None:
        # Now, not when there is a new one: its first frames come before it is known to be open.
        self._read_before = self._account.read
        told = {"url": self.url, "cause": connection.closed.result(), "code": connection.close_code}
        self.lost_connections.lost(self, told)
        self._is_outdated = False
        self._bad_frames.connection_lost()
        last_seq = self.numbering.last_seq
        wrong = self._unreceivable.connection_lost(
            last_seq, oversized=connection.oversized, broken=connection.broken
        )
        if wrong:
            log.error("relay %s: the frame after seq %s %s", self.url, last_seq, wrong)
            if self._kept_frames is not None:
                self._kept_frames.keep(FrameError(wrong), None, after_seq=last_seq)

    # -- back pressure ---------------------------------------------------------------------------

    def _pause(self) -> None:
        self.subscription.pause()
        self.listening.pause()
        self._paused.set()

    async def _resume_when_room(self) -> None:
        while True:
            await self._paused.wait()
            await self._publisher.wait_for_room()
            self._paused.clear()
            self.listening.resume()
            self.subscription.resume()

    async def _until_room(self) -> None:
        """Wait until what a new subscription brings at once can be taken."""
        if self._publisher.congested:
            self.listening.pause()
            await self._publisher.wait_for_room()
            if not self._paused.is_set():
                self.listening.resume()

    # -- frames ----------------------------------------------------------------------------------

    def _got_frames(self, frames: list[bytes]) -> None:
        if self.listening.discarding:
            return
        # At once, by both: if the process stands still in between, it is no silence of the relay.
        heard_ns, now_ns = time.monotonic_ns(), common_time.now_ns()
        numbering, account = self.numbering, self._account
        remember = numbering.recent.append
        read_before = account.read
        event: Frame | FrameError | None = None
        for frame in frames:
            event = received(frame)
            if not isinstance(event, Event):
                if self._is_dropped_by(event, frame):
                    break
                continue
            seq = event.seq
            if seq == numbering.next_seq:
                numbering.next_seq = seq + 1
                remember(event)
            elif not self._is_new(event, now_ns):
                continue
            if numbering.base:
                seq += numbering.base
                event = event._replace(seq=seq)
            account.note_read(seq)
            if self._due_ns is not None and seq > self.recorded_to:
                self.due_to_read.end(self._due_ns(seq), now_ns)
            self._publisher.publish(event, frame)
        if account.read != read_before:
            if not read_before:
                self.on_first_read()
            self._heard(event, heard_ns, now_ns)
        self._publisher.flush()
        if self._publisher.congested:
            self._pause()

    def _heard(self, last: Frame | FrameError | None, now_ns: int, now_unix_ns: int) -> None:
        """Take in that new events came."""
        said = last.time if isinstance(last, Event) else None
        self.listening.heard(now_ns, now_unix_ns, said)
        self._unreceivable.left_behind(self.numbering.last_seq)
        self._give_up(self._bad_frames.left_behind(self.last_read))

    def _is_new(self, event: Event, now_unix_ns: int) -> bool:
        """Take in an event that does not have the seq that is due; returns whether it is new."""
        after_seq, after = self.numbering.last_seq, self.last_read
        kind, missing = self.numbering.place(event)
        if kind is Kind.REREAD:
            self._unreceivable.reread(event.seq)
            reread, given_up = self._bad_frames.reread()
            self._account.reread += 1 + reread
            self._give_up(given_up)
            return False
        position = event.seq + self.numbering.base
        given_up = self._bad_frames.passed(after, position)
        self._give_up(given_up)
        if kind is Kind.RESET or (kind is Kind.RETURN and event.seq < (after_seq or 0)):
            self.seq_resets += 1
            log.error(
                "relay %s: its numbers went back from %s to %d; they are taken for new ones",
                *(self.url, after_seq, event.seq),
            )
        if kind is Kind.LATE:
            if position not in self._account.read_seqs:
                self.gaps.fill(event.seq)
        elif kind is not Kind.AHEAD:
            self.gaps.begin_numbering()
        if kind is Kind.RETURN:
            self.gaps.take_back(event.seq - 1)
        else:
            if missing:
                # Frames that cannot be decoded or received, or are no events, are not missing.
                missing = max(0, missing - len(given_up) - self._ignored_before(event.seq))
                unreceivable = self._unreceivable.passed(missing)
                self._give_up([None] * unreceivable)
                missing -= unreceivable
            self._note_gap(
                kind, missing, event.seq, after_seq, now_unix_ns, stepped_over=len(given_up)
            )
        return True

    def _note_gap(
        self,
        kind: Kind,
        missing: int | None,
        seq: int,
        after_seq: int | None,
        at: int,
        *,
        stepped_over: int,
    ) -> None:
        events = self._account.read
        is_resumed = events == self._read_before
        if missing and stepped_over and not self.gaps.is_dense(events):
            # The numbers left out are shared by the frames that were stepped over.
            missing //= 1 + stepped_over
        if self._pending_gap is not None:
            self.gaps.note_unknown(RelayGap(after_seq, None, at, self._pending_gap))
            self._pending_gap = None
        elif kind is Kind.LEAP:
            self.gaps.note_unknown(RelayGap(after_seq, None, at, relay_gaps.SEQ_JUMP))
        elif kind is Kind.RESET:
            if is_resumed:
                self.gaps.note_unknown(RelayGap(after_seq, None, at, relay_gaps.RENUMBERED))
        elif kind is Kind.AHEAD and missing:
            if is_resumed:
                is_told = self._is_outdated
                cause = relay_gaps.OUTDATED_CURSOR if is_told else relay_gaps.AFTER_RECONNECT
                self.gaps.note_outage(RelayGap(after_seq, missing, at, cause), seq, events)
            else:
                gap = RelayGap(after_seq, missing, at, relay_gaps.SEQ_JUMP)
                self.gaps.note_jump(gap, seq, events)

    def _ignored_before(self, seq: int) -> int:
        """Count the frames that came since the event read last and had a seq without being one."""
        count = sum(ignored < seq for ignored in self._ignored_ahead)
        self._ignored_ahead.clear()
        return count

    def _is_dropped_by(self, frame: ErrorFrame | Ignored | FrameError, received: bytes) -> bool:
        """Take in a frame that is no event; returns whether the connection was dropped for it."""
        if isinstance(frame, FrameError):
            return self._is_dropped_for(frame, received)
        if isinstance(frame, ErrorFrame):
            self._got_error_frame(frame)
            return True
        log.log(
            logging.INFO if self._account.ignored < LOGGED_MAX else logging.DEBUG,
            "relay %s: skipped: %s",
            *(self.url, frame.detail),
        )
        if frame.detail.startswith("#info OutdatedCursor"):
            self._is_outdated = True
        seq, numbering, account = frame.seq, self.numbering, self._account
        next_seq = numbering.next_seq
        if seq is None or next_seq is None or not 0 <= seq - next_seq + LEAP_MAX <= 2 * LEAP_MAX:
            account.note_ignored(None)
            return False
        position = seq + numbering.base
        if seq < next_seq and position in account.ignored_seqs:
            account.reread += 1
            return False
        account.note_ignored(position)
        if seq == next_seq + self._bad_frames.count:
            # Only then: what is no event is not trusted to say where to go on.
            self._give_up(self._bad_frames.passed(self.last_read, position))
            numbering.next_seq = seq + 1
        elif seq > next_seq:
            self._ignored_ahead.append(seq)
        return False

    def _got_error_frame(self, frame: ErrorFrame) -> None:
        log.error("relay %s: error %s: %s", self.url, frame.name, frame.message)
        if frame.name == "FutureCursor":
            is_too_far = self._unreceivable.is_beyond_last(self.numbering.last_seq)
            if not is_too_far and not self.numbering.start_over():
                log.error("the relay renumbers its events; reading on from its live tail")
                self.seq_resets += 1
                self._pending_gap = relay_gaps.FUTURE_CURSOR
        self.subscription.close(CloseCode.NORMAL_CLOSURE, f"error frame {frame.name}")

    def _is_dropped_for(self, error: FrameError, received: bytes) -> bool:
        """Take in a frame that cannot be decoded; returns whether the connection was dropped."""
        numbering, after = self.numbering, self.last_read
        position = None if error.seq is None else error.seq + numbering.base
        if position is not None and after is not None and position <= after:
            if position in self._account.undecodable_seqs:
                self._account.reread += 1
            else:
                self._account.undecodable_once += 1
            return False
        if self._kept_frames is not None:
            self._kept_frames.keep(error, received, after_seq=numbering.last_seq)
        self._give_up(self._bad_frames.left_behind(after))
        is_stepped_over = self._bad_frames.is_stepped_over(after, position)
        what = "is stepped over" if is_stepped_over else "drops the connection"
        log.log(
            logging.DEBUG if self._bad_frames.in_a_row > LOGGED_MAX else logging.ERROR,
            "relay %s: a frame after seq %s %s: it %s",
            *(self.url, numbering.last_seq, what, error),
        )
        if not is_stepped_over:
            self.subscription.close(CloseCode.INVALID_DATA, "a frame that cannot be decoded")
        elif after is None:
            self._give_up(self._bad_frames.passed(None, None))
        return not is_stepped_over

    def _give_up(self, positions: list[int | None]) -> None:
        """Count these, and those that turned out not to come again."""
        for told in (self._bad_frames, self._unreceivable):
            self._account.undecodable_once += told.once
            told.once = 0
        for position in positions:
            self._account.note_undecodable(position)
