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
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from websockets.exceptions import InvalidMessage
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol

from fpaas import common_time
from fpaas.records.relay import RelayResult
from fpaas.relay.control_frames import error_frame, info_frame
from fpaas.relay.cursors import Backlog, Refused, Rules, start_of
from fpaas.relay.drip import Drip
from fpaas.relay.incoming import Incoming
from fpaas.relay.offering import Offering
from fpaas.relay.requests import METHOD, answer, refusal
from fpaas.spec import NS_PER_S, Fault
from fpaas.spec.faults import CUT

log = logging.getLogger(__name__)
# This module logs connections itself.
websocket_log = logging.getLogger(f"{__name__}.websocket")
websocket_log.setLevel(logging.WARNING)

FRAMES_PER_WRITE = 32
#: … and frames may be large.
WRITE_BYTES_MAX = 1024 * 1024
#: Then others get their turn.
WRITES_PER_TURN = 8
WRITE_BUFFER_BYTES = 256 * 1024
HANDSHAKE_S = 10.0
PING_INTERVAL_S = 20.0
CLOSE_S = 10.0
#: Of a request with all its headers.
REQUEST_MAX_BYTES = 16 * 1024
REQUEST_END = b"\r\n\r\n"
#: What subscribers have to say is short. It is the kernel's buffer, so that one who talks waits.
RECEIVE_BUFFER_BYTES = 16 * 1024
#: Who talks all the same gets this share of our time.
LISTENING_SHARE = 0.1
DRIP_INTERVAL_S = 0.05
DISCONNECT, ERROR_FRAME, STALL, DRIP, REPLAY = (
    "disconnect",
    "error_frame",
    "stall",
    "drip",
    "replay",
)


class Audience:
    """Everybody who is connected, and those of them who subscribed. Counts are running totals.

    `sent` frames went to a subscriber that had caught up, `replayed` ones to one on its way there.
    `blocked_s` is how long sockets of subscribers that had caught up took no more.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.connections: set[Subscriber] = set()
        self.subscribers: set[Subscriber] = set()
        self.sent = 0
        self.replayed = 0
        self.connects = 0
        self.slow_disconnects = 0
        self.blocked_ns = 0
        #: The bad manners that everybody suffers now, whoever comes included.
        self.fault: Fault | None = None

    def go_on(self, left: RelayResult) -> None:
        """Count on from where a relay that ended in this run had come."""
        self.sent, self.replayed = left.sent, left.replayed
        self.connects, self.slow_disconnects = left.connects, left.slow_disconnects
        self.blocked_ns = round(left.blocked_s * NS_PER_S)

    @property
    def blocked_s(self) -> float:
        """How long sockets took no more until now, those that still do not included."""
        still_ns = sum(subscriber.blocked_for_ns for subscriber in self.subscribers)
        return (self.blocked_ns + still_ns) / NS_PER_S

    def blocked(self) -> tuple[int, str] | None:
        """Return since when (monotonic ns) a live subscriber takes nothing, and its address."""
        return min(filter(None, (each.blocked() for each in self.subscribers)), default=None)

    def hold(self, fault: Fault) -> None:
        """Have everybody suffer bad manners until `release`."""
        self.fault = fault
        self.suffer(fault)

    def release(self) -> None:
        """Be as a relay should be from now on."""
        self.fault = None
        for connection in tuple(self.connections):
            connection.released()

    def suffer(self, fault: Fault) -> None:
        """Have all who are connected suffer bad manners."""
        for connection in tuple(self.connections):
            connection.suffer(fault)

    def suffers(self, do: str) -> bool:
        """Whether these are the bad manners of now."""
        return self.fault is not None and self.fault.do == do

    def discard(self, connection: Subscriber) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self.subscribers.discard(connection)


class Subscriber(asyncio.Protocol):
    """One connection, and the position of its subscription."""

    def __init__(self, offering: Offering, audience: Audience) -> None:
        self._offering = offering
        self._audience = audience
        self._protocol = ServerProtocol(logger=websocket_log)
        #: What has come of the request; None when it is whole.
        self._request: bytearray | None = bytearray()
        self._refused_request = False
        self._incoming = Incoming()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._position = 0
        self._live = False
        #: Since when frames could be sent as soon as they were due.
        self._ready_since_unix_ns = 0
        self._paused_at_ns: int | None = None
        self._turn: asyncio.Handle | None = None
        self._heard_pong = True
        #: What came in while the relay stalled.
        self._unheard = b""
        self._drip: Drip | None = None
        #: The frames before it are on their way through the drip.
        self._drip_end: int | None = None

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
        )
        self._audience.connections.add(self)
        self._after(HANDSHAKE_S, self._give_up)
        fault = self._audience.fault
        if fault is not None and (fault.do != DISCONNECT or fault.close_code == CUT):
            self.suffer(fault)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused_request:
            return
        if self._audience.suffers(STALL):
            # A connection that is new cannot be kept from reading at once.
            self._unheard += data
            self._stop_listening(0)
            return
        if self._request is not None:
            self._read_request(data)
            return
        began_s = time.perf_counter()
        skipped = self._incoming.skipped
        self._receive(self._incoming.feed(data))
        if self._incoming.skipped != skipped:
            self._stop_listening((time.perf_counter() - began_s) / LISTENING_SHARE)

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
        self._ready_since_unix_ns = common_time.now_ns()
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
        """Close with the handshake that WebSocket asks for; abort if nobody answers."""
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

    def _give_up(self) -> None:
        """Close at once, if no request came; who stalls cannot know."""
        if self._audience.suffers(STALL):
            self._after(HANDSHAKE_S, self._give_up)
        else:
            self.abort()

    # -- inside ----------------------------------------------------------------------------------

    def _read_request(self, data: bytes) -> None:
        """Collect the request; what comes behind it are frames."""
        assert self._request is not None  # noqa: S101
        request = self._request
        request += data
        if not request[:1].isalpha():
            self.abort()
            return
        end = request.find(REQUEST_END)
        if end >= 0:
            end += len(REQUEST_END)
            self._request = None
            method = request.partition(b" ")[0].decode("latin-1")
            if method != METHOD:
                # It may have a body, which the protocol does not know.
                message = f"{method:.20} is not allowed here; expected {METHOD}"
                self._refuse_request(HTTPStatus.METHOD_NOT_ALLOWED, message)
                return
            self._receive(bytes(request[:end]))
            self.data_received(bytes(request[end:]))
        elif len(request) > REQUEST_MAX_BYTES:
            self._refuse_request(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"a request has at most {REQUEST_MAX_BYTES} bytes",
            )

    def _receive(self, data: bytes) -> None:
        """Give the protocol what it is to read, and do what it says."""
        protocol = self._protocol
        if data:
            protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._heard_pong = True
        if isinstance(protocol.handshake_exc, InvalidMessage):
            self._refuse_request(HTTPStatus.BAD_REQUEST, str(protocol.handshake_exc.__cause__))
        self._flush()
        if protocol.close_expected():
            self._after(CLOSE_S, self.abort)

    def _answer(self, request: Request) -> None:
        if self._audience.suffers(DISCONNECT):
            self._refuse_request(HTTPStatus.SERVICE_UNAVAILABLE, "nobody is let in for a while")
            return
        response, cursor = answer(self._protocol, request)
        self._protocol.send_response(response)
        if self._protocol.state is WebSocketState.OPEN:
            self._subscribe(cursor)

    def _refuse_request(self, status: HTTPStatus, message: str) -> None:
        """Refuse what is no request that the protocol could read."""
        if self._transport is not None and not self._transport.is_closing():
            self._refused_request = True
            self._transport.write(refusal(self._protocol, status, message).serialize())
            # A client that still sends a body would not see the answer on a closed connection.
            self._transport.write_eof()
            self._after(CLOSE_S, self.abort)

    def _stop_listening(self, for_s: float) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(for_s, self._listen_again)

    def _listen_again(self) -> None:
        if self._audience.suffers(STALL):
            return
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _subscribe(self, cursor: int | None) -> None:
        offering, audience = self._offering, self._audience
        self._flush()
        self._after(PING_INTERVAL_S, self._ping)
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

    def _ping(self) -> None:
        """Drop a peer that is gone. One that does not read cannot answer: its lag is the limit."""
        if self._paused_at_ns is None and not self._audience.suffers(STALL):
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
            if not data:  # SEND_EOF
                self._end_drip()
                self._transport.close()
            elif self._drip is not None:
                self._drip.waiting += data
            else:
                self._transport.write(data)

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

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later, instead of what was planned until now."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _peer(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return f"{peer[0]}:{peer[1]}" if peer else "somebody"
