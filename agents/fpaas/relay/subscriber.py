"""One connection to a subscriber, and all of them together.

Each subscriber is a position in the sequence; a frame is made when its turn comes and goes straight
to the socket, so that a subscriber who does not read costs no memory, and a cursor can be replayed
without keeping anything.

The WebSocket protocol is `websockets`' sans-I/O layer on an asyncio protocol: what is due goes out
in one write per wake-up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol

from fpaas.firehose.relay_client import SUBSCRIBE_PATH
from fpaas.relay.control_frames import error_frame, info_frame
from fpaas.relay.cursors import Limits, Refused, read_cursor, start_of
from fpaas.relay.offering import Offering
from fpaas.spec import NS_PER_S

log = logging.getLogger(__name__)
# Who comes and goes is said here.
websocket_log = logging.getLogger(f"{__name__}.websocket")
websocket_log.setLevel(logging.WARNING)

FRAMES_PER_WRITE = 32
#: Then others get their turn.
WRITES_PER_TURN = 8
WRITE_BUFFER_BYTES = 256 * 1024
HANDSHAKE_S = 10.0
PING_INTERVAL_S = 20.0
CLOSE_S = 10.0
#: What subscribers have to say is pings and closes.
INCOMING_MAX_BYTES = 64 * 1024


class Audience:
    """Everybody who is connected, and those of them who subscribed. Counts are running totals.

    `sent` frames went to a subscriber that had caught up, `replayed` ones to one on its way there.
    `blocked_s` is how long sockets of subscribers that had caught up took no more.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.connections: set[Subscriber] = set()
        self.subscribers: set[Subscriber] = set()
        self.sent = 0
        self.replayed = 0
        self.connects = 0
        self.slow_disconnects = 0
        self.blocked_ns = 0

    @property
    def blocked_s(self) -> float:
        """How long sockets took no more until now, those that still do not included."""
        still_ns = sum(subscriber.blocked_for_ns for subscriber in self.subscribers)
        return (self.blocked_ns + still_ns) / NS_PER_S

    def blocked(self) -> tuple[int, str] | None:
        """Return since when (monotonic ns) a live subscriber takes nothing, and its address."""
        return min(filter(None, (each.blocked() for each in self.subscribers)), default=None)

    def discard(self, connection: Subscriber) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self.subscribers.discard(connection)


class Subscriber(asyncio.Protocol):
    """One connection, and the position of its subscription."""

    def __init__(self, offering: Offering, audience: Audience) -> None:
        self._offering = offering
        self._audience = audience
        self._protocol = ServerProtocol(max_size=INCOMING_MAX_BYTES, logger=websocket_log)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._position = 0
        self._live = False
        #: Since when frames could be sent as soon as they were due.
        self._ready_since_unix_ns = 0
        self._paused_at_ns: int | None = None
        self._turn: asyncio.Handle | None = None
        self._heard_pong = True

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._audience.connections.add(self)
        self._after(HANDSHAKE_S, self.abort)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._heard_pong = True
        self._flush()
        if self._protocol.close_expected():
            self._after(CLOSE_S, self.abort)

    def eof_received(self) -> None:
        """See asyncio.Protocol; closes the transport."""
        self._protocol.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused_at_ns = time.monotonic_ns()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._count_pause()
        self._ready_since_unix_ns = time.time_ns()
        # It reads again: it gets a whole interval to answer the last ping.
        self._heard_pong = True
        self.send_due()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._count_pause()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
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
        if self not in self._audience.subscribers or self._turn is not None or self._is_too_slow():
            return
        for _ in range(WRITES_PER_TURN):
            if self._paused_at_ns is not None or self._protocol.state is not WebSocketState.OPEN:
                return
            count = min(offering.offered - self._position, FRAMES_PER_WRITE)
            if count > 0:
                self._send_frames(count)
            if self._position == offering.offered:
                self._live = True
                return
        self._turn = asyncio.get_running_loop().call_soon(self._next_turn)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close with the handshake that WebSocket asks for; abort where nobody answers."""
        self._audience.subscribers.discard(self)
        if self._protocol.state is WebSocketState.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()
            self._after(CLOSE_S, self.abort)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- inside ----------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        protocol = self._protocol
        parts = urlsplit(request.path)
        try:
            cursor = read_cursor(parts.query)
        except ValueError as error:
            protocol.send_response(protocol.reject(HTTPStatus.BAD_REQUEST, f"{error}\n"))
            return
        if parts.path != SUBSCRIBE_PATH:
            message = f"only {SUBSCRIBE_PATH} is here\n"
            protocol.send_response(protocol.reject(HTTPStatus.NOT_FOUND, message))
            return
        protocol.send_response(protocol.accept(request))
        if protocol.state is WebSocketState.OPEN:
            self._subscribe(cursor)

    def _subscribe(self, cursor: int | None) -> None:
        offering, audience = self._offering, self._audience
        self._flush()
        self._after(PING_INTERVAL_S, self._ping)
        # A relay that was restarted in a run must not call a cursor of before the future.
        offering.offer_due()
        try:
            start = start_of(
                cursor,
                offering.source.first_seq,
                offering.offered,
                audience.limits.replay_window_frames,
            )
        except Refused as refused:
            self._refuse(refused)
            return
        log.info("subscriber from %s, cursor %s", self._peer(), cursor)
        if start.outdated:
            message = "the cursor is older than what can be replayed"
            self._protocol.send_binary(info_frame("OutdatedCursor", message))
        audience.connects += 1
        self._position = start.index
        self._live = start.index == offering.offered
        self._ready_since_unix_ns = time.time_ns()
        audience.subscribers.add(self)
        self.send_due()

    def _send_frames(self, count: int) -> None:
        offering = self._offering
        protocol = self._protocol
        first = self._position
        frame = offering.source.frame
        for index in range(first, first + count):
            protocol.send_binary(frame(index))
        assert self._transport is not None  # noqa: S101
        self._transport.writelines(protocol.data_to_send())
        self._position = first + count
        if self._live:
            self._audience.sent += count
        else:
            self._audience.replayed += count
        offering.handed_over(range(first, first + count), self._ready_since_unix_ns)

    def _next_turn(self) -> None:
        self._turn = None
        self.send_due()

    def _is_too_slow(self) -> bool:
        limits = self._audience.limits
        allowed = limits.max_lag_frames if self._live else limits.replay_window_frames
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

    def _ping(self) -> None:
        """Drop a peer that is gone. One that does not read cannot answer: its lag is the limit."""
        if self._paused_at_ns is None:
            if not self._heard_pong:
                log.warning("closing %s: no pong in %g s", self._peer(), PING_INTERVAL_S)
                self.abort()
                return
            if self._protocol.state is WebSocketState.OPEN:
                self._heard_pong = False
                self._protocol.send_ping(b"")
                self._flush()
        self._after(PING_INTERVAL_S, self._ping)

    @property
    def blocked_for_ns(self) -> int:
        """How long the socket of a subscriber that had caught up has taken no more."""
        if self._paused_at_ns is None or not self._live:
            return 0
        return time.monotonic_ns() - self._paused_at_ns

    def _count_pause(self) -> None:
        self._audience.blocked_ns += self.blocked_for_ns
        self._paused_at_ns = None

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # SEND_EOF
                self._transport.close()

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later, instead of what was planned until now."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _peer(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return f"{peer[0]}:{peer[1]}" if peer else "somebody"
