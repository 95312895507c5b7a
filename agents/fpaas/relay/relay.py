"""The relay as an agent: it offers frames on an open-loop schedule and keeps its account in files.

Frames fall due whether or not somebody reads them; see fpaas.relay.server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec

from prometheus_client import CollectorRegistry

from fpaas import agent, common_time, metrics
from fpaas.errors import RunInvalid
from fpaas.measures.calls import Bins, CallRecorder
from fpaas.measures.histogram_log import HistogramLog
from fpaas.records import calls, events, files
from fpaas.records.events import AGENT_RESTARTED, EventLog
from fpaas.records.relay import NAME, SAMPLES, RelayResult
from fpaas.records.status import State, figures_of
from fpaas.relay.audience import Audience
from fpaas.relay.blocked_reader import BlockedReader
from fpaas.relay.cursors import Rules
from fpaas.relay.manners import Manners
from fpaas.relay.offering import Offering
from fpaas.relay.relay_metrics import RelayCollector
from fpaas.relay.server import Relay
from fpaas.relay.source import Pace, Source
from fpaas.relay.wire import Wire
from fpaas.spec import NS_PER_S, Fault, RunSpec
from fpaas.watch.watch import watch

log = logging.getLogger(__name__)

AGENT = "relay"
READER = "shuffler"


@dataclass(frozen=True)
class Options:
    """The firehose to serve, and until when.

    `t0_unix_ns` None is now. It ends when its `run` has settled, or `duration_s` after T0, or on
    SIGTERM.
    """

    source: Source
    pace: Pace
    rules: Rules
    total: int | None
    host: str
    port: int
    t0_unix_ns: int | None
    run: RunSpec | None
    duration_s: float | None
    directory: Path | None
    #: Those of them that are the relay's own are played.
    faults: tuple[Fault, ...] = ()
    #: Where it serves /metrics, `host:port`; None: nowhere.
    metrics_listen: str | None = None
    #: Times where phases of the run meet.
    cuts_unix_ns: tuple[int, ...] = ()


P = ParamSpec("P")


class Records:
    """The relay's files in a run directory. A disk that is full for a while costs nothing.

    What it does not take is tried again; what it has not taken in the end is missing.

    If it `goes_on`, it adds to those of a relay that ended in the run.
    """

    def __init__(
        self,
        relay: Relay,
        status: agent.Status,
        options: Options,
        t0_unix_ns: int,
        *,
        goes_on: bool,
    ) -> None:
        directory = options.directory
        self._relay = relay
        self._t0_unix_ns = t0_unix_ns
        self._wakes_from_unix_ns = agent.wakes_from(t0_unix_ns) if goes_on else t0_unix_ns
        self._cuts_unix_ns = options.cuts_unix_ns
        self._status = status
        self._directory = directory
        self._samples = files.LineWriter(directory and directory / SAMPLES, goes_on=goes_on)
        self._loop_lag = CallRecorder("loop_lag", relay.offering.lateness.bins)
        self._recorders = [relay.offering.lateness, relay.offering.lateness_own, self._loop_lag]
        self._log: HistogramLog | None = None
        if directory is not None:
            path = directory / f"{AGENT}.hlog"
            if goes_on:
                files.cut_half_line(path)
            self._log = HistogramLog(
                path, self._recorders, common_time.now_s(), by_beginning=True, goes_on=goes_on
            )
        self._error: OSError | None = None
        self._has_failed = False

    async def keep(self) -> None:
        """Write once a second, forever."""
        lag = asyncio.create_task(
            agent.measure_loop_lag(self._loop_lag, self._wakes_from_unix_ns)
            if self._directory is None
            else watch(
                self._directory / f"{AGENT}.{events.SUFFIX}",
                [BlockedReader(self._relay.audience)],
                self._loop_lag,
                self._wakes_from_unix_ns,
            )
        )
        try:
            while True:
                await asyncio.sleep(
                    agent.seconds_to_next_tick(self._t0_unix_ns, self._cuts_unix_ns)
                )
                self._end_interval()
        finally:
            lag.cancel()
            await asyncio.wait([lag])

    def close(self) -> None:
        """Write the rest; raises RunInvalid if something could not be written even now."""
        self._error = None
        self._end_interval(complete=True)
        self._write(self._samples.close)
        if self._log is not None:
            self._write(self._log.close, common_time.now_s())
        if self._error is not None:
            why = f"{self._directory}: the relay's figures are not whole: {self._error.strerror}"
            self._status.set(State.FAILED, why)
            raise RunInvalid(why)

    def _write(self, write: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> None:
        try:
            write(*arguments, **named)
        except OSError as error:
            if not self._has_failed:
                log.error(  # noqa: TRY400  (once, in a line)
                    "cannot write to %s: %s; it is tried again", self._directory, error.strerror
                )
            self._has_failed = True
            self._error = error

    def _end_interval(self, *, complete: bool = False) -> None:
        """Write the account first: who is killed then has recorded less than it says was sent."""
        if self._directory is not None:
            account = self._relay.result(complete=complete)
            self._write(files.write, self._directory / NAME, account)
        if self._log is None:
            sample = self._relay.sample()
            for recorder in self._recorders:
                recorder.forget()
        else:
            sample = self._relay.sample(calls.sampled(self._recorders, common_time.now_ns()))
            self._write(self._samples.write, sample)
            self._write(self._log.end_interval, common_time.now_s())
        self._status.figures = figures_of(sample)
        self._status.write()


async def run(options: Options, status: agent.Status) -> None:
    """Serve until the end of the run, or until SIGTERM. Raises BadInput or RunInvalid."""
    stop = agent.stop_event()
    agent.keep_what_is_here()
    now_unix_ns = common_time.now_ns()
    t0_unix_ns = now_unix_ns if options.t0_unix_ns is None else options.t0_unix_ns
    offering = Offering(
        Wire(options.source, options.pace, options.faults),
        options.pace,
        total=options.total,
        t0_unix_ns=t0_unix_ns,
        bins=Bins(t0_unix_ns, options.cuts_unix_ns),
    )
    audience = Audience(options.rules)
    relay = Relay(offering, audience)
    left = _left(options, now_unix_ns)
    if left is not None:
        relay.go_on(left)
    manners = Manners(
        audience,
        options.faults,
        t0_unix_ns,
        options.directory and options.directory / f"{AGENT}.{events.SUFFIX}",
    )
    misbehaving = asyncio.create_task(manners.play())
    # What a relay before this one had begun goes on before anybody is served, history included.
    await manners.caught_up()
    url = await relay.listen(options.host, options.port)
    if options.metrics_listen is not None:
        registry = CollectorRegistry()
        registry.register(RelayCollector(relay))
        metrics.serve(registry, options.metrics_listen)
    try:
        records = Records(relay, status, options, t0_unix_ns, goes_on=left is not None)
    except OSError as error:
        raise RunInvalid(f"{options.directory}: cannot write there: {error.strerror}") from error
    status.set(State.READY, url)
    log.info("serving seq %d and on at %s", options.source.first_seq, url)
    keeping = asyncio.create_task(records.keep())
    try:
        if t0_unix_ns < now_unix_ns:
            log.warning("ready %.1f s after T0", (now_unix_ns - t0_unix_ns) / NS_PER_S)
        finished = await agent.sleep_until_unix_ns(t0_unix_ns, stop)
        if finished:
            status.set(State.RUNNING, url)
            relay.start()
            if left is not None:
                _note_restart(options, now_unix_ns)
            finished = await _until_end(options, t0_unix_ns, stop)
    finally:
        for task in (misbehaving, keeping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await relay.close()
    log.info(
        "offered %d frames, sent %d, replayed %d",
        offering.offered,
        audience.sent,
        audience.replayed,
    )
    records.close()
    # If it serves until SIGTERM, it is done then.
    ended = finished or (options.run is None and options.duration_s is None)
    status.set(State.DONE if ended else State.STOPPED, f"offered {offering.offered}")


def _left(options: Options, now_unix_ns: int) -> RelayResult | None:
    """Return the account of a relay that ended in this run; None if this is the first one."""
    directory, t0_unix_ns = options.directory, options.t0_unix_ns
    if directory is None or t0_unix_ns is None or now_unix_ns < t0_unix_ns:
        return None
    try:
        return files.read(directory / NAME, RelayResult)
    except (OSError, files.UnreadableError):
        return None


def _note_restart(options: Options, began_unix_ns: int) -> None:
    """Write to the events that this relay, which began at a time, goes on where one had ended."""
    if options.directory is not None:
        with EventLog(options.directory / f"{AGENT}.{events.SUFFIX}") as event_log:
            served_unix_ns = common_time.now_ns()
            event_log.begin(AGENT_RESTARTED, began_unix_ns, {}, end_unix_ns=served_unix_ns)


async def _until_end(options: Options, t0_unix_ns: int, stop: asyncio.Event) -> bool:
    """Serve until the end; returns False if `stop` came first."""
    run, directory = options.run, options.directory
    if options.duration_s is not None:
        end_unix_ns = t0_unix_ns + round(options.duration_s * NS_PER_S)
        return await agent.sleep_until_unix_ns(end_unix_ns, stop)
    if run is not None and directory is not None:
        # A subscriber that reads to the end must not find us gone.
        return await agent.sleep_until_settled(run, directory, [READER], stop)
    if run is not None:
        return await agent.sleep_until_unix_ns(run.settled_unix_ns, stop)
    await stop.wait()
    return False
