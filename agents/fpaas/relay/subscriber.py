"""A connection to a subscriber.

Each subscriber is a position in the sequence; a frame is made when its turn comes and goes straight
to the socket, so that a subscriber who does not read costs no memory, and a cursor can be replayed
without keeping anything. All due frames go out in one write per wake-up.
"""

from __future__ import annotations

import asyncio
import logging
import time

from websockets.frames import CloseCode
from websockets.protocol import State as WebSocketState

from fpaas import common_time
from fpaas.relay.audience import Audience
from fpaas.relay.connection import DISCONNECT, STALL, Connection
from fpaas.relay.control_frames import error_frame, info_frame
from fpaas.relay.cursors import Backlog, Refused, start_of
from fpaas.relay.drip import Drip
from fpaas.relay.offering import Offering
from fpaas.spec import Fault
from fpaas.spec.faults import CUT

log = logging.getLogger(__name__)

FRAMES_PER_WRITE = 32
#: … and frames may be large.
WRITE_BYTES_MAX = 1024 * 1024
#: Then others get their turn.
WRITES_PER_TURN = 8
DRIP_INTERVAL_S = 0.05
ERROR_FRAME, DRIP, REPLAY = "error_frame", "drip", "replay"


class Subscriber(Connection):
    """One connection, and the position of its subscription."""

    def __init__(self, offering: Offering, audience: Audience) -> None:
        super().__init__(audience)
        self._offering = offering
        self._position = 0
        self._live = False
        #: Since when frames could be sent as soon as they were due.
        self._ready_since_unix_ns = 0
        self._turn: asyncio.Handle | None = None
        self._drip: Drip | None = None
        #: The frames before it are on their way through the drip.
        self._drip_end: int | None = None

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._audience.connections.add(self)
        fault = self._audience.fault
        if fault is not None and (fault.do != DISCONNECT or fault.close_code == CUT):
            self.suffer(fault)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._count_pause()
        self._ready_since_unix_ns = common_time.now_ns()
        # It reads again: it gets a whole interval to answer the last ping.
        self._heard_pong = True
        self.send_due()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._count_pause()
        super().connection_lost(exc)
        if self in self._audience.subscribers:
            log.info("subscriber left: %s", exc or "closed the connection")
        self._audience.discard(self)

    # -- for the relay ---------------------------------------------------------------------------

    def blocked(self) -> tuple[int, str] | None:
        """Return since when its socket takes no more, if it had caught up, and its address."""
        if self._paused_at_ns is None or not self._live:
            return None
        return self._paused_at_ns, self._peer()

    def send_due(self) -> None:
        """Send what has fallen due and the socket takes, a bounded piece of it at a time."""
        offering = self._offering
        if (
            self not in self._audience.subscribers
            or self._turn is not None
            or self._audience.fault is not None
            or self._is_too_slow()
        ):
            return
        for _ in range(WRITES_PER_TURN):
            if self._paused_at_ns is not None or self._protocol.state is not WebSocketState.OPEN:
                return
            if offering.offered > self._position:
                self._send_frames()
            if self._position == offering.offered:
                self._live = True
                return
        self._turn = asyncio.get_running_loop().call_soon(self._next_turn)

    def close(self, code: int, reason: str) -> None:
        """Send no more, and close."""
        self._audience.subscribers.discard(self)
        super().close(code, reason)

    # -- inside ----------------------------------------------------------------------------------

    def _subscribe(self, cursor: int | None) -> None:
        offering, audience = self._offering, self._audience
        self._flush()
        self._ping_later()
        # A relay that was restarted in a run must not call a cursor of before the future.
        offering.offer_due()
        try:
            start = start_of(cursor, self._backlog(), inclusive=audience.rules.inclusive)
        except Refused as refused:
            self._refuse(refused)
            return
        log.info("subscriber from %s, cursor %s", self._peer(), cursor)
        fault = audience.fault
        if fault is not None and fault.do == ERROR_FRAME:
            self.suffer(fault)
            return
        if start.outdated:
            message = "the cursor is older than what can be replayed"
            self._protocol.send_binary(info_frame("OutdatedCursor", message))
        audience.connects += 1
        self._position = start.index
        self._live = start.index == offering.offered
        self._ready_since_unix_ns = common_time.now_ns()
        audience.subscribers.add(self)
        self.send_due()

    def _backlog(self) -> Backlog:
        offering = self._offering
        window_frames = self._audience.rules.replay_window_frames
        return offering.wire.backlog(offering.offered, window_frames)

    def _send_frames(self) -> None:
        offering = self._offering
        protocol = self._protocol
        first = end = self._position
        last = min(offering.offered, first + FRAMES_PER_WRITE)
        frame = offering.frames()
        size = 0
        while end < last and size < WRITE_BYTES_MAX:
            content = frame(end)
            size += len(content)
            protocol.send_binary(content)
            end += 1
        assert self._transport is not None  # noqa: S101
        self._transport.writelines(protocol.data_to_send())
        self._sent(end)

    def _sent(self, end: int) -> None:
        """Take note that the frames before `end` went to the socket."""
        first = self._position
        self._position = end
        if self._live:
            self._audience.sent += end - first
        else:
            self._audience.replayed += end - first
        self._offering.handed_over(range(first, end), self._ready_since_unix_ns)

    def _next_turn(self) -> None:
        self._turn = None
        self.send_due()

    def _is_too_slow(self) -> bool:
        rules = self._audience.rules
        allowed = rules.max_lag_frames if self._live else rules.replay_window_frames
        lag = self._offering.offered - self._position
        if lag <= allowed:
            return False
        self._audience.slow_disconnects += 1
        self._refuse(Refused("ConsumerTooSlow", f"{lag} frames behind; {allowed} are allowed"))
        return True

    def _refuse(self, refused: Refused) -> None:
        log.warning("closing %s: %s: %s", self._peer(), refused.name, refused.message)
        self._audience.subscribers.discard(self)
        if self._protocol.state is WebSocketState.OPEN:
            self._protocol.send_binary(error_frame(refused.name, refused.message))
        self.close(CloseCode.POLICY_VIOLATION, refused.name)

    @property
    def blocked_for_ns(self) -> int:
        """How long the socket of a subscriber that had caught up has taken no more."""
        if self._paused_at_ns is None or not self._live:
            return 0
        return time.monotonic_ns() - self._paused_at_ns

    def _count_pause(self) -> None:
        self._audience.blocked_ns += self.blocked_for_ns
        self._paused_at_ns = None

    def _write(self, data: bytes) -> None:
        if self._drip is not None:
            self._drip.waiting += data
        else:
            super()._write(data)

    def _finish(self) -> None:
        self._end_drip()
        super()._finish()

    # -- bad manners -----------------------------------------------------------------------------

    def suffer(self, fault: Fault) -> None:
        """Be treated badly: once, or until `released`."""
        if self._transport is None or self._transport.is_closing():
            return
        if fault.do == DISCONNECT:
            self._disconnect(fault.close_code or CUT)
        elif fault.do == ERROR_FRAME and self._protocol.state is WebSocketState.OPEN:
            self._refuse(Refused(fault.error or "", "the relay has bad manners"))
        elif fault.do == STALL:
            self._transport.pause_reading()
        elif fault.do == DRIP:
            self._drip = Drip(fault.bytes_per_s or 1.0, time.monotonic_ns())
            self._drip_on()
        elif fault.do == REPLAY and self in self._audience.subscribers:
            oldest = self._backlog().oldest
            self._position = max(min(oldest, self._position), self._position - (fault.frames or 0))
            self._catch_up()

    def released(self) -> None:
        """Be treated well again."""
        if self._transport is None or self._transport.is_closing():
            return
        self._end_drip()
        self._heard_pong = True
        self._transport.resume_reading()
        unheard, self._unheard = self._unheard, b""
        if unheard:
            self.data_received(unheard)
        self._catch_up()

    def _catch_up(self) -> None:
        """Send on; that this subscriber is behind is not its own doing."""
        if self._paused_at_ns is not None:
            self._count_pause()
            self._paused_at_ns = time.monotonic_ns()
        self._live = False
        self._ready_since_unix_ns = common_time.now_ns()
        self.send_due()

    def _disconnect(self, code: int) -> None:
        if code != CUT:
            self.close(code, "the relay has bad manners")
            return
        offering = self._offering
        is_subscribed = self in self._audience.subscribers
        self._audience.subscribers.discard(self)
        assert self._transport is not None  # noqa: S101
        if is_subscribed and self._paused_at_ns is None and self._position != offering.total:
            # In the middle of a frame, as connections break.
            self._protocol.send_binary(offering.frames()(self._position))
            data = b"".join(self._protocol.data_to_send())
            self._transport.write(data[: len(data) // 2])
            self._transport.close()
        else:
            self._transport.abort()

    def _drip_on(self) -> None:
        """Send what the drip lets through, and come again."""
        drip = self._drip
        if drip is None or self._transport is None or self._transport.is_closing():
            return
        if self._paused_at_ns is None:
            self._fill(drip)
            self._transport.write(drip.take(time.monotonic_ns()))
            if not drip.waiting:
                self._dripped()
        asyncio.get_running_loop().call_later(DRIP_INTERVAL_S, self._drip_on)

    def _fill(self, drip: Drip) -> None:
        is_open = self._protocol.state is WebSocketState.OPEN
        if self not in self._audience.subscribers or not is_open:
            return
        offering = self._offering
        end = self._position if self._drip_end is None else self._drip_end
        while end < offering.offered and len(drip.waiting) < drip.bytes_per_s * DRIP_INTERVAL_S:
            self._protocol.send_binary(offering.frames()(end))
            self._flush()
            end += 1
            self._drip_end = end

    def _dripped(self) -> None:
        """Take note that nothing waits for the drip any more."""
        if self._drip_end is not None:
            self._sent(self._drip_end)
            self._drip_end = None

    def _end_drip(self) -> None:
        drip, self._drip = self._drip, None
        if drip is not None and self._transport is not None:
            self._transport.write(bytes(drip.waiting))
            self._dripped()
