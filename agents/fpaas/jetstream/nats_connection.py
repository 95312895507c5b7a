"""One TCP connection to NATS that carries load: raw publishes out, parsed messages in.

It reconnects by itself with jittered backoff, restores its subscriptions and tells its owner when
it lost the link, because whatever was in flight then has an unknown outcome. In a cluster it is
connected to one server, and goes on to the next when it loses that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from fpaas.jetstream.nats_address import NatsAddress, NatsServer
from fpaas.jetstream.nats_wire import MessageHandler, Parser, ProtocolError
from fpaas.legible import cause_of

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
PING_INTERVAL_S = 20.0
#: In a cluster, a host that vanished without a word is worth finding out: there are others.
PING_INTERVAL_CLUSTER_S = 3.0
PINGS_OUTSTANDING_MAX = 2
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0


class NatsError(Exception):
    """NATS refused the connection, or cannot be reached."""


class NatsConnection(asyncio.Protocol):
    """A connection that stays up until `close()`.

    `writable` is an Event that is cleared while the socket does not take more: wait for it before
    writing in bulk. `connects`, `errors` and `disconnects_slow_consumer` are running counts;
    `last_error` says why the connection was lost; `round_trip_s` is the shortest PING to PONG so
    far, `reads` counts what the socket brought. `make_parser` takes the callbacks of Parser.

    `turn` says which of a cluster's servers comes first, so that an owner of many connections can
    spread them; the others follow in random order.
    """

    def __init__(
        self,
        address: NatsAddress,
        *,
        name: str,
        on_connected: Callable[[], None] | None = None,
        on_disconnected: Callable[[], None] | None = None,
        make_parser: Callable[..., Parser] = Parser,
        turn: int | None = None,
    ) -> None:
        self.address = address
        #: The first is the one that is connected, or is tried next.
        self._servers = _in_turn(address.servers, turn)
        self.name = name
        self.writable = asyncio.Event()
        self.connected = asyncio.Event()
        self.connects = 0
        self.errors = 0
        self.disconnects_slow_consumer = 0
        self.last_error = ""
        self.round_trip_s: float | None = None
        self.reads = 0
        self.server_info: dict[str, Any] = {}
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._transport: asyncio.Transport | None = None
        self._subjects: dict[bytes, bytes] = {}
        self._next_sid = 1
        self._pings_outstanding = 0
        #: When each PING was sent that has no PONG yet; they come in order.
        self._pinged_at: deque[float] = deque()
        self._ping_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._reconnecting: asyncio.Task[None] | None = None
        self._info: asyncio.Future[dict[str, Any]] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._parser = make_parser(
            on_info=self._got_info,
            on_ping=self._got_ping,
            on_pong=self._got_pong,
            on_error=self._got_error,
        )

    # -- for owners ------------------------------------------------------------------------------

    async def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Connect to the first server that lets us, trying each once.

        Raises NatsError that says what was tried and why it failed.
        """
        causes = []
        for _ in range(len(self._servers)):
            try:
                return await self._try_server(timeout_s / len(self._servers))
            except NatsError as error:
                causes.append(str(error))
                self._servers.rotate(-1)
        raise NatsError("; ".join(causes))

    @property
    def server(self) -> NatsServer:
        """The server that is connected, or is tried next."""
        return self._servers[0]

    async def connect_patiently(self, timeout_s: float) -> None:
        """Connect, trying again for `timeout_s`; raises NatsError with the last cause."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        backoff_s = BACKOFF_FIRST_S
        while True:
            left_s = deadline - asyncio.get_running_loop().time()
            try:
                return await self.connect(min(CONNECT_TIMEOUT_S, max(left_s, 0.5)))
            except NatsError:
                if left_s <= backoff_s:
                    raise
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def close(self) -> None:
        """Flush what was written and close for good."""
        self._closing = True
        if self._reconnecting:
            self._reconnecting.cancel()
        if self._transport:
            self._transport.close()
        for _ in range(20):
            if self._transport is None:
                break
            await asyncio.sleep(0.005)
        self._abort()

    def subscribe(self, subject: str, handler: MessageHandler, *, wants_payload: bool) -> bytes:
        """Subscribe now and after every reconnect; returns the subscription's id."""
        sid = self.new_sid()
        self._subjects[sid] = subject.encode()
        self._parser.subscriptions[sid] = (handler, wants_payload)
        self.write(b"SUB %s %s\r\n" % (self._subjects[sid], sid))
        return sid

    def new_sid(self) -> bytes:
        """Return an id for a subscription that its owner makes, and makes again."""
        sid = b"%d" % self._next_sid
        self._next_sid += 1
        return sid

    @property
    def awaits_pong(self) -> bool:
        """Whether a ping has no answer yet; with the answer, what was sent before is here."""
        return self.connected.is_set() and bool(self._pinged_at)

    def write(self, data: bytes) -> None:
        """Send protocol lines as they are; they are dropped while disconnected."""
        if self._transport is not None and self.connected.is_set():
            self._transport.write(data)

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self._pinged_at.append(time.monotonic())
        self.write(b"PING\r\n")

    def pause_reading(self) -> None:
        """Stop reading the socket (back pressure to the server)."""
        if self._transport is not None:
            self._transport.pause_reading()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._parser.reset()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.reads += 1
        try:
            self._parser.feed(data)
        except ProtocolError as error:
            self._fail(str(error))

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        was_connected = self.connected.is_set()
        self._transport = None
        self.connected.clear()
        self.writable.clear()
        if self._ping_timer:
            self._ping_timer.cancel()
        why = "closed by the server" if exc is None else cause_of(exc)
        self.last_error = self.last_error or why
        lost = ConnectionResetError(self.last_error)
        for waiter in (self._info, self._ready):
            if waiter is not None and not waiter.done():
                waiter.set_exception(lost)
                break
        if not was_connected or self._closing:
            return
        log.warning("%s: lost NATS at %s: %s", self.name, self.server, lost)
        if self._on_disconnected:
            self._on_disconnected()
        self._servers.rotate(-1)
        self._reconnecting = asyncio.ensure_future(self._reconnect())

    # -- inside ----------------------------------------------------------------------------------

    async def _try_server(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._connect_once()
        except TimeoutError:
            self._abort()
            raise NatsError(f"no answer from NATS at {self.server} in {timeout_s:g} s") from None
        except (OSError, ProtocolError) as error:
            self._abort()
            raise NatsError(f"cannot connect to NATS at {self.server}: {error}") from error

    async def _connect_once(self) -> None:
        loop = asyncio.get_running_loop()
        self._info = loop.create_future()
        self._ready = loop.create_future()
        self.last_error = ""
        await loop.create_connection(lambda: self, self.server.host, self.server.port)
        self.server_info = await self._info
        if self.address.tls is not None:
            await self._start_tls(self.address.tls)
        elif self.server_info.get("tls_required"):
            raise ProtocolError("the server requires TLS; use a tls:// URL")
        assert self._transport is not None  # noqa: S101
        self._pinged_at = deque([time.monotonic()])
        self._transport.write(self._connect_line() + b"PING\r\n")
        await self._ready
        self.connects += 1
        self.connected.set()
        self.writable.set()
        self._pings_outstanding = 0
        self._schedule_ping()
        lines = [b"SUB %s %s\r\n" % (subject, sid) for sid, subject in self._subjects.items()]
        self._transport.write(b"".join(lines))
        if self._on_connected:
            self._on_connected()

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        assert self._transport is not None  # noqa: S101
        self._transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=self.server.host
        )

    def _connect_line(self) -> bytes:
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "python-fpaas",
            "version": "1",
            "protocol": 1,
            "name": self.name,
        }
        if self.address.user is not None:
            options["user"] = self.address.user
            options["pass"] = self.address.password or ""
        return b"CONNECT " + json.dumps(options).encode() + b"\r\n"

    async def _reconnect(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._closing:
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            try:
                return await self.connect()
            except NatsError as error:
                self.errors += 1
                log.info("%s: %s", self.name, error)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        self.last_error = why
        self._abort()

    def _schedule_ping(self) -> None:
        loop = asyncio.get_running_loop()
        self._ping_timer = loop.call_later(self._ping_interval_s, self._ping)

    @property
    def _ping_interval_s(self) -> float:
        return PING_INTERVAL_S if len(self._servers) == 1 else PING_INTERVAL_CLUSTER_S

    def _ping(self) -> None:
        if self._pings_outstanding >= PINGS_OUTSTANDING_MAX:
            self._fail(f"no PONG in {PINGS_OUTSTANDING_MAX * self._ping_interval_s:g} s")
            return
        self._pings_outstanding += 1
        self.ping()
        self._schedule_ping()

    def _got_info(self, info: dict[str, Any]) -> None:
        if self._info is not None and not self._info.done():
            self._info.set_result(info)

    def _got_ping(self) -> None:
        if self._transport is not None:
            self._transport.write(b"PONG\r\n")

    def _got_pong(self) -> None:
        self._pings_outstanding = 0
        if self._pinged_at:
            round_trip_s = time.monotonic() - self._pinged_at.popleft()
            self.round_trip_s = min(round_trip_s, self.round_trip_s or round_trip_s)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _got_error(self, text: str) -> None:
        self.errors += 1
        self.last_error = f"NATS says {text}"
        if "slow consumer" in text.lower():
            self.disconnects_slow_consumer += 1
        log.warning("%s: %s", self.name, self.last_error)


def _in_turn(servers: tuple[NatsServer, ...], turn: int | None) -> deque[NatsServer]:
    """Order servers as they are to be tried."""
    others = list(servers)
    random.shuffle(others)
    if turn is None:
        return deque(others)
    first = servers[turn % len(servers)]
    others.remove(first)
    return deque([first, *others])
