"""The shuffler agent: publishes a relay's firehose into the stream, for a run or for good.

In a run it connects before T0, reads what the relay offers until the last event due has its
outcome, and leaves the account of every event in the run directory. Without a run it goes on until
it is stopped, and may keep its cursor in a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from sys import byteorder

from prometheus_client import CollectorRegistry

from fpaas import agent, common_time, metrics
from fpaas.errors import BadInput, RunInvalid
from fpaas.firehose.pace import AtRate
from fpaas.firehose.relay_client import RelayError
from fpaas.firehose.renumbering import index_of, numberings
from fpaas.firehose.subscription import Patience
from fpaas.jetstream import asked, progress
from fpaas.jetstream.asked import Config
from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError
from fpaas.jetstream.nats_address import NatsAddress
from fpaas.jetstream.nats_connection import NatsError
from fpaas.jetstream.progress import Listener
from fpaas.jetstream.stream_keeper import StreamKeeper
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.histogram_log import HistogramLog
from fpaas.measures.intervals import IntervalSet
from fpaas.records import calls, events, files
from fpaas.records import shuffler as records
from fpaas.records.calls import Calls
from fpaas.records.events import AGENT_RESTARTED, EventLog, EventRecord
from fpaas.records.fields import Number
from fpaas.records.shuffler import (
    NAME,
    SAMPLES,
    LostStream,
    NatsConnections,
    RelayConnections,
    ShufflerResult,
    ShufflerSample,
)
from fpaas.records.status import State, figures_of
from fpaas.shuffler import stream_reader
from fpaas.shuffler.cursor_places import CursorPlace
from fpaas.shuffler.kept_frames import KeptFrames
from fpaas.shuffler.publish_account import Account, StreamPlaces
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.recovery import Recovery
from fpaas.shuffler.relay_peer import RelayPeer
from fpaas.shuffler.relay_reader import RelayReader
from fpaas.shuffler.shuffler_metrics import AckHistogram, ShufflerCollector
from fpaas.shuffler.subjects import DEFAULT_PARTITIONS, Addresser, ClassesOf
from fpaas.spec import NS_PER_S, STREAM_NAME, RunSpec
from fpaas.watch.nats_peer import NatsPeer
from fpaas.watch.watch import Peer, watch

log = logging.getLogger(__name__)

AGENT = "shuffler"

NATS_PATIENCE_S = 10.0
TICK_S = 1.0
#: How often a run looks whether it is done.
DONE_CHECK_S = 0.05
#: On SIGTERM, what is in flight gets this long to be answered.
STOP_DRAIN_S = 2.0
BACKOFF_MAX_OWN_RELAY_S = 1.0
#: At the end, NATS gets this long to tell what it never answered.
SETTLE_TIMEOUT_S = 5.0
#: A shuffler that is started again may publish for so long what the one before had published.
IN_DOUBT_S = 10.0
#: So many of the last DIDs may not be known yet when they are written.
DIDS_LATE_MAX = 16_384
PROGRESS_INTERVAL_S = 30.0
FORGET_INTERVAL_S = 60.0


@dataclass(frozen=True)
class Endpoints:
    """What to connect, and where to serve metrics."""

    relay_url: str
    nats: NatsAddress
    metrics_listen: str


class Shuffler:
    """Account, publisher and reader, connected with each other and to metrics."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        after: int | None,
        partitions: int = DEFAULT_PARTITIONS,
        keep_dids: bool = False,
        classes_of: Callable[[bytes], int] | None = None,
        contiguous: bool = False,
        due_ns: Callable[[int], int] | None = None,
        bins: Bins | None = None,
        patience: Patience | None = None,
        kept_frames: KeptFrames | None = None,
        asked: Config | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.account = Account(keep_dids=keep_dids, classes_of=classes_of)
        self.publisher = Publisher(
            endpoints.nats, self.account, Addresser(partitions), due_ns=due_ns, bins=bins
        )
        self.reader = RelayReader(
            endpoints.relay_url,
            self.publisher,
            self.account,
            after=after,
            contiguous=contiguous,
            due_ns=due_ns,
            bins=bins,
            patience=patience,
            kept_frames=kept_frames,
        )
        self.recovery = Recovery(
            self.publisher,
            self.account,
            StreamKeeper(endpoints.nats, STREAM_NAME, asked, name="fpaas-shuffler-keeper"),
            relay_url=endpoints.relay_url,
            cursor=lambda: self.reader.position,
            numbering=lambda: self.reader.numbering,
            listener=listener,
        )
        self.publisher.recovery = self.recovery
        #: The account that a killed shuffler left, which this one goes on with.
        self.left: ShufflerResult | None = None
        #: How often the cursor could not be saved.
        self.cursor_errors = 0
        self.loop_lag = CallRecorder("loop_lag", bins)
        self._acks = AckHistogram(self.publisher.publish_ack)
        registry = CollectorRegistry()
        registry.register(
            ShufflerCollector(
                self.account,
                self.publisher,
                self.reader,
                self._acks,
                cursor_errors=lambda: self.cursor_errors,
            )
        )
        metrics.serve(registry, endpoints.metrics_listen)

    @property
    def recorders(self) -> list[CallRecorder]:
        """Every latency leg."""
        return [
            self.reader.due_to_read,
            self.publisher.publish_ack,
            self.publisher.due_to_ack,
            self.loop_lag,
        ]

    def tick(self) -> None:
        """Note where it is now; to be called once a second."""
        self.recovery.trail.note(time.monotonic(), self.reader.position)

    def count_acks(self) -> None:
        """Bring the metric of ack latency up to date; call it before the recorders are emptied."""
        self._acks.add()

    def sample(self, calls: Calls | None = None) -> ShufflerSample:
        """Return the running counts as of now."""
        account = self.account
        return ShufflerSample(
            unix_ns=common_time.now_ns(),
            read=account.read,
            published=account.published,
            duplicates=account.duplicates,
            failed=account.failed,
            unknown=account.unknown,
            in_flight=len(self.publisher.window.pending),
            last_seq=self.reader.last_read,
            last_stream_seq=account.last_stream_seq or None,
            relay_connects=self.reader.subscription.connects,
            nats_connects=self.publisher.connection.connects,
            calls=calls,
            lag_s=self.reader.lag_s,
            reading_paused_s=self.reader.paused_s,
            stream=len(account.lost_streams),
            replayed=account.replayed,
        )

    def figures(self) -> dict[str, Number]:
        """Return the running counts, as status and log show them."""
        return figures_of(self.sample())

    def result(self, cursor: int | None, *, complete: bool) -> ShufflerResult:
        """Return the account as of now; `complete`: it is the last one, and has sizes."""
        account, reader, left = self.account, self.reader, self.left
        connection = self.publisher.connection
        return ShufflerResult(
            read=account.read_seqs,
            published=account.published_seqs,
            duplicates=account.duplicate_seqs,
            failed=account.failed_seqs,
            unknown=account.unknown_seqs,
            undecodable_seqs=account.undecodable_seqs,
            undecodable=account.undecodable,
            ignored=account.ignored,
            ignored_seqs=account.ignored_seqs,
            reread=account.reread,
            settled=account.settled,
            stored_twice=account.stored_twice,
            copy_seqs=account.stream.copy_seqs,
            foreign=account.foreign,
            failures_by_reason=account.failures_by_reason,
            refusals_by_reason=account.refusals_by_reason,
            stream_seqs=_runs(account.stream.runs),
            stream_began_anew=self.publisher.window.stream_began_anew,
            message_bytes=account.message_bytes,
            relay_connections=RelayConnections(
                connects=reader.subscription.connects, errors=reader.subscription.errors
            ),
            nats_connections=NatsConnections(
                connects=connection.connects,
                errors=connection.errors,
                reconnects=max(connection.connects - 1, 0),
            ),
            last_cursor=cursor,
            complete=complete,
            quiet=[*((left and left.quiet) or ()), *reader.quiet()],
            gaps=[*(left.gaps if left else ()), *reader.gaps.found],
            gap_count=reader.gaps.count + (left.gap_count if left else 0),
            numbers_densely=reader.gaps.is_dense(account.read),
            seq_resets=reader.seq_resets + (left.seq_resets if left else 0),
            stream_created=account.stream.created,
            lost_streams=[
                LostStream(
                    created=lost.created,
                    stream_seqs=_runs(lost.runs),
                    presumed_seqs=_runs(lost.presumed),
                    copy_seqs=lost.copy_seqs,
                    noticed_unix_ns=lost.noticed_unix_ns,
                    rewound_to_seq=lost.rewound_to_seq,
                    oldest_seq=lost.oldest_seq,
                )
                for lost in account.lost_streams
            ],
            replayed_seqs=account.replayed_seqs,
            lives=1 if left is None else left.lives + 1,
            nats_outages=[*(left.nats_outages if left else ()), *self.publisher.outages],
        )


def _runs(runs: list[list[int]]) -> list[tuple[int, int, int]]:
    return [(seq, at, count) for seq, at, count in runs]


# -- a run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What a shuffler left that was killed: its account, and of each stream DIDs and classes.

    Classes are None if it did not keep them.
    """

    result: ShufflerResult
    dids: list[array[int]]
    classes: list[array[int] | None]

    @classmethod
    def load(cls, directory: Path) -> Left | None:
        """Read it; None if there is none. Raises RunInvalid if it cannot be read."""
        try:
            result = files.read(directory / NAME, ShufflerResult)
            numbers = [*range(len(result.lost_streams)), None]
            dids = [_read_seqs(directory / records.dids_name(n)) for n in numbers]
            paths = [directory / records.classes_name(n) for n in numbers]
            classes = [_read_seqs(path) if path.exists() else None for path in paths]
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunInvalid(f"{directory / NAME}: cannot be gone on with: {error}") from error
        return cls(result, dids, classes)


class RunFiles:
    """The shuffler's files in a run directory. Every write raises RunInvalid that names it.

    Whoever `goes_on` adds to those of a shuffler that was killed.
    """

    def __init__(self, directory: Path, shuffler: Shuffler, *, goes_on: bool) -> None:
        self._directory = directory
        self._shuffler = shuffler
        self._lost_written = 0
        self._dids_written = 0
        #: How often files could not be written, and why not just now.
        self.errors = 0
        self.last_error = ""
        with _named_disk_errors(directory):
            self._samples = files.LineWriter(directory / SAMPLES, goes_on=goes_on)
            if goes_on:
                files.cut_half_line(directory / "shuffler.hlog")
            self._histograms = HistogramLog(
                directory / "shuffler.hlog",
                shuffler.recorders,
                common_time.now_s(),
                by_beginning=True,
                goes_on=goes_on,
            )

    def tick(self, cursor: int | None) -> None:
        """Write as `write` does. A disk that is full, or read-only, costs files, not the run."""
        try:
            self.write(cursor, complete=False)
        except RunInvalid as error:
            self.errors += 1
            self.last_error = error.message
            log.log(logging.ERROR if self.errors == 1 else logging.DEBUG, "%s", error)
        else:
            self.last_error = ""

    def write(self, cursor: int | None, *, complete: bool) -> None:
        """Write a sample, the account as of now, and the histograms of the interval.

        In this order: whoever is killed between them has recorded less than it says was due.
        """
        self._shuffler.count_acks()
        with _named_disk_errors(self._directory):
            begun = calls.sampled(self._shuffler.recorders, common_time.now_ns())
            self._samples.write(self._shuffler.sample(begun))
            self._write_by_seq()
            result = self._shuffler.result(cursor, complete=complete)
            files.write(self._directory / NAME, result)
            self._histograms.end_interval(common_time.now_s())

    def close(self, cursor: int | None) -> None:
        """Write the last account, what is left of the interval, and close."""
        self._dids_written = 0
        self.write(cursor, complete=True)
        with _named_disk_errors(self._directory):
            self._samples.close()
            self._histograms.close(common_time.now_s())

    def _write_by_seq(self) -> None:
        """Write DIDs and classes of what was stored since the last time, and of what came late."""
        account = self._shuffler.account
        while self._lost_written < len(account.lost_streams):
            number = self._lost_written
            self._write_stream(account.lost_streams[number], number)
            self._lost_written += 1
            self._dids_written = 0
        first = max(0, self._dids_written - DIDS_LATE_MAX)
        self._write_stream(account.stream, None, first)
        self._dids_written = len(account.dids or ())

    def _write_stream(self, places: StreamPlaces, number: int | None, first: int = 0) -> None:
        _write_seqs(self._directory / records.dids_name(number), places.dids, first)
        if places.classes is not None:
            _write_seqs(self._directory / records.classes_name(number), places.classes, first)


async def run(spec: RunSpec, directory: Path, endpoints: Endpoints) -> None:
    """Shuffle one run.

    Raises RunInvalid if a side could not be connected or a file not be written, BadInput if
    the metrics' port is taken.
    """
    stop = agent.stop_event()
    status = agent.Status(directory, AGENT)
    status.set(State.STARTING)
    try:
        await _Run(spec, directory, endpoints, status, stop).play()
    except (BadInput, RunInvalid) as error:
        status.set(State.FAILED, error.message)
        raise
    status.set(State.STOPPED if stop.is_set() else State.DONE)


class _Run:
    """The timeline of one run."""

    def __init__(
        self,
        spec: RunSpec,
        directory: Path,
        endpoints: Endpoints,
        status: agent.Status,
        stop: asyncio.Event,
    ) -> None:
        first_seq = spec.firehose.first_seq
        left = Left.load(directory)
        after = None if first_seq is None else first_seq - 1
        if left is not None and left.result.last_cursor is not None:
            after = left.result.last_cursor
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
            partitions=spec.consumers.partitions or DEFAULT_PARTITIONS,
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
        self._go_on(left)
        self._files = RunFiles(directory, self._shuffler, goes_on=left is not None)
        self._nats = endpoints.nats

    def _go_on(self, left: Left | None) -> None:
        """Go on where a shuffler was killed, or, too late for T0, where one may have begun."""
        shuffler = self._shuffler
        account, window = shuffler.account, shuffler.publisher.window
        if left is not None:
            account.restore(left.result, left.dids, left.classes)
            shuffler.left = left.result
            if left.result.last_cursor is not None:
                beyond = IntervalSet([(0, left.result.last_cursor)])
                window.settled_before = account.outcomes().difference(beyond)
            shuffler.reader.recorded_to = left.result.read.last or -1
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
        reader.discarding = self._last_seq is None
        reader.subscription.expects_events = False
        shuffler.recovery.events = EventLog(self._events_path)
        peers: list[Peer] = [NatsPeer(publisher.connection), RelayPeer(reader)]
        watching = asyncio.ensure_future(
            watch(
                self._events_path, peers, shuffler.loop_lag, agent.wakes_from(self._spec.t0_unix_ns)
            )
        )
        timeline = asyncio.ensure_future(self._timeline())
        reading = asyncio.ensure_future(reader.run())
        background = [reading, watching, timeline]
        gc.collect()
        gc.freeze()
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
            await self._settle()
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            if self._stop.is_set():
                await publisher.drain(STOP_DRAIN_S)
            cursor = reader.position
            await publisher.close()
            self._kept_frames.close()
            self._files.close(cursor)

    async def _timeline(self) -> None:
        """Wait until the run is over for the shuffler."""
        reader = self._shuffler.reader
        spec, stop = self._spec, self._stop
        end_s = (spec.end_unix_ns - common_time.now_ns()) / NS_PER_S
        stopped = asyncio.ensure_future(stop.wait())
        connected = asyncio.ensure_future(reader.connected.wait())
        await asyncio.wait(
            [connected, stopped], timeout=max(end_s, 0), return_when=asyncio.FIRST_COMPLETED
        )
        if not connected.done():
            connected.cancel()
            if stop.is_set():
                return
            raise RunInvalid(
                f"the relay could not be read in the whole run: {reader.subscription.last_error}"
            )
        self._status.set(State.READY)
        if not await agent.sleep_until_unix_ns(spec.t0_unix_ns, stop):
            return
        reader.discarding = False
        reader.subscription.expects_events = True
        self._status.set(State.RUNNING)
        if self._restart is not None:
            with EventLog(self._events_path) as event_log:
                event_log.end(self._restart, common_time.now_ns(), {})
        while not stop.is_set() and not self._over():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), DONE_CHECK_S)

    def _over(self) -> bool:
        now_ns = common_time.now_ns()
        reader = self._shuffler.reader
        if now_ns < self._spec.offer_until_unix_ns:
            return False
        if now_ns >= self._spec.end_unix_ns:
            return True
        if self._last_seq is None:
            reader.subscription.expects_events = False
            reader.discarding = True
        elif reader.last_read is None or reader.last_read < self._last_seq:
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
                account, window = self._shuffler.account, self._shuffler.publisher.window
                await stream_reader.settle(api, self._spec.stream.name, account, window)
        except (JetStreamError, NatsError, TimeoutError) as error:
            log.warning("the stream was not read at the end: %s", error or "no answer in time")
        finally:
            await api.close()

    def _tick(self) -> None:
        self._shuffler.tick()
        self._files.tick(self._shuffler.reader.position)
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
    return Patience(BACKOFF_MAX_OWN_RELAY_S, firehose.stuck_s, firehose.rate_per_s)


def due_times(spec: RunSpec) -> Callable[[int], int] | None:
    """Return when a position of our relay is due, in Unix nanoseconds; None of a foreign relay."""
    first_seq, rate_per_s = spec.firehose.first_seq, spec.firehose.rate_per_s
    if first_seq is None or rate_per_s is None:
        return None
    pace = AtRate(rate_per_s)
    t0_ns, due_ns = spec.t0_unix_ns, pace.due_ns
    numbered = list(numberings(pace.due_count, spec.faults, first_seq))
    if len(numbered) == 1:
        return lambda seq: t0_ns + due_ns(seq - first_seq)
    find = index_of(numbered)
    return lambda position: t0_ns + due_ns(find(position))


def _write_seqs(path: Path, by_seq: array[int] | None, first: int = 0) -> None:
    """Write what is kept by stream sequence from `first` on; what is before it stays."""
    values = array("I", (by_seq or array("I"))[first:])
    if byteorder == "big":
        values.byteswap()
    with path.open("r+b" if first else "wb") as file:
        file.seek(first * values.itemsize)
        values.tofile(file)


def _read_seqs(path: Path) -> array[int]:
    content = path.read_bytes()
    values = array("I")
    values.frombytes(content[: len(content) // values.itemsize * values.itemsize])
    if byteorder == "big":
        values.byteswap()
    return values


@contextlib.contextmanager
def _named_disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunInvalid(
            f"{error.filename or directory}: cannot be written: {error.strerror}"
        ) from error


# -- for good ------------------------------------------------------------------------------------


async def serve(endpoints: Endpoints, cursor_place: CursorPlace | None) -> None:
    """Shuffle until SIGTERM or SIGINT.

    Raises BadInput if NATS is not there or the relay's URL is wrong.
    """
    stop = agent.stop_event()
    shuffler = Shuffler(endpoints, after=await cursor_place.load() if cursor_place else None)
    reader, publisher = shuffler.reader, shuffler.publisher
    if cursor_place:
        cursor_place.write_through(publisher.connection)
        # From the first event on, before it is published: whoever is killed then begins with it.
        reader.on_first_read = lambda: cursor_place.save(reader.cursor)
    try:
        await publisher.connect(NATS_PATIENCE_S)
    except NatsError as error:
        raise BadInput(f"{error}; is NATS running there?") from error
    try:
        await reader.connect_once()
    except RelayError as error:
        if error.wrong_url:
            raise BadInput(str(error)) from error
    reading = asyncio.ensure_future(reader.run())
    gc.collect()
    gc.freeze()
    ticks = 0
    while not stop.is_set() and not reading.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), TICK_S)
        ticks += 1
        _serve_tick(shuffler, cursor_place, ticks)
    reading.cancel()
    (ended,) = await asyncio.gather(reading, return_exceptions=True)
    await publisher.drain(STOP_DRAIN_S)
    if cursor_place:
        cursor_place.save(reader.cursor)
        await cursor_place.close()
    await publisher.close()
    log.info("stopped: %s", shuffler.figures())
    if isinstance(ended, RelayError):
        raise BadInput(str(ended)) from ended


def _serve_tick(shuffler: Shuffler, cursor_place: CursorPlace | None, ticks: int) -> None:
    shuffler.tick()
    shuffler.count_acks()
    for recorder in shuffler.recorders:
        recorder.forget()
    if cursor_place:
        cursor_place.save(shuffler.reader.cursor)
        shuffler.cursor_errors = cursor_place.errors
    if ticks % PROGRESS_INTERVAL_S == 0:
        log.info("%s", shuffler.figures())
    if ticks % FORGET_INTERVAL_S == 0:
        shuffler.publisher.window.forget()
