"""A worker whose stream may be another one: it finds out, makes its durables, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from array import array
from collections.abc import Callable

from fpaas import common_time
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_files import ConsumerFiles
from fpaas.consumers.deliveries import Deliveries
from fpaas.consumers.durable_keeper import DurableKeeper
from fpaas.consumers.polling import Polling
from fpaas.consumers.pull_connections import WAIT_FOR_NATS_S, PullConnections
from fpaas.consumers.puller import Gate
from fpaas.consumers.work import Work
from fpaas.jetstream.asked import Durable, durables_of
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.records.consumers import WorkerOutage
from fpaas.records.events import DURABLES_MADE_AGAIN, EventLog, Value

log = logging.getLogger(__name__)

#: How often durables that answer as if they were gone are looked after.
LOOK_INTERVAL_S = 1.0
OUTAGES_MAX = 1000
_GONE = (b"NATS/1.0 503", b"NATS/1.0 409 Consumer Deleted")


class StreamChanges:
    """Notes outages, and what was received of streams that were lost.

    `on_resumed` is called when connections carry pulls again, `on_joined` when it is known where
    the durables of a late class begin, before they are pulled from.
    """

    def __init__(
        self,
        assignment: Assignment,
        connections: PullConnections,
        polling: Polling,
        deliveries: Deliveries,
        *,
        work: Work,
        files: ConsumerFiles | None,
        on_resumed: Callable[[], None],
        on_joined: Callable[[], None] = lambda: None,
    ) -> None:
        self.outages: list[WorkerOutage] = []
        #: Gates of classes that have not joined yet.
        self.waiting: set[Gate] = set()
        self._spec = spec = assignment.spec
        self._connections = connections
        self._polling = polling
        self._deliveries = deliveries
        self._work = work
        self._files = files
        self._on_resumed = on_resumed
        self._on_joined = on_joined
        self._keeper = DurableKeeper(
            connections.address,
            spec,
            durables_of(spec, range(assignment.first, assignment.first + assignment.count)),
            name=f"fpaas-consumers-{assignment.worker}-keeper",
        )
        self._recovering: asyncio.Task[None] | None = None
        self._looked_s = 0.0
        #: Logs and first fetches of streams that were lost, and when these were made.
        self._earlier_logs: list[DeliveryLog] = []
        self._earlier_first_fetches: list[array[int] | None] = []
        self._earlier_streams: list[str | None] = []

    async def look_first(self) -> None:
        """Note which stream is there before the run begins; several are not looked after."""
        if self._spec.stream.is_split:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_NATS_S):
                await self._keeper.look()

    @property
    def created(self) -> str | None:
        """When the stream that is there now was made."""
        return self._keeper.created

    @property
    def streams(self) -> list[str | None]:
        """When each stream was made, the last one last; of several at a time that is not known."""
        return [*self._earlier_streams, *[self._keeper.created] * self._spec.stream.count]

    @property
    def starts(self) -> list[dict[str, int]]:
        """For each of `streams`, the first sequence that durables which joined late are served."""
        return [self._keeper.starts.get(created, {}) for created in self.streams]

    @property
    def all_logs(self) -> list[DeliveryLog]:
        """Those of streams that were lost first."""
        return [*self._earlier_logs, *self._connections.logs]

    @property
    def first_fetches(self) -> list[array[int] | None]:
        """One for each of `streams`."""
        there = self._deliveries
        return [*self._earlier_first_fetches, *(there.first_fetches or (there.first_fetch,))]

    @property
    def is_holding(self) -> bool:
        """Whether polls wait until it is known which stream is there.

        If the stream outlives a server, only once it is known to be another one.
        """
        is_looking = self._recovering is not None and not self._recovering.done()
        return is_looking and not self._spec.survives_a_server

    def connected(self) -> None:
        """Note that polls go on, if nobody looks at the streams first."""
        if self._spec.stream.is_split:
            self._note_resumed()

    def disconnected(self, now: int) -> None:
        """Note that a connection is gone, and see what became of the stream."""
        is_new = not self.outages or self.outages[-1].resumed_unix_ns is not None
        if is_new and len(self.outages) < OUTAGES_MAX:
            self.outages.append(WorkerOutage(now))
        self._look_after_durables()

    def answered(self, status_header: bytes) -> None:
        """Find out whether stream and durables are gone though NATS is there, once a second."""
        if not status_header.startswith(_GONE):
            return
        now_s = time.monotonic()
        if now_s >= self._looked_s + LOOK_INTERVAL_S:
            self._looked_s = now_s
            self._look_after_durables()

    async def join(self, durables: list[Durable], gates: set[Gate]) -> None:
        """Make durables of a class that joins now; then its connections carry pulls."""
        while self._recovering is not None and not self._recovering.done():
            await asyncio.wait([self._recovering])
        self._recovering = asyncio.ensure_future(self._join(durables, gates))
        await self._recovering

    async def _join(self, durables: list[Durable], gates: set[Gate]) -> None:
        if self._keeper.created is None:
            await self._keeper.look()
        await self._keeper.join(durables)
        # It may be another stream by now.
        await self._recover()
        # Once something was delivered, nobody can tell any more where they began: others must
        # know if this process is killed.
        self._on_joined()
        self.waiting -= gates
        self._open_gates()
        self._on_resumed()

    def stop(self) -> None:
        """Do no more."""
        if self._recovering is not None:
            self._recovering.cancel()

    def _look_after_durables(self) -> None:
        if self._keeper.created is None:
            # Whatever is played has no stream of a run.
            return
        if self._recovering is None or self._recovering.done():
            self._recovering = asyncio.ensure_future(self._recover())

    async def _recover(self) -> None:
        """Find out which stream is there, make durables again if it is another, and go on."""
        before = self._keeper.created
        # Again, should another server be gone before all is there.
        while await self._keeper.look():
            now = common_time.now_ns()
            log.warning("the stream is another one: %d durables", len(self._keeper.durables))
            self._begin_stream(before, now)
            before = self._keeper.created
            await self._keeper.make()
            self._note_made_again()
        self._open_gates()
        self._note_resumed()
        self._on_resumed()

    def _note_resumed(self) -> None:
        for outage in self.outages[-1:]:
            outage.resumed_unix_ns = outage.resumed_unix_ns or common_time.now_ns()

    def _open_gates(self) -> None:
        now = common_time.now_ns()
        for gate, connection in self._connections.by_gate.items():
            if connection.connected.is_set() and not gate.is_open and gate not in self.waiting:
                self._polling.connection_up(gate, now)

    def _begin_stream(self, lost: str | None, now: int) -> None:
        self._earlier_logs += self._connections.logs
        self._earlier_first_fetches.append(self._deliveries.first_fetch)
        self._earlier_streams.append(lost)
        # Its replies would ack other messages of the stream that follows.
        self._work.abandon()
        self._polling.begin_stream(len(self._earlier_streams), now)
        self._deliveries.begin_stream()
        if self._files:
            self._files.begin_stream(self._connections.logs, len(self._earlier_streams))

    def _note_made_again(self) -> None:
        if not self._files:
            return
        now = common_time.now_ns()
        began = min([now, *(outage.lost_unix_ns for outage in self.outages[-1:])])
        parameters: dict[str, Value] = {
            "created": self._keeper.created,
            "durables": len(self._keeper.durables),
        }
        with EventLog(self._files.events_path) as events:
            events.begin(DURABLES_MADE_AGAIN, began, parameters, end_unix_ns=now)
