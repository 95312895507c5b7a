"""The probe: samples its host, the lab's processes and, on a NATS host, the server.

Its own cost is measured and in the bundle. Sampling never waits for NATS: what NATS is asked runs
beside it, within time limits, and silence is written down as an error, not as zeros.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from fpaas import agent, common_time, metrics
from fpaas.errors import RunInvalid
from fpaas.jetstream.jetstream_api import JetStreamApi, JetStreamError
from fpaas.jetstream.nats_connection import NatsConnection, NatsError
from fpaas.probe import clock_bounds, host_facts, last_look
from fpaas.probe.clock import BURST, BURST_PAUSE_S, Clock
from fpaas.probe.clock_at_start import compare_until_armed
from fpaas.probe.clock_bounds import Exchange
from fpaas.probe.host_sampler import SAMPLE_INTERVAL_S, HostSampler
from fpaas.probe.options import Options
from fpaas.probe.own_cost import Cost
from fpaas.probe.probe_metrics import ProbeCollector
from fpaas.probe.server_events import ServerEvents
from fpaas.probe.server_monitor import ServerMonitor
from fpaas.probe.ticks import Ticks, on_schedule
from fpaas.records import events, files, nats
from fpaas.records import probe as records
from fpaas.records.probe import AGENT, ClockExchange, ProbeResult
from fpaas.records.status import State
from fpaas.records.waiting_lines import WaitingLines
from fpaas.spec import NS_PER_S
from fpaas.watch.nats_peer import NatsPeer
from fpaas.watch.watch import watch_alone

log = logging.getLogger(__name__)
#: Agents that NATS has nothing to do for any more when they have ended.
LOAD = ("shuffler", "consumers")
NATS_INTERVAL_S = 5.0
#: Before the relay stops offering.
NATS_LAST_LOOK_S = 0.5
CLOCK_INTERVAL_S = 5.0
CLOCK_RETRY_S = 0.5
#: Other hosts' probes end their exchanges before the NATS host's removes the clock's stream.
CLOCK_GRACE_S = 2.0
CONNECT_ATTEMPT_S = 30.0
FINAL_TIMEOUT_S = 60.0
#: A server that is coming back or catching up, or a cluster that elects a leader, gets this long
#: before the final snapshot is given up, or is taken as it is.
FINAL_RETRY_S = 15.0
#: The sender of SIGTERM waits (a supervisor for 10 s): NATS gets this long for the snapshot, and as
#: long for the clock.
STOPPED_TIMEOUT_S = 3.0


class Asked:
    """Requests to NATS, and their connection, which is there before the run is armed."""

    def __init__(self, options: Options) -> None:
        self.api = JetStreamApi(options.nats, name=f"fpaas-probe-{options.host}")
        self.clock = Clock(
            self.api,
            replicas=options.spec.stream.replicas,
            is_clustered=options.is_clustered,
        )


class Probe:
    """One probe of one run."""

    def __init__(
        self, options: Options, status: agent.Status, nats: Asked, collector: ProbeCollector
    ) -> None:
        self._options = options
        self._collector = collector
        self._spec = options.spec
        self._status = status
        self._api = nats.api
        self._clock = nats.clock
        self._events_path = options.directory / f"{AGENT}.{events.SUFFIX}"
        self._exchanges: list[Exchange] = []
        self._files: list[WaitingLines] = []
        self._clock_file = self._lines(records.CLOCK)
        self._problems: list[str] = []
        self._nats_samples = 0
        self._nats_errors = 0
        self._own = Cost()
        self._sampler = HostSampler(options, collector, self._lines, self._tell)
        self._monitor = (
            ServerMonitor(
                options.monitoring,
                self._api,
                options.spec.stream.names,
                ServerEvents(self._sampler.event_log, self._server_ended),
                is_clustered=options.is_clustered,
            )
            if options.monitoring
            else None
        )
        # A separate one, so that other requests of the probe do not keep the server from being
        # asked.
        self._watched = (
            NatsConnection(
                options.own_nats,
                name=f"fpaas-probe-watch-{options.host}",
                on_connected=self._server_is_there,
            )
            if options.own_nats
            else None
        )
        self._looking: asyncio.Future[None] | None = None
        if self._watched is not None and self._monitor is not None:
            self._monitor.hear_advisories(self._watched)

    async def run(self, exchanges: Sequence[Exchange]) -> None:
        """Sample until the run has settled, or until SIGTERM; then take the final snapshot.

        `exchanges` were made before the run was armed. Raises RunInvalid if the snapshot was
        impossible, or lines are missing; OSError if the disk is still full at the end.
        """
        stop = agent.stop_event()
        for exchange in exchanges:
            self._keep(exchange, is_after=False)
        self._status.set(State.READY)
        sampler = asyncio.create_task(self._sampler.run())
        work = [
            asyncio.create_task(self._exchange_during()),
            asyncio.create_task(self._watch()),
        ]
        if self._monitor is not None:
            work.append(asyncio.create_task(self._sample_nats(self._monitor)))
        try:
            finished = await self._wait([sampler, *work], stop)
            await _cancel(work)
            # The probe's cost while others were measured.
            own = self._own.figures()
            await self._finish(finished=finished)
            await _cancel([sampler])
            # A window that lasts to the run's end is seen to its end.
            self._sampler.sample()
            self._report(own)
            self._conclude(finished=finished)
        finally:
            await _cancel([sampler, *work])
            self._sampler.close()
            if self._watched is not None:
                await self._watched.close()

    async def _wait(self, work: Sequence[asyncio.Task[Any]], stop: asyncio.Event) -> bool:
        """Wait until the run has settled; False if `stop` came first. Raises what work did."""
        timeline = asyncio.create_task(self._follow_timeline(stop))
        pending: set[asyncio.Task[Any]] = {timeline, *work}
        try:
            while timeline in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            return timeline.result()
        finally:
            timeline.cancel()

    async def _follow_timeline(self, stop: asyncio.Event) -> bool:
        if not await agent.sleep_until_unix_ns(self._spec.t0_unix_ns, stop):
            return False
        self._status.set(State.RUNNING)
        if not self._options.is_alone:
            return await agent.sleep_until_unix_ns(self._spec.settled_unix_ns, stop)
        return await agent.sleep_until_settled(self._spec, self._options.directory, LOAD, stop)

    async def _finish(self, *, finished: bool) -> None:
        timeout_s = FINAL_TIMEOUT_S if finished else STOPPED_TIMEOUT_S
        if self._monitor is not None:
            await self._take_final(self._monitor, timeout_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._exchange_burst(is_after=True)
                if self._monitor is not None:
                    await self._remove_clock_stream(finished=finished)

    def _lines(self, name: str) -> WaitingLines:
        """Begin a file of lines; a disk that is full for a while costs none of them."""
        lines = WaitingLines(self._options.directory / name, is_new=True)
        self._files.append(lines)
        return lines

    def _report(self, own: records.OwnCost) -> None:
        for lines in self._files:
            lines.close()
            if lines.loss:
                self._problems.append(f"{lines.loss}; free space and run again")
        # The final snapshot's memory counts as well.
        self._own.observe()
        bounds = [bound.comparison() for bound in clock_bounds.bounds(self._exchanges)]
        report = ProbeResult(
            **msgspec.structs.asdict(host_facts.basic()),
            host=self._options.host,
            own=msgspec.structs.replace(own, rss_mb_max=self._own.rss_mb_max),
            samples=records.Samples(taken=self._sampler.taken, missed=self._sampler.missed),
            nats_samples=records.NatsSamples(
                taken=self._nats_samples, with_errors=self._nats_errors
            ),
            clock=bounds[0] if bounds else None,
            clock_by_server=bounds if self._options.is_clustered else None,
            problems=self._problems,
        )
        files.write(self._options.directory / records.NAME, report)

    def _conclude(self, *, finished: bool) -> None:
        message = "; ".join(self._problems)
        if not finished:
            self._status.set(State.STOPPED, message)
        elif message:
            raise RunInvalid(message)
        else:
            self._status.set(State.DONE)

    async def _watch(self) -> None:
        """Watch this process and, from when it is connected on, the server on this host."""
        if self._watched is None:
            await watch_alone(self._events_path)
        else:
            peer = NatsPeer(self._watched)
            await asyncio.gather(_connect(self._watched), watch_alone(self._events_path, [peer]))

    def _server_is_there(self) -> None:
        """Look at once whether it is another server: samples are seconds apart."""
        if self._monitor is not None:
            self._looking = asyncio.ensure_future(self._monitor.look())

    def _server_ended(self) -> int | None:
        return self._sampler.ends.last_unix_ns.get("nats")

    # -- sampling ----------------------------------------------------------------------------------

    def _tell(self) -> None:
        self._own.observe()
        self._status.figures = {
            "samples": self._sampler.taken,
            "missed": self._sampler.missed,
            "nats_samples": self._nats_samples,
            "nats_errors": self._nats_errors,
        }
        self._status.write()

    async def _sample_nats(self, monitor: ServerMonitor) -> None:
        file = self._lines(nats.SAMPLES)
        loop = asyncio.get_running_loop()
        # The first one as soon as there is somebody to ask, and without anybody as well.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._api.connection.connected.wait(), SAMPLE_INTERVAL_S)
        await self._write_nats_sample(monitor, file)
        # So that the last look while the relay offers is at the end of that, as the plan has it.
        last_s = (
            self._spec.offer_until_unix_ns - common_time.now_ns()
        ) / NS_PER_S - NATS_LAST_LOOK_S
        first_s = loop.time() + last_s % NATS_INTERVAL_S
        async for _ in on_schedule(Ticks(first_s - NATS_INTERVAL_S, NATS_INTERVAL_S)):
            await self._write_nats_sample(monitor, file)

    async def _write_nats_sample(self, monitor: ServerMonitor, file: WaitingLines) -> None:
        line = await monitor.sample()
        self._collector.server = monitor.answers
        self._nats_samples += 1
        self._nats_errors += line.error is not None
        # Shown to users who watch the run; it is written every second.
        self._status.message = line.error or ""
        file.write(line)

    async def _take_final(self, monitor: ServerMonitor, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                final = await last_look.at_rest(monitor.final, min(timeout_s / 2, FINAL_RETRY_S))
        except (JetStreamError, KeyError) as error:
            self._problems.append(f"no final snapshot of NATS: {error}")
        except TimeoutError:
            self._problems.append(f"no final snapshot of NATS: no answer in {timeout_s:g} s")
        else:
            files.write(self._options.directory / nats.FINAL, final)
            if final.server is None and not self._options.is_clustered:
                self._problems.append("NATS's monitoring port did not answer at the end")

    # -- the clock ---------------------------------------------------------------------------------

    async def _exchange_during(self) -> None:
        await self._api.connection.connected.wait()
        while not await self._exchange_burst(is_after=False):
            # The leader of a cluster's stream may have yet to be elected.
            if common_time.now_ns() >= self._spec.t0_unix_ns:
                break
            await asyncio.sleep(CLOCK_RETRY_S)
        loop = asyncio.get_running_loop()
        async for _ in on_schedule(Ticks(loop.time(), CLOCK_INTERVAL_S)):
            await self._exchange(is_after=False)

    async def _exchange_burst(self, *, is_after: bool) -> bool:
        """Make exchanges in a row, until one fails; False if the first did."""
        for number in range(BURST):
            if not await self._exchange(is_after=is_after):
                return number > 0
            await asyncio.sleep(BURST_PAUSE_S)
        return True

    async def _exchange(self, *, is_after: bool) -> bool:
        """Make one exchange and keep it; False if NATS did not answer."""
        try:
            exchange = await self._clock.exchange()
        except (JetStreamError, KeyError, ValueError) as error:
            log.warning("no clock exchange: %s", error)
            return False
        self._keep(exchange, is_after=is_after)
        return True

    def _keep(self, exchange: Exchange, *, is_after: bool) -> None:
        is_before = exchange.sent_unix_ns < self._spec.t0_unix_ns
        self._exchanges.append(exchange)
        self._clock_file.write(
            ClockExchange(
                unix_ns=exchange.sent_unix_ns,
                phase="after" if is_after else "before" if is_before else "during",
                offset_low_ns=exchange.offset_low_ns,
                offset_high_ns=exchange.offset_high_ns,
                rtt_ns=exchange.rtt_ns,
                server=exchange.server or None,
            )
        )

    async def _remove_clock_stream(self, *, finished: bool) -> None:
        if finished and not self._options.is_alone:
            await asyncio.sleep(CLOCK_GRACE_S)
        await self._clock.remove_stream()


async def _connect(connection: NatsConnection) -> None:
    while not connection.connected.is_set():
        try:
            await connection.connect_patiently(CONNECT_ATTEMPT_S)
        except NatsError as error:
            log.warning("%s; trying again", error)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(options: Options, run_json: Path) -> None:
    """Run a probe and keep its status file in step; `options` are of a run that is to be armed.

    Raises RunInvalid if there is no final snapshot, or the disk was full for too long; what was
    measured is kept.
    """
    status = agent.Status(options.directory, AGENT)
    try:
        await _run(options, run_json, status)
    except OSError as error:
        # Sockets' errors are handled where they arise: this is the disk.
        message = f"{options.directory}: cannot write the probe's files: {error.strerror}"
        status.set(State.FAILED, message)
        raise RunInvalid(f"{message}; free space and run again") from error
    except Exception as error:
        status.set(State.FAILED, str(error))
        raise


async def _run(options: Options, run_json: Path, status: agent.Status) -> None:
    arming = agent.Arming(run_json, options.spec, status, options.host)
    collector = ProbeCollector(
        options.spec,
        options.host,
        options.directory,
        now_ns=common_time.now_ns,
        each_consumer=options.metrics_each_consumer,
    )
    if options.metrics_listen is not None:
        registry = CollectorRegistry()
        registry.register(collector)
        metrics.serve(registry, options.metrics_listen)
    asked = Asked(options)
    connecting = asyncio.create_task(_connect(asked.api.connection))
    try:
        spec, exchanges = await compare_until_armed(arming, asked.clock, status)
        collector.spec = spec
        await Probe(replace(options, spec=spec), status, asked, collector).run(exchanges)
    finally:
        await _cancel([connecting])
        await asked.api.close()
