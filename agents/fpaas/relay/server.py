"""The relay itself: it listens, and wakes up when frames fall due."""

from __future__ import annotations

import asyncio

from websockets.frames import CloseCode

from fpaas import common_time
from fpaas.errors import BadInput
from fpaas.records.calls import Calls
from fpaas.records.relay import RelayResult, RelaySample
from fpaas.relay.audience import Audience
from fpaas.relay.offering import Offering
from fpaas.relay.subscriber import Subscriber
from fpaas.spec import NS_PER_S

#: Timers are no finer; between two wake-ups at 20,000 frames/s 20 frames fall due.
WAKE_UP_S = 0.001


class Relay:
    """Sends an offering's frames to all subscribers."""

    def __init__(self, offering: Offering, audience: Audience) -> None:
        self.offering = offering
        self.audience = audience
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> str:
        """Accept subscribers from now on; returns the URL. Raises BadInput if that fails."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Subscriber(self.offering, self.audience), host, port
            )
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
        """Send nothing more, and tell subscribers; what falls due until they are gone counts."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        connections = self.audience.connections
        for connection in tuple(connections):
            connection.close(CloseCode.GOING_AWAY, "the relay ends")
        for _ in range(20):
            if not connections:
                break
            await asyncio.sleep(0.05)
        for connection in tuple(connections):
            connection.abort()
        if self._timer is not None:
            self.offering.offer_due()

    def go_on(self, left: RelayResult) -> None:
        """Go on where a relay ended in this run, before anybody subscribes."""
        self.offering.offer_due()
        self.offering.handed = left.handed
        self.audience.go_on(left)

    def sample(self, calls: Calls | None = None) -> RelaySample:
        """Return the counts as of now."""
        offering, audience = self.offering, self.audience
        return RelaySample(
            unix_ns=common_time.now_ns(),
            offered=offering.offered,
            ignored=offering.wire.ignored(offering.offered),
            sent=audience.sent,
            replayed=audience.replayed,
            subscribers=len(audience.subscribers),
            blocked_s=audience.blocked_s,
            calls=calls,
        )

    def result(self, *, complete: bool) -> RelayResult:
        """Return the account as of now; `complete`: it is the last one."""
        offering, audience = self.offering, self.audience
        wire, offered = offering.wire, offering.offered
        numberings = list(wire.numberings(offered))
        return RelayResult(
            first_seq=wire.source.first_seq,
            last_seq=wire.source.first_seq + offered - 1,
            offered=offered,
            sent=audience.sent,
            replayed=audience.replayed,
            handed=offering.handed,
            ignored=wire.ignored(offered),
            connects=audience.connects,
            slow_disconnects=audience.slow_disconnects,
            blocked_s=audience.blocked_s,
            complete=complete,
            numberings=numberings if len(numberings) > 1 else [],
            damaged=len(wire.damaged_indices(offered)),
        )

    def _wake_up(self) -> None:
        self.offering.offer_due()
        for subscriber in tuple(self.audience.subscribers):
            subscriber.send_due()
        if self.offering.is_over:
            return
        left_ns = self.offering.next_due_unix_ns - common_time.now_ns()
        # Not too long: the wall clock may be set forward too.
        delay_s = min(max(left_ns / NS_PER_S, WAKE_UP_S), 1.0)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake_up)
