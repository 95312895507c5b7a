"""Plays consumers in one process: their connections, their timer, their files."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import resource
import secrets
import time
from array import array
from collections.abc import Callable
from itertools import islice

import msgspec

from fpaas import agent, common_time
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_figures import Figures
from fpaas.consumers.consumer_files import ConsumerFiles
from fpaas.consumers.delivery_parser import Deliveries, DeliveryParser
from fpaas.consumers.durable_keeper import DurableKeeper
from fpaas.consumers.polling import (
    Gate,
    Habit,
    Polling,
    Puller,
    duplicate_deliveries,
    request_of,
    spread,
)
from fpaas.consumers.pull_size import PullSize
from fpaas.consumers.schedule import PollSchedule
from fpaas.errors import BadInput, RunInvalid
from fpaas.jetstream import progress
from fpaas.jetstream.asked import durables_of
from fpaas.jetstream.nats_address import NatsAddress, address_from_environment
from fpaas.jetstream.nats_connection import NatsConnection, NatsError
from fpaas.jetstream.progress import Progress
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.measures.histogram_log import LoggedRecorder
from fpaas.records import calls
from fpaas.records.consumers import ClassFetches, Connections, WorkerOutage, WorkerResult
from fpaas.records.events import DURABLES_MADE_AGAIN, EventLog, Value
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.watch.nats_peer import NatsPeer
from fpaas.watch.watch import watch

log = logging.getLogger(__name__)

WAIT_FOR_NATS_S = 10.0
CONNECT_CONCURRENCY = 32
CONNECTIONS_MAX = 256
#: What a process needs besides a file descriptor a connection.
OTHER_FILE_DESCRIPTORS = 100
#: How long pulls in flight may take after the end; the run settles in spec.SETTLE_S.
GRACE_S = 1.0
GRACE_AFTER_STOP_S = 0.5
#: How often durables that answer as if they were gone are looked after.
LOOK_INTERVAL_S = 1.0
OUTAGES_MAX = 1000
_GONE = (b"NATS/1.0 503", b"NATS/1.0 409 Consumer Deleted")


class ConsumerWorker:
    """Plays an Assignment: `connect`, then `play`, then `finish`."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        spec = assignment.spec
        rate_per_s = spec.firehose.rate_per_s
        self._deliveries = Deliveries(
            t0_unix_ns=spec.t0_unix_ns,
            first_seq=spec.firehose.first_seq or 0,
            frame_interval_ns=NS_PER_S / rate_per_s if rate_per_s else None,
            keeps_first_fetch=assignment.out is not None,
        )
        self._connections: dict[Gate, NatsConnection] = {}
        self._pullers: list[Puller] = []
        #: By the name of their class; empty if all poll alike.
        self._habits: dict[str, Habit] = {}
        self._address = address_of(assignment.nats_url)
        self._build()
        bins = Bins(spec.t0_unix_ns, spec.cuts_unix_ns) if assignment.out else None
        #: What fell due while nobody played is not made up for.
        self._polls_from_unix_ns = common_time.now_ns() if assignment.goes_on else None
        self._polling = Polling(
            self._pullers,
            until_unix_ns=spec.end_unix_ns,
            bins=bins,
            from_unix_ns=self._polls_from_unix_ns or 0,
        )
        self._polling.watch(common_time.now_ns)
        self._figures = Figures(consumers=assignment.count)
        self._started_unix_ns: int | None = None
        #: Polls that were due by then are accounted for; None while they go on.
        self._stopped_unix_ns: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_unix_ns = 0
        self._statuses_told: set[str] = set()
        self._keeper = DurableKeeper(
            self._address,
            spec,
            durables_of(spec, range(assignment.first, assignment.first + assignment.count)),
            name=f"fpaas-consumers-{assignment.worker}-keeper",
        )
        self._recovering: asyncio.Task[None] | None = None
        self._outages: list[WorkerOutage] = []
        self._looked_s = 0.0
        #: Of streams that were lost: their logs, first fetches, and when they were made.
        self._earlier_logs: list[DeliveryLog] = []
        self._earlier_first_fetches: list[array[int] | None] = []
        self._streams: list[str | None] = []
        self._loop_lag = CallRecorder("loop_lag", bins)
        self._files = ConsumerFiles(assignment.out, assignment.worker) if assignment.out else None

    # -- life cycle ------------------------------------------------------------------------------

    async def connect(self, stop: asyncio.Event) -> bool:
        """Connect and subscribe; returns False if `stop` came first.

        Raises RunInvalid if NATS does not let us.
        """
        connecting = asyncio.ensure_future(self._connect_all())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not connecting.done():
            connecting.cancel()
            return False
        await connecting
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_NATS_S):
                await self._keeper.look()
        # What is here now stays: no collection shall walk through it while polls are due.
        gc.collect()
        gc.freeze()
        return True

    async def _connect_all(self) -> None:
        connections = list(self._connections.values())
        _allow_open_files(len(connections) + OTHER_FILE_DESCRIPTORS)
        queue = iter(connections)

        async def connect_some() -> None:
            for connection in queue:
                await connection.connect_patiently(WAIT_FOR_NATS_S)

        tasks = [asyncio.create_task(connect_some()) for _ in range(CONNECT_CONCURRENCY)]
        try:
            await asyncio.gather(*tasks)
        except NatsError as error:
            raise RunInvalid(f"{error}; is nats-server running there?") from error
        finally:
            for task in tasks:
                task.cancel()

    async def play(self, stop: asyncio.Event, on_tick: Callable[[Figures], None]) -> None:
        """Poll from T0 to the end of the run or until `stop`; `on_tick` is called every second.

        Raises OSError if results cannot be written.
        """
        spec = self.assignment.spec
        if not await agent.sleep_until_unix_ns(spec.t0_unix_ns, stop):
            return
        self._started_unix_ns = common_time.now_ns()
        if self._files:
            self._files.open(self._recorders(), self._logs)
        watched_from = self._started_unix_ns if self.assignment.goes_on else spec.t0_unix_ns
        watching = asyncio.ensure_future(
            watch(self._files.events_path, self._peers(), self._loop_lag, watched_from)
            if self._files
            else agent.measure_loop_lag(self._loop_lag, watched_from)
        )
        try:
            self._wake()
            while not stop.is_set() and common_time.now_ns() < spec.end_unix_ns:
                tick_s = agent.seconds_to_next_tick(spec.t0_unix_ns, spec.cuts_unix_ns)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), tick_s)
                self._tick(on_tick)
            await self._let_pulls_end(GRACE_AFTER_STOP_S if stop.is_set() else GRACE_S)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            self._polling.abandon(common_time.now_ns())
        self._tick(on_tick)

    async def finish(self) -> None:
        """Disconnect and write the files. Raises OSError if they cannot be written."""
        if self._timer:
            self._timer.cancel()
        if self._recovering is not None:
            self._recovering.cancel()
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        if self._files and self._started_unix_ns is not None:
            for puller_log in self._logs:
                puller_log.end_run()
            result = self._result(complete=True)
            first_fetches = [*self._earlier_first_fetches, self._deliveries.first_fetch]
            self._files.write(result, self._all_logs, first_fetches)

    # -- pulls -----------------------------------------------------------------------------------

    def _build(self) -> None:
        spec, assignment = self.assignment.spec, self.assignment
        inbox = f"_INBOX.{secrets.token_hex(6)}"
        indices: list[list[int]] = [[] for _ in spec.by_class()]
        for index in range(assignment.first, assignment.first + assignment.count):
            indices[spec.class_of(index)].append(index)
        # A connection carries pulls of one class, so that all of its pulls are as large.
        for of_class, members in zip(spec.by_class(), indices, strict=True):
            if members:
                self._build_class(of_class, members, inbox)

    def _build_class(self, of_class: RunSpec, indices: list[int], inbox: str) -> None:
        """Make the pullers and connections of consumers that poll alike."""
        spec, consumers = self.assignment.spec, of_class.consumers
        size = PullSize.of(of_class)
        habit = Habit(
            PollSchedule.of(of_class),
            batch_size=consumers.batch_size,
            drain=consumers.fetch == "drain",
        )
        if consumers.classes:
            [own] = consumers.classes
            self._habits[own.name] = habit
            habit.terminates = own.terminates if own.terminate_pct else None
        of_connections = iter(indices)
        for share in shares_of(of_class, len(indices)):
            gate = Gate(size.pulls_at_a_time)
            sids: dict[bytes, Puller] = {}
            connection = self._new_connection(gate, habit, sids, len(self._connections))
            self._connections[gate] = connection
            for index in islice(of_connections, share):
                durable = spec.durable_of(index)
                own_inbox = f"{inbox}.{index}"
                request = request_of(
                    spec.stream.name, durable, own_inbox, size.batch_size, size.stated_bytes_max
                )
                puller = Puller(DeliveryLog(index, durable), gate, request, habit)
                self._pullers.append(puller)
                sids[connection.subscribe(own_inbox, _pass_by, wants_payload=False)] = puller

    def _new_connection(
        self, gate: Gate, habit: Habit, sids: dict[bytes, Puller], number: int
    ) -> NatsConnection:
        def write(data: bytes) -> None:
            connection.write(data)

        connection = NatsConnection(
            self._address,
            name=f"fpaas-consumers-{self.assignment.worker}-{number}",
            on_connected=functools.partial(self._connected, gate),
            on_disconnected=functools.partial(self._disconnected, gate),
            make_parser=functools.partial(
                DeliveryParser,
                pullers=sids,
                deliveries=self._deliveries,
                habit=habit,
                write=write,
                on_answered=self._answered,
                clock=common_time.clock(),
            ),
            # Of a cluster's servers, each gets its part of the connections.
            turn=self.assignment.worker + number,
        )
        return connection

    def _peers(self) -> list[NatsPeer]:
        """Watch one connection to each server: what one server does to it, it does to all."""
        by_server = {c.server: c for c in self._connections.values()}
        return [NatsPeer(connection) for connection in by_server.values()]

    def _connected(self, gate: Gate) -> None:
        if self._is_holding:
            # All connections go on together, with the stream that is there then.
            return
        self._polling.connection_up(gate, common_time.now_ns())
        self._send()

    def _disconnected(self, gate: Gate) -> None:
        now = common_time.now_ns()
        self._polling.connection_lost(gate, now)
        self._set_timer()
        is_new = not self._outages or self._outages[-1].resumed_unix_ns is not None
        if is_new and len(self._outages) < OUTAGES_MAX:
            self._outages.append(WorkerOutage(now))
        self._look_after_durables()

    # -- a stream that is lost -------------------------------------------------------------------

    @property
    def _is_holding(self) -> bool:
        """Whether polls wait until it is known which stream is there.

        Of a stream that outlives a server, only once it is known to be another one.
        """
        is_looking = self._recovering is not None and not self._recovering.done()
        return is_looking and not self.assignment.spec.survives_a_server

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
        now = common_time.now_ns()
        for gate, connection in self._connections.items():
            if connection.connected.is_set() and not gate.is_open:
                self._polling.connection_up(gate, now)
        for outage in self._outages[-1:]:
            outage.resumed_unix_ns = outage.resumed_unix_ns or now
        self._send()
        self._set_timer()

    def _begin_stream(self, lost: str | None, now: int) -> None:
        self._earlier_logs += self._logs
        self._earlier_first_fetches.append(self._deliveries.first_fetch)
        self._streams.append(lost)
        self._polling.begin_stream(len(self._streams), now)
        self._deliveries.begin_stream()
        if self._files:
            self._files.begin_stream(self._logs, len(self._streams))

    def _note_made_again(self) -> None:
        if not self._files:
            return
        now = common_time.now_ns()
        began = min([now, *(outage.lost_unix_ns for outage in self._outages[-1:])])
        parameters: dict[str, Value] = {
            "created": self._keeper.created,
            "durables": len(self._keeper.durables),
        }
        with EventLog(self._files.events_path) as events:
            events.begin(DURABLES_MADE_AGAIN, began, parameters, end_unix_ns=now)

    def _tell_progress(self) -> None:
        """Say how far the consumers are; see fpaas.jetstream.progress."""
        spec, assignment = self.assignment.spec, self.assignment
        of_all = max if spec.consumers.delivery == "shared" else min
        said = Progress(
            first=assignment.first,
            consumers=assignment.count,
            created=self._keeper.created,
            reached=of_all(log.reached for log in self._logs),
        )
        payload = msgspec.json.encode(said)
        subject = progress.subject(spec.run_id).encode()
        connection = next(iter(self._connections.values()))
        connection.write(b"PUB %s %d\r\n%s\r\n" % (subject, len(payload), payload))

    def _answered(self, puller: Puller, status_header: bytes, now: int) -> None:
        self._polling.pull_answered(puller, status_header, now)
        self._send()
        self._set_timer()
        if status_header.startswith(_GONE):
            self._look_after_refusal()

    def _look_after_refusal(self) -> None:
        """Find out whether stream and durables are gone though NATS is there, once a second."""
        now_s = time.monotonic()
        if now_s >= self._looked_s + LOOK_INTERVAL_S:
            self._looked_s = now_s
            self._look_after_durables()

    def _wake(self) -> None:
        self._timer = None
        self._polling.start_due(common_time.now_ns())
        self._send()
        self._set_timer()

    def _send(self) -> None:
        gates = self._polling.to_send
        if gates:
            for gate in gates:
                self._connections[gate].write(b"".join(gate.outbox))
                gate.outbox.clear()
            gates.clear()

    def _set_timer(self) -> None:
        """Wake when the next poll is due; one timer for all consumers."""
        due = self._polling.next_due_unix_ns
        if self._started_unix_ns is None or due is None:
            return
        if self._timer is not None:
            if self._timer_due_unix_ns <= due:
                return
            self._timer.cancel()
        # The loop's timers tick in milliseconds and round: up, or it would spin.
        delay_s = max(0.0, (due - common_time.now_ns()) / 1e9) + 0.0005
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)
        self._timer_due_unix_ns = due

    async def _let_pulls_end(self, seconds: float) -> None:
        now = common_time.now_ns()
        self._polling.stop(now)
        self._stopped_unix_ns = min(now, self.assignment.spec.end_unix_ns)
        deadline = time.monotonic() + seconds
        while self._polling.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    @property
    def _logs(self) -> list[DeliveryLog]:
        return [puller.log for puller in self._pullers]

    @property
    def _all_logs(self) -> list[DeliveryLog]:
        """Those of streams that were lost first."""
        return [*self._earlier_logs, *self._logs]

    # -- accounts --------------------------------------------------------------------------------

    def _calls(self) -> list[CallRecorder]:
        return [*self._polling.timings.recorders, self._loop_lag]

    def _recorders(self) -> list[LoggedRecorder]:
        deliveries = self._deliveries
        return [deliveries.publish_to_fetch, deliveries.end_to_end, *self._calls()]

    def _tick(self, on_tick: Callable[[Figures], None]) -> None:
        self._polling.expire(common_time.now_ns())
        self._send()
        self._set_timer()
        figures = self._update_figures()
        if self._files:
            open_calls = calls.sampled(self._calls(), common_time.now_ns())
            self._files.end_interval(figures, self._result(complete=False), open_calls)
        else:
            for recorder in self._calls():
                recorder.forget()
            for ages in (self._deliveries.publish_to_fetch, self._deliveries.end_to_end):
                ages.samples_ns = []
        self._tell_new_statuses()
        self._tell_progress()
        on_tick(figures)

    def _update_figures(self) -> Figures:
        figures, deliveries = self._figures, self._deliveries
        fetches = self._polling.fetches()
        figures.fetch_latency.add_ns(self._polling.timings.fetch_call.samples_ns)
        figures.poll_lateness.add_ns(self._polling.timings.poll_lateness.samples_ns)
        for name in ("processed", "bytes", "acks", "redelivered"):
            setattr(figures, name, getattr(deliveries, name))
        figures.polls = self._polling.polls
        for name in ("ok", "empty", "refused", "client_timeout", "lost"):
            setattr(figures, name, getattr(fetches, name))
        figures.by_status = dict(fetches.by_status)
        connections = self._connections.values()
        figures.connections = sum(c.connected.is_set() for c in connections)
        figures.connection_errors = sum(c.errors for c in connections)
        figures.reconnects = sum(max(0, c.connects - 1) for c in connections)
        figures.slow_consumer_disconnects = sum(c.disconnects_slow_consumer for c in connections)
        return figures

    def _tell_new_statuses(self) -> None:
        for status in self._figures.by_status.keys() - self._statuses_told:
            self._statuses_told.add(status)
            if status not in ("404", "408"):
                log.warning("the server answers pulls with %s", status)

    def _result(self, *, complete: bool) -> WorkerResult:
        """Return `consumers-W.json` as of now; what is known at the end only, if `complete`."""
        deliveries, figures = self._deliveries, self._figures
        round_trips_s = [c.round_trip_s for c in self._connections.values() if c.round_trip_s]
        return WorkerResult(
            worker=self.assignment.worker,
            first=self.assignment.first,
            count=self.assignment.count,
            processed=deliveries.processed,
            bytes=deliveries.bytes,
            redelivered=deliveries.redelivered,
            duplicate_deliveries=duplicate_deliveries(self._all_logs) if complete else None,
            polls=self._polling.polls,
            acks=deliveries.acks,
            consumers_never_fetched=self._never_fetched(),
            fetches=self._polling.fetches(),
            by_class={
                name: ClassFetches(habit.polls, habit.fetches, habit.terminated)
                for name, habit in self._habits.items()
            },
            connections=Connections(
                count=len(self._connections),
                errors=figures.connection_errors,
                reconnects=figures.reconnects,
                slow_consumer_disconnects=figures.slow_consumer_disconnects,
            ),
            first_poll_unix_ns=self._polling.first_poll_unix_ns,
            started_unix_ns=self._started_unix_ns,
            nats_rtt_ms=min(round_trips_s) * 1000 if round_trips_s else None,
            polls_until_unix_ns=self._stopped_unix_ns,
            polls_from_unix_ns=self._polls_from_unix_ns,
            complete=complete,
            streams=[*self._streams, self._keeper.created],
            nats_outages=self._outages,
        )

    def _never_fetched(self) -> int:
        fetched = {log.consumer_index for log in self._all_logs if log.runs}
        return self.assignment.count - len(fetched)


def _pass_by(_subject: bytes, _reply: bytes, _header: bytes, _payload: bytes, _size: int) -> None:
    """Stand in as handler of inboxes, which the delivery parser reads itself."""


def shares_of(of_class: RunSpec, count: int) -> list[int]:
    """Return how many of a worker's consumers of one class are on each of its connections."""
    if of_class.consumers.connections == "per_consumer":
        return [1] * count
    return spread(count, PullSize.of(of_class).pulls_at_a_time, CONNECTIONS_MAX)


def address_of(nats_url: str) -> NatsAddress:
    """Return where NATS is, with what the environment says. Raises BadInput."""
    try:
        return address_from_environment(nats_url)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _allow_open_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RunInvalid(
            f"{needed} open files are needed and {hard} allowed here; raise the limit (ulimit -n), "
            "or set bench_connections to auto"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
