"""Follows a relay through every disconnect: when to connect again, and when to give up on it.

Connects again at growing intervals until something came of a connection: an open socket, pongs and
garbage are no events. A relay that keeps its socket open and sends no event is taken for stuck, and
left for a new connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fpaas.firehose.relay_client import RelayConnection
from fpaas.firehose.relay_errors import RelayError

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 30.0
STUCK_S = 10.0
#: How often, at least, it is looked whether a relay is stuck.
LOOK_INTERVAL_S = 0.5
#: A slow relay gets the time of this many of its events before it is stuck.
STUCK_EVENTS = 10
#: A relay that was never there may take so long to come up before that counts as an error.
COMES_UP_IN_S = 10.0


@dataclass(frozen=True)
class Patience:
    """How long to wait for a relay: between connections, and for an event on one.

    `rate_per_s` is the rate at which it is known to send; None: not known yet.
    """

    backoff_max_s: float = BACKOFF_MAX_S
    stuck_s: float = STUCK_S
    rate_per_s: float | None = None


class Subscription:
    """The connections to one relay, one after the other; `run` makes them.

    `cursor` tells where to go on, `events` how many events came so far, both at any time. Frames go
    to `on_frames`; `on_connected` and `on_lost` are called for each connection, and
    `until_ready` is awaited before each. `connects` and `errors` are running counts, `last_error`
    says what is wrong now.
    """

    def __init__(
        self,
        url: str,
        *,
        cursor: Callable[[], int | None],
        events: Callable[[], int],
        on_frames: Callable[[list[bytes]], None],
        on_connected: Callable[[], None] = lambda: None,
        on_lost: Callable[[RelayConnection], None] = lambda _: None,
        until_ready: Callable[[], Awaitable[None]] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.url = url
        self.connected = asyncio.Event()
        self.is_paused = False
        self.connects = 0
        self.errors = 0
        self.last_error = ""
        self._cursor = cursor
        self._events = events
        self._on_frames = on_frames
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._until_ready = until_ready
        self._patience = patience or Patience()
        self._connection: RelayConnection | None = None
        #: Of connections that are gone.
        self._reads_before = 0
        self._backoff_s = BACKOFF_FIRST_S
        #: Whether events are due: none are before a run begins.
        self.expects_events = True
        #: Grows with each connection that was stuck, until an event comes.
        self._stuck_times = 1.0
        self._subscribed_s = 0.0
        self._first_tried_s: float | None = None

    @property
    def reads(self) -> int:
        """How often a socket brought something, of all connections that were made."""
        connection = self._connection if self.connected.is_set() else None
        return self._reads_before + (connection.reads if connection is not None else 0)

    async def run(self) -> None:
        """Follow the relay until cancelled.

        Raises RelayError if another try cannot help, and no event was ever read.
        """
        try:
            while True:
                if self._until_ready is not None:
                    await self._until_ready()
                await self._once()
        finally:
            self.close()

    async def connect_once(self) -> None:
        """Connect, unless connected. Raises RelayError that names the URL and the cause."""
        if self._connection is not None:
            return
        cursor = self._cursor()
        # Known before it opens: its first frames may come along with the handshake.
        self._connection = RelayConnection(self.url, cursor=cursor, on_frames=self._on_frames)
        try:
            await self._connection.open()
        except BaseException as error:
            self._connection.abort("given up")
            self._connection = None
            if isinstance(error, RelayError) and not self._is_still_to_come(error):
                self._note_error(str(error))
            raise
        self.connects += 1
        self.last_error = ""
        self.connected.set()
        if self.is_paused:
            self._connection.pause()
        self._on_connected()
        where = "live" if cursor is None else f"from cursor {cursor}"
        log.info("subscribed to %s, %s", self.url, where)

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        self.is_paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        self.is_paused = False
        if self._connection is not None:
            self._connection.resume()

    def ping(self) -> None:
        """Ask the relay for a sign of life."""
        if self._connection is not None:
            self._connection.ping()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection that there is, if any; `run` makes the next."""
        if self._connection is not None:
            self._connection.close(code, reason)

    # -- inside ----------------------------------------------------------------------------------

    async def _once(self) -> None:
        """Make one connection, follow it to its end, and wait as long as is due after it."""
        events, is_stuck, wait_s = self._events(), False, 0.0
        try:
            await self.connect_once()
        except RelayError as error:
            # Events came from a relay: whatever answers in its place now may be gone again.
            if error.wrong_url and not events:
                raise
            wait_s = error.retry_after_s
        else:
            is_stuck = await self._until_closed()
        if self._events() != events:
            self._backoff_s, self._stuck_times = BACKOFF_FIRST_S, 1.0
        elif is_stuck:
            # Waiting for it was patience enough.
            self._stuck_times *= 2
            return
        await asyncio.sleep(max(self._backoff_s * random.uniform(0.5, 1.0), wait_s))
        self._backoff_s = min(self._backoff_s * 2, self._patience.backoff_max_s)

    async def _until_closed(self) -> bool:
        """Return when the connection is gone, and whether that was because it was stuck."""
        connection = self._connection
        assert connection is not None  # noqa: S101
        is_stuck = await self._is_stuck(connection)
        reason = await connection.closed
        self._reads_before += connection.reads
        self._connection = None
        self.connected.clear()
        self._note_error(f"relay {self.url}: {reason}")
        self._on_lost(connection)
        return is_stuck

    async def _is_stuck(self, connection: RelayConnection) -> bool:
        """Watch a connection until it is closed, or close it because no event comes."""
        loop = asyncio.get_running_loop()
        events, quiet_s, began_s = self._events(), 0.0, loop.time()
        while not connection.closed.done():
            limit_s = self._stuck_after_s(quiet_s)
            interval_s = min(LOOK_INTERVAL_S, limit_s / 4)
            looked_s = loop.time()
            await asyncio.wait([connection.closed], timeout=interval_s)
            # Time in which the process was stopped proves nothing.
            passed_s = min(loop.time() - looked_s, 2 * interval_s)
            self._subscribed_s += passed_s
            if self.is_paused or not self.expects_events or self._events() != events:
                events, quiet_s = self._events(), 0.0
            else:
                quiet_s += passed_s
            if quiet_s >= limit_s and not connection.closed.done():
                connection.abort(
                    f"no event in {quiet_s:.1f} s, though connected for "
                    f"{loop.time() - began_s:.1f} s: it is taken for stuck"
                )
                return True
        return False

    def _stuck_after_s(self, quiet_s: float) -> float:
        """How long no event may come: longer for a slow relay."""
        patience, events = self._patience, self._events()
        if patience.rate_per_s is not None:
            interval_s = 1 / patience.rate_per_s
        else:
            interval_s = (self._subscribed_s - quiet_s) / events if events else 0.0
        return self._stuck_times * max(patience.stuck_s, STUCK_EVENTS * interval_s)

    def _is_still_to_come(self, error: RelayError) -> bool:
        """Whether the relay is only not up yet, which is no error: all parts start together."""
        now_s = asyncio.get_running_loop().time()
        if self._first_tried_s is None:
            self._first_tried_s = now_s
        if self.connects or not error.refused or now_s - self._first_tried_s > COMES_UP_IN_S:
            return False
        if not self.last_error:
            log.info("%s; waits for it", error)
        self.last_error = str(error)
        return True

    def _note_error(self, error: str) -> None:
        # A relay that stays away says the same at every try.
        log.log(logging.DEBUG if error == self.last_error else logging.WARNING, "%s", error)
        self.errors += 1
        self.last_error = error
