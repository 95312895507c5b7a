"""Plays consumers in one process, from connecting to their files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import msgspec

from fpaas import agent, common_time
from fpaas.consumers import predecessors
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_figures import Figures
from fpaas.consumers.consumer_files import ConsumerFiles
from fpaas.consumers.deliveries import Deliveries
from fpaas.consumers.joining import Joining
from fpaas.consumers.ordering import Ordering
from fpaas.consumers.polling import Polling
from fpaas.consumers.pull_connections import PullConnections
from fpaas.consumers.puller import Gate, Puller
from fpaas.consumers.stream_changes import StreamChanges
from fpaas.consumers.subscribing import Subscribing
from fpaas.consumers.work import Work
from fpaas.consumers.worker_account import WorkerAccount
from fpaas.firehose.pace import pace_of
from fpaas.jetstream import progress
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.histogram_log import LoggedRecorder
from fpaas.records import calls
from fpaas.records.events import NATS_RECONNECTED, EventLog
from fpaas.spec import NS_PER_S, kinds
from fpaas.watch.lost_connections import LostConnections
from fpaas.watch.watch import watch

log = logging.getLogger(__name__)

#: How long pulls in flight may take after the end; the run settles in spec.SETTLE_S.
GRACE_S = 1.0
GRACE_AFTER_STOP_S = 0.5


_DRIVERS = {kinds.PULL: Polling, kinds.PUSH: Subscribing, kinds.ORDERED: Ordering}


class ConsumerWorker:
    """Plays an Assignment: `connect`, then `play`, then `finish`."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        spec = assignment.spec
        firehose = spec.firehose
        rate_per_s = None if firehose.rate_steps else firehose.rate_per_s
        self._deliveries = Deliveries(
            t0_unix_ns=spec.t0_unix_ns,
            first_seq=firehose.first_seq or 0,
            frame_interval_ns=NS_PER_S / rate_per_s if rate_per_s else None,
            due_ns=pace_of(firehose).due_ns if firehose.rate_steps else None,
            keeps_first_fetch=assignment.out is not None,
            streams=spec.stream.count,
        )
        self._work = Work(round(spec.consumers.ack_wait_s * NS_PER_S), self._set_timer)
        self._connections = PullConnections(
            assignment,
            self._deliveries,
            self._work,
            on_connected=self._connected,
            on_disconnected=self._disconnected,
            on_answered=self._answered,
            on_missed=self._missed,
            on_made=self._made,
        )
        bins = Bins(spec.t0_unix_ns, spec.cuts_unix_ns) if assignment.out else None
        polls_from_unix_ns = common_time.now_ns() if assignment.goes_on else None
        self._polling = _DRIVERS[spec.consumers.kind](
            self._connections.pullers,
            until_unix_ns=spec.end_unix_ns,
            bins=bins,
            from_unix_ns=polls_from_unix_ns or 0,
            takes_time=any(one.processing_ms for one in spec.consumers.classes),
        )
        if isinstance(self._polling, Ordering):
            self._polling.serve(spec, assignment.worker)
        self._polling.watch(common_time.now_ns)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_unix_ns = 0
        self._statuses_told: set[str] = set()
        self._loop_lag = CallRecorder("loop_lag", bins)
        self._files = ConsumerFiles(assignment.out, assignment.worker) if assignment.out else None
        self._lost_connections = LostConnections(
            NATS_RECONNECTED, EventLog(self._files.events_path) if self._files else None
        )
        self._changes = StreamChanges(
            assignment,
            self._connections,
            self._polling,
            self._deliveries,
            work=self._work,
            files=self._files,
            on_resumed=self._send_and_wait,
            on_joined=self._keep_account,
        )
        self._joining = Joining(assignment, [*self._connections.by_gate], self._changes)
        self._account = WorkerAccount(
            assignment,
            self._connections,
            self._polling,
            self._deliveries,
            self._changes,
            Figures(consumers=assignment.count),
            polls_from_unix_ns,
        )

    # -- life cycle ------------------------------------------------------------------------------

    async def connect(self, stop: asyncio.Event) -> bool:
        """Connect and subscribe; returns False if `stop` came first.

        Raises RunInvalid if NATS does not let us.
        """
        connecting = asyncio.ensure_future(self._connect())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not connecting.done():
            connecting.cancel()
            return False
        await connecting
        agent.keep_what_is_here()
        return True

    async def _connect(self) -> None:
        out, polling = self.assignment.out, self._polling
        if self.assignment.goes_on and out is not None and isinstance(polling, Ordering):
            # Only its predecessors know how far they were, and in which stream.
            await self._changes.look_first()
            worker, created = self.assignment.worker, self._changes.created
            durable_of = self.assignment.spec.durable_of
            polling.go_on(predecessors.logs_of_stream(out, worker, created, durable_of))
        await self._connections.connect()
        await self._changes.look_first()

    async def play(self, stop: asyncio.Event, on_tick: Callable[[Figures], None]) -> None:
        """Poll from T0 to the end of the run or until `stop`; `on_tick` is called every second.

        Raises OSError if results cannot be written.
        """
        goes_on = self.assignment.goes_on
        watched_from = common_time.now_ns() if goes_on else self.assignment.spec.t0_unix_ns
        watching = asyncio.ensure_future(
            watch(self._files.events_path, self._connections.peers(), self._loop_lag, watched_from)
            if self._files
            else agent.measure_loop_lag(self._loop_lag, watched_from)
        )
        try:
            if await agent.sleep_until_unix_ns(self.assignment.spec.t0_unix_ns, stop):
                self._account.started_unix_ns = watched_from if goes_on else common_time.now_ns()
                await self._play(watching, stop, on_tick)
        finally:
            watching.cancel()

    async def _play(
        self,
        watching: asyncio.Future[None],
        stop: asyncio.Event,
        on_tick: Callable[[Figures], None],
    ) -> None:
        spec = self.assignment.spec
        if self._files:
            self._files.open(self._recorders(), self._connections.logs)
        joining = asyncio.ensure_future(self._joining.run(stop))
        try:
            self._wake()
            # Before anything is delivered: killed at any time, it leaves an account.
            self._tick(on_tick)
            while not stop.is_set() and common_time.now_ns() < spec.end_unix_ns:
                tick_s = agent.seconds_to_next_tick(spec.t0_unix_ns, spec.cuts_unix_ns)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), tick_s)
                self._tick(on_tick)
            await self._let_pulls_end(GRACE_AFTER_STOP_S if stop.is_set() else GRACE_S)
        finally:
            watching.cancel()
            joining.cancel()
            # Its open wake-ups count with the last second.
            await asyncio.wait([watching, joining])
            self._polling.abandon(common_time.now_ns())
            self._work.abandon()
        if not joining.cancelled():
            joining.result()
        self._tick(on_tick)

    async def finish(self) -> None:
        """Disconnect and write the files. Raises OSError if they cannot be written."""
        if self._timer:
            self._timer.cancel()
        self._changes.stop()
        await self._connections.close()
        if self._files and self._account.started_unix_ns is not None:
            for consumer_log in self._connections.logs:
                consumer_log.end_run()
            self._files.write(
                self._account.result(complete=True),
                self._changes.all_logs,
                self._changes.first_fetches,
            )

    # -- connections and pulls -------------------------------------------------------------------

    def _connected(self, gate: Gate) -> None:
        self._lost_connections.made(gate)
        if self._changes.is_holding or gate in self._changes.waiting:
            # All connections go on together, with the stream that is there then.
            return
        self._polling.connection_up(gate, common_time.now_ns())
        self._changes.connected()
        self._send()

    def _disconnected(self, gate: Gate) -> None:
        now = common_time.now_ns()
        connection = self._connections.by_gate[gate]
        told = {"server": str(connection.server), "cause": connection.last_error}
        self._lost_connections.lost(gate, told)
        self._polling.connection_lost(gate, now)
        self._set_timer()
        self._changes.disconnected(now)

    def _answered(self, puller: Puller, status_header: bytes, now: int) -> None:
        self._polling.pull_answered(puller, status_header, now)
        self._send_and_wait()
        self._changes.answered(status_header)

    def _missed(self, puller: Puller, now: int) -> None:
        if isinstance(self._polling, Ordering):
            self._polling.missed(puller, now)
            self._send()

    def _made(self, subject: bytes, answer: bytes) -> None:
        if isinstance(self._polling, Ordering):
            self._polling.made(subject, answer, common_time.now_ns())

    def _wake(self) -> None:
        self._timer = None
        now = common_time.now_ns()
        self._connections.answer_due(now)
        self._polling.start_due(now)
        self._send_and_wait()

    def _send_and_wait(self) -> None:
        self._send()
        self._set_timer()

    def _send(self) -> None:
        self._connections.send(self._polling.to_send)

    def _set_timer(self) -> None:
        """Wake when the next poll or answer is due; one timer for all consumers."""
        both = (self._polling.next_due_unix_ns, self._work.next_unix_ns)
        due = min((one for one in both if one is not None), default=None)
        if self._account.started_unix_ns is None or due is None:
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
        self._account.stopped_unix_ns = min(now, self.assignment.spec.end_unix_ns)
        deadline = time.monotonic() + seconds
        if self.assignment.spec.consumers.is_pushed:
            self._send()
            self._connections.ping()
        while self._may_receive() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._connections.answer_due(common_time.now_ns())

    def _may_receive(self) -> bool:
        """Whether there is more to come, though nobody asks for more."""
        if self.assignment.spec.consumers.is_pushed:
            return self._connections.awaits_pongs
        return self._polling.in_flight > 0

    # -- every second ----------------------------------------------------------------------------

    def _calls(self) -> list[CallRecorder]:
        own = (one for habit in self._polling.habits for one in habit.pull_timings[1:])
        return [
            *self._polling.timings.recorders,
            *(recorder for one in own for recorder in one.recorders),
            self._loop_lag,
        ]

    def _recorders(self) -> list[LoggedRecorder]:
        return [*self._deliveries.recorders, *self._calls()]

    def _tick(self, on_tick: Callable[[Figures], None]) -> None:
        self._polling.expire(common_time.now_ns())
        self._send_and_wait()
        figures = self._account.update_figures()
        self._deliveries.add_up_classes()
        if self._files:
            open_calls = calls.sampled(self._calls(), common_time.now_ns())
            self._files.end_interval(figures, self._account.result(complete=False), open_calls)
        else:
            for recorder in self._calls():
                recorder.forget()
            for ages in self._deliveries.recorders:
                ages.samples_ns = []
        self._tell_new_statuses(figures)
        self._tell_progress()
        on_tick(figures)

    def _keep_account(self) -> None:
        if self._files:
            self._account.update_figures()
            self._files.keep(self._account.result(complete=False))

    def _tell_progress(self) -> None:
        payload = msgspec.json.encode(self._account.progress())
        subject = progress.subject(self.assignment.spec.run_id).encode()
        connection = next(iter(self._connections.by_gate.values()))
        connection.write(b"PUB %s %d\r\n%s\r\n" % (subject, len(payload), payload))

    def _tell_new_statuses(self, figures: Figures) -> None:
        for status in figures.by_status.keys() - self._statuses_told:
            self._statuses_told.add(status)
            if status not in ("404", "408"):
                log.warning("the server answers pulls with %s", status)
