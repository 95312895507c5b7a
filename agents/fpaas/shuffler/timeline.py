"""Shuffles one run: connects before T0, reads until the last event due has its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

from fpaas import agent, common_time
from fpaas.errors import BadInput, RunInvalid
from fpaas.firehose.due_times import due_times
from fpaas.firehose.relay_errors import RelayError
from fpaas.firehose.subscription import Patience
from fpaas.jetstream import asked, progress
from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError
from fpaas.jetstream.nats_connection import NatsError
from fpaas.jetstream.progress import Listener
from fpaas.measures.calls import Bins
from fpaas.measures.intervals import IntervalSet
from fpaas.records import events
from fpaas.records.events import (
    AGENT_RESTARTED,
    NATS_RECONNECTED,
    RELAY_RECONNECTED,
    EventLog,
    EventRecord,
)
from fpaas.records.shuffler import NAME
from fpaas.records.status import State
from fpaas.shuffler import run_cursor, stream_reader
from fpaas.shuffler.cursor_places import CursorBucket
from fpaas.shuffler.kept_frames import KeptFrames
from fpaas.shuffler.life_before import LifeBefore
from fpaas.shuffler.relay_peer import RelayPeer
from fpaas.shuffler.run_files import Left, RunFiles
from fpaas.shuffler.shuffler import Endpoints, Shuffler
from fpaas.shuffler.stream_peer import StreamPeer
from fpaas.shuffler.subjects import ClassesOf
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.watch.lost_connections import LostConnections
from fpaas.watch.nats_peer import NatsPeer
from fpaas.watch.watch import Peer, watch

log = logging.getLogger(__name__)

AGENT = "shuffler"
NATS_PATIENCE_S = 10.0
#: How often a run looks whether it is done.
DONE_CHECK_S = 0.05
#: On SIGTERM, what is in flight gets this long to be answered.
STOP_DRAIN_S = 2.0
BACKOFF_MAX_OWN_RELAY_S = 1.0
#: At the end, NATS gets this long to tell what it never answered.
SETTLE_TIMEOUT_S = 5.0
#: For this long, a shuffler that is started again may repeat publishes of the one before.
IN_DOUBT_S = 10.0


async def run(spec: RunSpec, directory: Path, endpoints: Endpoints) -> None:
    """Shuffle one run.

    Raises RunInvalid if a side could not be connected or a file not be written, BadInput if
    the metrics' port is taken.
    """
    stop = agent.stop_event()
    status = agent.Status(directory, AGENT)
    status.set(State.STARTING)
    try:
        begin = await _Begin.find(spec, directory, endpoints)
        await _Run(spec, directory, endpoints, status, stop, begin=begin).play()
    except (BadInput, RunInvalid) as error:
        status.set(State.FAILED, error.message)
        raise
    status.set(State.STOPPED if stop.is_set() else State.DONE)


class _Begin(NamedTuple):
    """Where a shuffler begins in its run."""

    #: Files of one that was killed.
    left: Left | None
    #: It goes on after this; None: at the run's beginning.
    after: int | None
    bucket: CursorBucket | None

    @classmethod
    async def find(cls, spec: RunSpec, directory: Path, endpoints: Endpoints) -> _Begin:
        """Find it out. Raises RunInvalid if what one left cannot be read."""
        if spec.stream.is_split and (directory / NAME).exists():
            raise RunInvalid(
                f"{directory}: a shuffler was here before, and none goes on with bench_streams="
                f"{spec.stream.count}; play the run again"
            )
        left = Left.load(directory)
        after = None if left is None else left.result.last_cursor
        bucket = run_cursor.bucket_of(spec, endpoints.relay_url, endpoints.nats)
        if bucket is not None and left is None:
            await bucket.renew()
        elif bucket is not None:
            with EventLog(directory / f"{AGENT}.{events.SUFFIX}") as event_log:
                after = await run_cursor.go_on_after(bucket, after, event_log)
        return cls(left, after, bucket)


class _Run:
    """The timeline of one run."""

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        endpoints: Endpoints,
        status: agent.Status,
        stop: asyncio.Event,
        *,
        begin: _Begin,
    ) -> None:
        first_seq = spec.firehose.first_seq
        after = begin.after
        if after is None and first_seq is not None:
            after = first_seq - 1
        self._bucket = begin.bucket
        self._in_doubt_until_s: float | None = None
        self._spec = spec
        self._status = status
        self._stop = stop
        frames_due = spec.frames_due()
        self._last_seq = (
            None if first_seq is None or frames_due is None else first_seq + frames_due - 1
        )
        self._events_path = directory / f"{AGENT}.{events.SUFFIX}"
        self._restart: EventRecord | None = None
        self._kept_frames = KeptFrames(directory, EventLog(self._events_path))
        self._listener = Listener(spec.consumers.count, shared=spec.consumers.delivery == "shared")
        self._shuffler = Shuffler(
            endpoints,
            after=after,
            partitions=spec.partitions,
            streams=spec.stream.names,
            writer=(begin.left and begin.left.result.writer) or None,
            keep_dids=True,
            classes_of=ClassesOf(spec.consumers.classes) if spec.has_filters else None,
            contiguous=first_seq is not None,
            due_ns=due_times(spec),
            bins=Bins(spec.t0_unix_ns, spec.cuts_unix_ns),
            patience=patience_of(spec),
            kept_frames=self._kept_frames,
            asked=asked.stream(spec),
            listener=self._listener,
        )
        connection = self._shuffler.publisher.connection
        connection.subscribe(progress.subject(spec.run_id), self._told, wants_payload=True)
        if self._bucket is not None:
            self._bucket.write_through(connection)
        self._life_before: LifeBefore | None = None
        self._go_on(begin)
        self._files = RunFiles(directory, self._shuffler, goes_on=begin.left is not None)
        self._nats = endpoints.nats

    def _go_on(self, begin: _Begin) -> None:
        """Go on where a shuffler was killed, or, too late for T0, where one may have begun."""
        left, after = begin.left, begin.after
        shuffler = self._shuffler
        account, window = shuffler.account, shuffler.publisher.window
        if left is not None:
            account.restore(left.result, left.dids, left.classes)
            shuffler.left = left.result
            shuffler.recovery.goes_on = True
            if after is not None:
                # Events that have their outcome, and are read again.
                window.settled_before = account.outcomes().difference(IntervalSet([(0, after)]))
            self._life_before = LifeBefore(shuffler.publisher, account)
            shuffler.reader.recorded_to = left.result.read.last or -1
            if left.result.numbering is not None and after is not None:
                shuffler.reader.numbering.go_on(left.result.numbering, after)
            with EventLog(self._events_path) as event_log:
                self._restart = event_log.begin(AGENT_RESTARTED, common_time.now_ns(), {})
        if common_time.now_ns() >= self._spec.t0_unix_ns:
            window.floor_before = account.last_stream_seq
            self._in_doubt_until_s = time.monotonic() + IN_DOUBT_S

    def _told(self, _s: bytes, _r: bytes, _h: bytes, payload: bytes, _size: int) -> None:
        self._listener.take(payload)

    async def play(self) -> None:
        shuffler = self._shuffler
        reader, publisher = shuffler.reader, shuffler.publisher
        left_s = (self._spec.end_unix_ns - common_time.now_ns()) / NS_PER_S
        has_begun = common_time.now_ns() >= self._spec.t0_unix_ns
        try:
            # In a run that goes on, NATS may be away for a while.
            await publisher.connect(max(left_s, NATS_PATIENCE_S) if has_begun else NATS_PATIENCE_S)
        except NatsError as error:
            raise RunInvalid(f"{error}; is NATS running there?") from error
        reader.listening.discarding = self._last_seq is None
        reader.subscription.expects_events = False
        event_log = shuffler.recovery.events = EventLog(self._events_path)
        publisher.lost_connections = LostConnections(NATS_RECONNECTED, event_log)
        reader.lost_connections = LostConnections(RELAY_RECONNECTED, event_log)
        peers: list[Peer] = [
            NatsPeer(publisher.connection),
            StreamPeer(publisher, shuffler.account),
            RelayPeer(reader),
        ]
        watching = asyncio.ensure_future(
            watch(
                self._events_path, peers, shuffler.loop_lag, agent.wakes_from(self._spec.t0_unix_ns)
            )
        )
        # Before anything is read: killed at any time, it leaves an account.
        self._tick()
        timeline = asyncio.ensure_future(self._timeline())
        reading = asyncio.ensure_future(reader.run())
        restarting = asyncio.ensure_future(self._note_restarted())
        settling = asyncio.ensure_future(shuffler.settled_reader.run())
        background = [reading, watching, timeline, restarting, settling]
        agent.keep_what_is_here()
        try:
            while not timeline.done():
                spec = self._spec
                tick_s = agent.seconds_to_next_tick(spec.t0_unix_ns, spec.cuts_unix_ns)
                await asyncio.wait(
                    [timeline, reading], timeout=tick_s, return_when=asyncio.FIRST_COMPLETED
                )
                self._tick()
                _check_reading(reading)
            timeline.result()
            watching.cancel()
            settling.cancel()
            await self._settle()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            if self._stop.is_set():
                await publisher.drain(STOP_DRAIN_S)
            cursor = reader.position
            if self._bucket is not None:
                self._bucket.save(cursor)
                await self._bucket.close()
            await publisher.close()
            if self._life_before is not None:
                self._life_before.give_up()
            self._kept_frames.close()
            self._files.close(cursor)

    async def _timeline(self) -> None:
        """Wait until the run is over for the shuffler."""
        reader, stop = self._shuffler.reader, self._stop
        if not await self._until_t0():
            return
        # Whether there is a relay or not: one that comes late was silent until then.
        reader.listening.discarding = False
        reader.subscription.expects_events = True
        self._status.set(State.RUNNING)
        while not stop.is_set() and not self._over():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), DONE_CHECK_S)
        has_read = reader.subscription.connects or self._life_before is not None
        if not stop.is_set() and not has_read:
            raise RunInvalid(
                f"the relay could not be read in the whole run: {reader.subscription.last_error}"
            )

    async def _note_restarted(self) -> None:
        """Note when one that was started again reads again."""
        await self._shuffler.reader.connected.wait()
        if self._restart is not None:
            with EventLog(self._events_path) as event_log:
                event_log.end(self._restart, common_time.now_ns(), {})

    async def _until_t0(self) -> bool:
        """Wait for T0, ready once there is a relay; returns whether the run begins."""
        begun = asyncio.ensure_future(agent.sleep_until_unix_ns(self._spec.t0_unix_ns, self._stop))
        connected = asyncio.ensure_future(self._shuffler.reader.connected.wait())
        await asyncio.wait([begun, connected], return_when=asyncio.FIRST_COMPLETED)
        if connected.done() and not begun.done():
            self._status.set(State.READY)
        connected.cancel()
        return await begun

    def _over(self) -> bool:
        now_ns = common_time.now_ns()
        reader = self._shuffler.reader
        if now_ns < self._spec.offer_until_unix_ns:
            return False
        if self._last_seq is None:
            reader.take_no_more()
        if now_ns >= self._spec.end_unix_ns:
            return True
        if self._last_seq is not None and (reader.last_read or 0) < self._last_seq:
            return False
        publisher = self._shuffler.publisher
        return publisher.is_idle

    async def _settle(self) -> None:
        """Read what no answer told from the stream, if NATS is there and the run has ended."""
        if self._stop.is_set() or not self._shuffler.publisher.connection.connected.is_set():
            return
        api = JetStreamApi(self._nats, name="fpaas-shuffler-reader")
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                await api.connection.connect_patiently(SETTLE_TIMEOUT_S)
                # A server that stood still until now answers what waited before it is read.
                await self._shuffler.publisher.drain(STOP_DRAIN_S)
                account, window = self._shuffler.account, self._shuffler.publisher.window
                for number, name in enumerate(self._spec.stream.names):
                    await stream_reader.settle(
                        api, name, account, window, self._life_before, number=number
                    )
                    await stream_reader.read_settled(
                        api, name, account, window, number=number, reads_max=stream_reader.READS_MAX
                    )
        except (JetStreamError, NatsError, TimeoutError) as error:
            log.warning("the stream was not read at the end: %s", error or "no answer in time")
        finally:
            await api.close()

    def _tick(self) -> None:
        self._shuffler.tick()
        cursor = self._shuffler.reader.position
        self._files.tick(cursor)
        if self._bucket is not None:
            # Behind the account, which has to know what became of everything up to it.
            self._bucket.save(cursor)
            self._shuffler.cursor_errors = self._bucket.errors
        if self._in_doubt_until_s is not None and time.monotonic() > self._in_doubt_until_s:
            self._shuffler.publisher.window.floor_before = self._in_doubt_until_s = None
        self._status.figures = self._shuffler.figures()
        reader = self._shuffler.reader
        self._status.message = self._files.last_error or (
            "" if reader.connected.is_set() else reader.subscription.last_error
        )
        self._status.write()


def _check_reading(reading: asyncio.Future[None]) -> None:
    """Raise RunInvalid if the relay cannot be read any more."""
    if reading.done():
        try:
            reading.result()
        except RelayError as error:
            raise RunInvalid(f"{error}; another try cannot help") from error


def patience_of(spec: RunSpec) -> Patience:
    """Return how long a run waits for its relay: nobody else needs ours to be spared."""
    firehose = spec.firehose
    if firehose.rate_per_s is None:
        return Patience(stuck_s=firehose.stuck_s)
    return Patience(BACKOFF_MAX_OWN_RELAY_S, firehose.stuck_s, firehose.slowest_per_s)
