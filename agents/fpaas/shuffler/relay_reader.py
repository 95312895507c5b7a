"""Follows a relay: reads its events once each, in order, through every disconnect.

Frames that cannot be decoded drop the connection, as the event stream specification asks; the relay
is then resumed after what was read. Publishes in flight stay in memory meanwhile, so that a resume
never has to go back to the last acknowledged seq; only a restarted process does (`cursor`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from websockets.frames import CloseCode

from fpaas import common_time
from fpaas.firehose.frames import MAX_FRAME_BYTES, ErrorFrame, Event, FrameError, Ignored, decode
from fpaas.firehose.relay_client import RelayConnection, RelayError
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.resume import ResumePoint

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 30.0
#: Of our own relay, which nobody else needs to be spared for.
BACKOFF_MAX_OWN_RELAY_S = 1.0


class RelayReader:
    """Reads `url` into a publisher from after seq `after` on; None is the live tail.

    `contiguous` tells that the relay leaves no gaps (ours does not), so that the seq of a frame
    that cannot be read is known all the same. `connects` and `errors` are running counts,
    `last_error` is for the status.
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
    ) -> None:
        self.url = url
        self.resume_point = ResumePoint(after, contiguous=contiguous)
        self.connected = asyncio.Event()
        self.due_to_read = CallRecorder("due_to_read", bins)
        self.connects = 0
        self.errors = 0
        self.last_error = ""
        #: Frames that come while it is set are passed by without a trace: the run has not begun.
        self.discarding = False
        self._publisher = publisher
        self._account = account
        self._contiguous = contiguous
        self._due_ns = due_ns
        self._connection: RelayConnection | None = None
        self._paused = asyncio.Event()
        self._backoff_s = BACKOFF_FIRST_S
        self._backoff_max_s = BACKOFF_MAX_OWN_RELAY_S if contiguous else BACKOFF_MAX_S

    @property
    def last_read(self) -> int | None:
        """The relay seq read last."""
        return self.resume_point.last_read

    @property
    def cursor(self) -> int | None:
        """Up to here every event read has its outcome: where a new process may resume."""
        oldest = self._publisher.window.oldest_seq()
        return self.last_read if oldest is None else oldest - 1

    @property
    def is_listening(self) -> bool:
        """Whether the relay is read, or tried; not while there is no room for what it sends."""
        return not self._paused.is_set() and not self._publisher.congested

    @property
    def reads(self) -> tuple[int, int]:
        """The number of the connection, and how often its socket brought something."""
        return self.connects, self._connection.reads if self._connection is not None else 0

    def ping(self) -> None:
        """Ask the relay for a sign of life."""
        if self._connection is not None:
            self._connection.ping()

    async def run(self) -> None:
        """Read until cancelled, reconnecting for ever."""
        gate = asyncio.ensure_future(self._resume_when_room())
        try:
            while True:
                # A new subscription brings frames at once: not while there is no room for them.
                await self._publisher.wait_for_room()
                try:
                    await self.connect_once()
                except RelayError:
                    pass
                else:
                    await self._until_closed()
                await asyncio.sleep(self._backoff_s * random.uniform(0.5, 1.0))
                self._backoff_s = min(self._backoff_s * 2, self._backoff_max_s)
        finally:
            gate.cancel()
            if self._connection is not None:
                self._connection.close()
            if self.resume_point.in_doubt:
                self._give_up_frame(self._next_seq())

    async def connect_once(self) -> None:
        """Connect, unless connected. Raises RelayError that names the URL and the cause."""
        if self._connection is not None:
            return
        cursor = self.resume_point.cursor
        # Known before it opens: its first frames may come along with the handshake.
        self._connection = RelayConnection(self.url, cursor=cursor, on_frames=self._got_frames)
        try:
            await self._connection.open()
        except RelayError as error:
            self._connection = None
            self._note_error(str(error))
            raise
        self.connects += 1
        self.last_error = ""
        self.connected.set()
        if self._publisher.congested:
            self._pause()
        where = "live" if cursor is None else f"from cursor {cursor}"
        log.info("subscribed to %s, %s", self.url, where)

    async def _until_closed(self) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101
        reason = await connection.closed
        self._connection = None
        self.connected.clear()
        self._note_error(f"relay {self.url}: {reason}")
        if connection.oversized:
            self._frame_failed(f"is larger than {MAX_FRAME_BYTES} bytes", None)

    def _note_error(self, error: str) -> None:
        # A relay that stays away says the same at every try.
        log.log(logging.DEBUG if error == self.last_error else logging.WARNING, "%s", error)
        self.errors += 1
        self.last_error = error

    # -- back pressure ---------------------------------------------------------------------------

    def _pause(self) -> None:
        if self._connection is not None:
            self._connection.pause()
        self._paused.set()

    async def _resume_when_room(self) -> None:
        while True:
            await self._paused.wait()
            await self._publisher.wait_for_room()
            self._paused.clear()
            if self._connection is not None:
                self._connection.resume()

    # -- frames ----------------------------------------------------------------------------------

    def _got_frames(self, frames: list[bytes]) -> None:
        if self.discarding:
            return
        now_ns = common_time.now_ns()
        resume_point = self.resume_point
        last_read = -1 if resume_point.last_read is None else resume_point.last_read
        account = self._account
        for frame in frames:
            try:
                event = decode(frame)
            except FrameError as error:
                if error.seq is not None and error.seq <= last_read:
                    account.reread += 1
                    continue
                self._drop_connection(error)
                break
            if not isinstance(event, Event):
                self._got_other(event)
                continue
            seq = event.seq
            if seq <= last_read:
                account.reread += 1
                continue
            if seq != last_read + 1 and self._contiguous and resume_point.stepping:
                for skipped in range(last_read + 1, seq):
                    account.note_undecodable(skipped)
            resume_point.last_read = last_read = seq
            account.note_read(seq)
            if self._due_ns is not None:
                self.due_to_read.end(self._due_ns(seq), now_ns)
            self._publisher.publish(event, frame)
            self._backoff_s = BACKOFF_FIRST_S
        self._publisher.flush()
        if self._publisher.congested:
            self._pause()

    def _got_other(self, frame: ErrorFrame | Ignored) -> None:
        if isinstance(frame, ErrorFrame):
            self._got_error_frame(frame)
            return
        log.info("relay %s: passed by: %s", self.url, frame.detail)
        last_read = self.resume_point.last_read
        if frame.seq is not None and last_read is not None and frame.seq <= last_read:
            self._account.reread += 1
            return
        self._account.note_ignored(frame.seq)
        if frame.seq is not None:
            self.resume_point.last_read = frame.seq

    def _got_error_frame(self, frame: ErrorFrame) -> None:
        log.error("relay %s: error %s: %s", self.url, frame.name, frame.message)
        if frame.name == "FutureCursor" and self._contiguous and self.resume_point.stepping:
            self.resume_point.step_back()
        elif frame.name == "FutureCursor":
            log.error("the relay numbers its events anew; reading on from its live tail")
            self.resume_point.start_anew()
        self._close(CloseCode.NORMAL_CLOSURE, f"error frame {frame.name}")

    def _drop_connection(self, error: FrameError) -> None:
        self._frame_failed(str(error), error.seq)
        self._close(CloseCode.INVALID_DATA, "a frame that cannot be decoded")

    def _close(self, code: CloseCode, reason: str) -> None:
        if self._connection is not None:
            self._connection.close(code, reason)

    def _frame_failed(self, what: str, seq: int | None) -> None:
        log.error("relay %s: the frame after seq %s %s", self.url, self.last_read, what)
        deduced_seq = self._next_seq() if seq is None else seq
        if self.resume_point.frame_failed(seq):
            self._give_up_frame(deduced_seq)
            # That was a step ahead: the next frame is not to wait for the one that is given up.
            self._backoff_s = BACKOFF_FIRST_S

    def _next_seq(self) -> int | None:
        """Return the seq of the frame after the one read last, where it cannot be but one."""
        return self.last_read + 1 if self._contiguous and self.last_read is not None else None

    def _give_up_frame(self, seq: int | None) -> None:
        self._account.note_undecodable(seq)
        log.error("relay %s: the frame is given up, its seq is %s", self.url, seq or "not known")
