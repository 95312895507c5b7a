"""The relay: offers frames on an open-loop schedule to whoever subscribes.

Frames fall due whether or not somebody reads them. Each subscriber is a position in the sequence;
a frame is made when its turn comes and goes straight to the socket, so that a subscriber who does
not read costs no memory, and a cursor can be replayed without keeping anything.

The WebSocket protocol is `websockets`' sans-I/O layer on an asyncio protocol: what is due goes out
in one write per wake-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import parse_qs, urlsplit

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol

from fpaas import agent
from fpaas.errors import BadInput, RunInvalid
from fpaas.firehose import dag_cbor
from fpaas.firehose.dag_cbor import head, text
from fpaas.firehose.relay_client import SUBSCRIBE_PATH
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.histograms import HistogramLog
from fpaas.records import calls, events, files
from fpaas.records.calls import Calls
from fpaas.records.relay import NAME, SAMPLES, RelayResult, RelaySample
from fpaas.records.status import State, figures_of
from fpaas.relay.blocked_reader import BlockedReader
from fpaas.spec import NS_PER_S
from fpaas.watch.watch import watch

log = logging.getLogger(__name__)
# Who comes and goes is said here.
websocket_log = logging.getLogger(f"{__name__}.websocket")
websocket_log.setLevel(logging.WARNING)

AGENT = "relay"
REPLAY_WINDOW_FRAMES = 1_000_000
#: As real relays have it.
MAX_LAG_FRAMES = 16_384
#: Timers are no finer; between two wake-ups at 20 000 frames/s 20 frames fall due.
WAKE_UP_S = 0.001
FRAMES_PER_WRITE = 32
#: Then others get their turn.
WRITES_PER_TURN = 8
WRITE_BUFFER_BYTES = 256 * 1024
HANDSHAKE_S = 10.0
PING_INTERVAL_S = 20.0
CLOSE_S = 10.0
#: What subscribers have to say is pings and closes.
INCOMING_MAX_BYTES = 64 * 1024


class Source(Protocol):
    """Where frames come from; `frame(i)` is the same bytes every time, with seq first_seq + i."""

    @property
    def first_seq(self) -> int:
        """The seq of frame 0."""

    @property
    def count(self) -> int | None:
        """How many frames there are, None where there is no end."""

    def frame(self, index: int) -> bytes:
        """Return frame `index`."""

    def ignored(self, count: int) -> int:
        """Tell how many of the first `count` frames are of kinds that are no events."""


class Pace(Protocol):
    """When frames are due; see fpaas.firehose.pace."""

    def due_ns(self, index: int) -> int:
        """Return when frame `index` is due, in ns after T0."""

    def due_count(self, elapsed_ns: int) -> int:
        """Return how many frames are due by then."""


@dataclass(frozen=True)
class Limits:
    """How far back a cursor may reach, and how far behind a live subscriber may fall."""

    replay_window_frames: int = REPLAY_WINDOW_FRAMES
    max_lag_frames: int = MAX_LAG_FRAMES


class Refused(Exception):  # noqa: N818
    """A subscription that ends with an error frame of this name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = message


@dataclass(frozen=True)
class Start:
    """The frame a subscription begins with; `outdated` where the cursor asked for an older one."""

    index: int
    outdated: bool


def start_of(cursor: int | None, first_seq: int, offered: int, window_frames: int) -> Start:
    """Find where a subscription begins when `offered` frames have fallen due.

    Without a cursor with the next frame; with one at seq ≥ cursor. Raises Refused for a cursor
    in the future. Source: https://atproto.com/specs/event-stream.
    """
    if cursor is None:
        return Start(offered, outdated=False)
    last_seq = first_seq + offered - 1
    if cursor > last_seq:
        raise Refused("FutureCursor", f"cursor {cursor} is in the future; the last is {last_seq}")
    oldest = max(0, offered - window_frames)
    index = cursor - first_seq
    # A cursor names a frame that was seen: with the one before the oldest, nothing is missing.
    return Start(max(index, oldest), outdated=index < oldest - 1)


def error_frame(name: str, message: str) -> bytes:
    """Encode the frame that says why a relay closes."""
    header = head(dag_cbor.MAP, 1) + text("op") + head(dag_cbor.NEGATIVE, 0)
    return header + _text_map({"error": name, "message": message})


def info_frame(name: str, message: str) -> bytes:
    """Encode an #info message; it has no seq."""
    header = head(dag_cbor.MAP, 2) + text("t") + text("#info") + text("op") + b"\x01"
    return header + _text_map({"name": name, "message": message})


def _text_map(entries: dict[str, str]) -> bytes:
    pairs = b"".join(text(key) + text(value) for key, value in entries.items())
    return head(dag_cbor.MAP, len(entries)) + pairs


class Relay:
    """Frames falling due, and those who subscribe to them. Counts are running totals.

    `sent` frames went to a subscriber that had caught up, `replayed` ones to one on its way there.
    `blocked_s` is how long sockets of subscribers that had caught up took no more. `lateness` is of
    each frame that some subscriber was sent, the first time; `lateness_own` of the same, from when
    that subscriber was there and its socket took more.
    """

    def __init__(
        self,
        source: Source,
        pace: Pace,
        limits: Limits,
        *,
        total: int | None,
        t0_unix_ns: int,
        bins: Bins | None = None,
    ) -> None:
        self.source = source
        self.pace = pace
        self.limits = limits
        self.total = min((n for n in (source.count, total) if n is not None), default=None)
        self.t0_unix_ns = t0_unix_ns
        self.offered = 0
        self.sent = 0
        self.replayed = 0
        self.connects = 0
        self.slow_disconnects = 0
        self.blocked_ns = 0
        #: Frames below it were sent to somebody.
        self.handed = 0
        self.lateness = CallRecorder("relay_lateness", bins)
        self.lateness_own = CallRecorder("relay_lateness_own", bins)
        self.subscribers: set[Subscriber] = set()
        self._connections: set[Subscriber] = set()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> str:
        """Accept subscribers from now on; returns the URL. Raises BadInput where that fails."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Subscriber(self), host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise BadInput(
                f"--listen {host}:{port}: cannot listen there: {reason}; "
                "free the port or choose another"
            ) from error
        bound_host, bound_port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"

    def start(self) -> None:
        """Send frames when they fall due, from now on."""
        self._wake_up()

    async def close(self) -> None:
        """Offer nothing more, and tell the subscribers."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.close(CloseCode.GOING_AWAY, "the relay ends")
        for _ in range(20):
            if not self._connections:
                break
            await asyncio.sleep(0.05)
        for connection in tuple(self._connections):
            connection.abort()

    def sample(self, calls: Calls | None = None) -> RelaySample:
        """Return the counts as of now."""
        return RelaySample(
            unix_ns=time.time_ns(),
            offered=self.offered,
            ignored=self.source.ignored(self.offered),
            sent=self.sent,
            replayed=self.replayed,
            subscribers=len(self.subscribers),
            blocked_s=self.blocked_s,
            calls=calls,
        )

    def result(self, *, complete: bool) -> RelayResult:
        """Return the account as of now; `complete`: it is the last one."""
        return RelayResult(
            first_seq=self.source.first_seq,
            last_seq=self.source.first_seq + self.offered - 1,
            offered=self.offered,
            sent=self.sent,
            replayed=self.replayed,
            handed=self.handed,
            ignored=self.source.ignored(self.offered),
            connects=self.connects,
            slow_disconnects=self.slow_disconnects,
            blocked_s=self.blocked_s,
            complete=complete,
        )

    @property
    def blocked_s(self) -> float:
        """How long sockets took no more until now, those that still do not included."""
        still_ns = sum(subscriber.blocked_for_ns for subscriber in self.subscribers)
        return (self.blocked_ns + still_ns) / NS_PER_S

    def blocked(self) -> tuple[int, str] | None:
        """Return since when (monotonic ns) a live subscriber takes nothing, and its address."""
        return min(filter(None, (each.blocked() for each in self.subscribers)), default=None)

    # -- for subscribers -------------------------------------------------------------------------

    def connected(self, connection: Subscriber) -> None:
        """Take note of a connection, whatever it will ask for."""
        self._connections.add(connection)

    def disconnected(self, connection: Subscriber) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self.subscribers.discard(connection)

    def offer_due(self) -> None:
        """Count what has fallen due."""
        due = self.pace.due_count(time.time_ns() - self.t0_unix_ns)
        if self.total is not None:
            due = min(due, self.total)
        # The wall clock may be set back; what was offered stays offered.
        self.offered = max(self.offered, due)

    def handed_over(self, indices: range, ready_since_unix_ns: int) -> None:
        """Take note of frames that went to a socket that took them from a time on."""
        new = indices[max(0, self.handed - indices.start) :]
        if not new:
            return
        self.handed = new.stop
        now_ns, t0_ns, due_ns = time.time_ns(), self.t0_unix_ns, self.pace.due_ns
        due = [t0_ns + due_ns(index) for index in new]
        self.lateness.samples_ns += [now_ns - one for one in due]
        self.lateness.began_unix_ns += due
        self.lateness_own.samples_ns += [now_ns - max(one, ready_since_unix_ns) for one in due]
        self.lateness_own.began_unix_ns += due

    # -- inside ----------------------------------------------------------------------------------

    def _wake_up(self) -> None:
        self.offer_due()
        for subscriber in tuple(self.subscribers):
            subscriber.send_due()
        if self.offered == self.total:
            return
        left_ns = self.t0_unix_ns + self.pace.due_ns(self.offered) - time.time_ns()
        # Not too long: the wall clock may be set forward too.
        delay_s = min(max(left_ns / NS_PER_S, WAKE_UP_S), 1.0)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake_up)


class Subscriber(asyncio.Protocol):
    """One connection, and the position of its subscription."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
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
        self._relay.connected(self)
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
        if self in self._relay.subscribers:
            log.info("subscriber left: %s", exc or "closed the connection")
        self._relay.disconnected(self)

    # -- for the relay ---------------------------------------------------------------------------

    def blocked(self) -> tuple[int, str] | None:
        """Return since when its socket takes no more, if it had caught up, and its address."""
        if self._paused_at_ns is None or not self._live:
            return None
        return self._paused_at_ns, self._peer()

    def send_due(self) -> None:
        """Send what has fallen due and the socket takes, a bounded piece of it at a time."""
        relay = self._relay
        if self not in relay.subscribers or self._turn is not None or self._is_too_slow():
            return
        for _ in range(WRITES_PER_TURN):
            if self._paused_at_ns is not None or self._protocol.state is not WebSocketState.OPEN:
                return
            count = min(relay.offered - self._position, FRAMES_PER_WRITE)
            if count > 0:
                self._send_frames(count)
            if self._position == relay.offered:
                self._live = True
                return
        self._turn = asyncio.get_running_loop().call_soon(self._next_turn)

    def close(self, code: CloseCode, reason: str) -> None:
        """Close with the handshake that WebSocket asks for; abort where nobody answers."""
        self._relay.subscribers.discard(self)
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
            cursor = _cursor(parts.query)
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
        relay = self._relay
        self._flush()
        self._after(PING_INTERVAL_S, self._ping)
        # A relay that was restarted in a run must not call a cursor of before the future.
        relay.offer_due()
        try:
            start = start_of(
                cursor, relay.source.first_seq, relay.offered, relay.limits.replay_window_frames
            )
        except Refused as refused:
            self._refuse(refused)
            return
        log.info("subscriber from %s, cursor %s", self._peer(), cursor)
        if start.outdated:
            message = "the cursor is older than what can be replayed"
            self._protocol.send_binary(info_frame("OutdatedCursor", message))
        relay.connects += 1
        self._position = start.index
        self._live = start.index == relay.offered
        self._ready_since_unix_ns = time.time_ns()
        relay.subscribers.add(self)
        self.send_due()

    def _send_frames(self, count: int) -> None:
        relay = self._relay
        protocol = self._protocol
        first = self._position
        frame = relay.source.frame
        for index in range(first, first + count):
            protocol.send_binary(frame(index))
        assert self._transport is not None  # noqa: S101
        self._transport.writelines(protocol.data_to_send())
        self._position = first + count
        if self._live:
            relay.sent += count
        else:
            relay.replayed += count
        relay.handed_over(range(first, first + count), self._ready_since_unix_ns)

    def _next_turn(self) -> None:
        self._turn = None
        self.send_due()

    def _is_too_slow(self) -> bool:
        limits = self._relay.limits
        allowed = limits.max_lag_frames if self._live else limits.replay_window_frames
        lag = self._relay.offered - self._position
        if lag <= allowed:
            return False
        self._relay.slow_disconnects += 1
        self._refuse(Refused("ConsumerTooSlow", f"{lag} frames behind; {allowed} are allowed"))
        return True

    def _refuse(self, refused: Refused) -> None:
        log.warning("closing %s: %s: %s", self._peer(), refused.name, refused.message)
        self._relay.subscribers.discard(self)
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
        self._relay.blocked_ns += self.blocked_for_ns
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


def _cursor(query: str) -> int | None:
    """Read the cursor of a subscription; raises ValueError where it is no sequence number."""
    values = parse_qs(query, keep_blank_values=True).get("cursor")
    if not values:
        return None
    if not values[-1].isascii() or not values[-1].isdigit():
        raise ValueError(f"cursor {values[-1]!r} is no sequence number")
    return int(values[-1])


# -- the agent -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What to serve and until when.

    `t0_unix_ns` None is now. It ends at `until_unix_ns`, or `duration_s` after T0, or on SIGTERM.
    """

    source: Source
    pace: Pace
    limits: Limits
    total: int | None
    host: str
    port: int
    t0_unix_ns: int | None
    until_unix_ns: int | None
    duration_s: float | None
    directory: Path | None
    #: Where phases of the run meet.
    cuts_unix_ns: tuple[int, ...] = ()


class Records:
    """The relay's files in a run directory. A full disk costs the files, not the offering."""

    def __init__(
        self, relay: Relay, status: agent.Status, options: Options, t0_unix_ns: int
    ) -> None:
        directory = options.directory
        self._relay = relay
        self._t0_unix_ns = t0_unix_ns
        self._cuts_unix_ns = options.cuts_unix_ns
        self._status = status
        self._directory = directory
        self._samples = files.LineWriter(directory and directory / SAMPLES)
        self._loop_lag = CallRecorder("loop_lag", relay.lateness.bins)
        self._recorders = [relay.lateness, relay.lateness_own, self._loop_lag]
        self._log: HistogramLog | None = None
        if directory is not None:
            self._log = HistogramLog(
                directory / f"{AGENT}.hlog", self._recorders, time.time(), by_beginning=True
            )
        self.error: OSError | None = None

    async def keep(self) -> None:
        """Write once a second, forever."""
        lag = asyncio.create_task(
            agent.measure_loop_lag(self._loop_lag, self._t0_unix_ns)
            if self._directory is None
            else watch(
                self._directory / f"{AGENT}.{events.SUFFIX}",
                [BlockedReader(self._relay)],
                self._loop_lag,
                self._t0_unix_ns,
            )
        )
        try:
            while True:
                await asyncio.sleep(
                    agent.seconds_to_next_tick(self._t0_unix_ns, self._cuts_unix_ns)
                )
                self._write(self._end_interval)
        finally:
            lag.cancel()
            await asyncio.wait([lag])

    def close(self) -> None:
        """Write the rest; raises RunInvalid where something could not be written."""
        self._write(self._close)
        if self.error is not None:
            self._status.set(State.FAILED, str(self.error))
            raise RunInvalid(
                f"{self._directory}: the relay's figures are not whole: {self.error.strerror}"
            )

    def _write(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            if self.error is None:
                log.error("cannot write to %s: %s", self._directory, error.strerror)  # noqa: TRY400
            self.error = error

    def _end_interval(self) -> None:
        if self._log is None:
            sample = self._relay.sample()
            for recorder in self._recorders:
                recorder.forget()
        else:
            sample = self._relay.sample(calls.sampled(self._recorders, time.time_ns()))
            self._samples.write(sample)
            self._log.end_interval(time.time())
        self._status.figures = figures_of(sample)
        self._status.write()
        self._write_account(complete=False)

    def _write_account(self, *, complete: bool) -> None:
        """Replace relay.json; of a relay that is killed the last one stays."""
        if self._directory is not None:
            account = self._relay.result(complete=complete)
            files.write(self._directory / NAME, account)

    def _close(self) -> None:
        self._end_interval()
        self._samples.close()
        if self._log is not None:
            self._log.close(time.time())
        self._write_account(complete=True)


async def run(options: Options, status: agent.Status) -> None:
    """Serve until the end of the run, or until SIGTERM. Raises BadInput or RunInvalid."""
    stop = agent.stop_event()
    # The pool of frames is here to stay; the collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    now_unix_ns = time.time_ns()
    t0_unix_ns = now_unix_ns if options.t0_unix_ns is None else options.t0_unix_ns
    relay = Relay(
        options.source,
        options.pace,
        options.limits,
        total=options.total,
        t0_unix_ns=t0_unix_ns,
        bins=Bins(t0_unix_ns, options.cuts_unix_ns),
    )
    url = await relay.listen(options.host, options.port)
    try:
        records = Records(relay, status, options, t0_unix_ns)
    except OSError as error:
        raise RunInvalid(f"{options.directory}: cannot write there: {error.strerror}") from error
    status.set(State.READY, url)
    log.info("serving seq %d and on at %s", options.source.first_seq, url)
    keeping = asyncio.create_task(records.keep())
    try:
        until_unix_ns = options.until_unix_ns
        if options.duration_s is not None:
            until_unix_ns = t0_unix_ns + round(options.duration_s * NS_PER_S)
        if t0_unix_ns < now_unix_ns:
            log.warning("ready %.1f s after T0", (now_unix_ns - t0_unix_ns) / NS_PER_S)
        finished = await agent.sleep_until_unix_ns(t0_unix_ns, stop)
        if finished:
            status.set(State.RUNNING, url)
            relay.start()
            finished = await _until(until_unix_ns, stop)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        await relay.close()
    log.info("offered %d frames, sent %d, replayed %d", relay.offered, relay.sent, relay.replayed)
    records.close()
    # Whoever serves until SIGTERM is done then.
    ended = finished or until_unix_ns is None
    status.set(State.DONE if ended else State.STOPPED, f"offered {relay.offered}")


async def _until(unix_ns: int | None, stop: asyncio.Event) -> bool:
    if unix_ns is None:
        await stop.wait()
        return False
    return await agent.sleep_until_unix_ns(unix_ns, stop)
