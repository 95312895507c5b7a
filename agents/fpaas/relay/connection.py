"""One connection to the relay: its request, its WebSocket, its end.

The WebSocket protocol is `websockets`' sans-I/O layer on an asyncio protocol.
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
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol

from fpaas.relay.audience import Audience
from fpaas.relay.incoming import Incoming
from fpaas.relay.requests import METHOD, answer, refusal

log = logging.getLogger(__name__)
# This module logs connections itself.
websocket_log = logging.getLogger(f"{__name__}.websocket")
websocket_log.setLevel(logging.WARNING)

WRITE_BUFFER_BYTES = 256 * 1024
HANDSHAKE_S = 10.0
PING_INTERVAL_S = 20.0
CLOSE_S = 10.0
#: The largest request, with all its headers.
REQUEST_MAX_BYTES = 16 * 1024
REQUEST_END = b"\r\n\r\n"
#: Subscribers' messages are short. This is the kernel's buffer, so that one that talks waits.
RECEIVE_BUFFER_BYTES = 16 * 1024
#: One that talks anyway gets this share of our time.
LISTENING_SHARE = 0.1
#: Bad manners that it knows of: it reads nothing, it lets nobody in.
STALL, DISCONNECT = "stall", "disconnect"


class Connection(asyncio.Protocol):
    """Reads a request and answers it; what is sent then is up to `_subscribe`."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._protocol = ServerProtocol(logger=websocket_log)
        #: The part of the request that has come; None when it is whole.
        self._request: bytearray | None = bytearray()
        self._refused_request = False
        self._incoming = Incoming()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused_at_ns: int | None = None
        self._heard_pong = True
        #: Data that came while the relay stalled.
        self._unheard = b""

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES
        )
        self._after(HANDSHAKE_S, self._give_up)

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

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    # -- its end ---------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Close with the handshake that WebSocket asks for; abort if nobody answers."""
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

    def _subscribe(self, cursor: int | None) -> None:
        """Take on a subscriber, whose request has been answered."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """Close at once, if no request came; who stalls cannot know."""
        if self._audience.suffers(STALL):
            self._after(HANDSHAKE_S, self._give_up)
        else:
            self.abort()

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
        self._ping_later()

    def _ping_later(self) -> None:
        self._after(PING_INTERVAL_S, self._ping)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)
            else:  # SEND_EOF
                self._finish()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None  # noqa: S101
        self._transport.write(data)

    def _finish(self) -> None:
        """Close when all that was written is sent."""
        assert self._transport is not None  # noqa: S101
        self._transport.close()

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later, in place of what was planned before."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _peer(self) -> str:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return f"{peer[0]}:{peer[1]}" if peer else "somebody"
