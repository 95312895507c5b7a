"""The consumers agent: shares consumers out to workers, adds up what they say, serves metrics.

With one worker everything happens in one process. With several, each is a child process. One that
a fault of the run has ended is started again; any other that dies fails the agent, and the rest go
on, because what they measure is still worth having.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from fpaas import agent, common_time, metrics
from fpaas.agent import Status
from fpaas.consumers import connecting
from fpaas.consumers.assignment import Assignment
from fpaas.consumers.consumer_figures import Figures, from_json, summed
from fpaas.consumers.consumer_metrics import FiguresCollector
from fpaas.consumers.consumer_worker import ConsumerWorker
from fpaas.consumers.worker_process import cannot_write
from fpaas.errors import BadInput, RunInvalid
from fpaas.measures.cgroup import Cgroup
from fpaas.records import consumers, events, files
from fpaas.records.consumers import WorkerResult
from fpaas.records.events import PROCESS_ENDED, EventLog, Value
from fpaas.records.status import State
from fpaas.spec import NS_PER_S, Fault, RunSpec, Share
from fpaas.spec.faults import faults_that_end
from fpaas.watch.watch import watch_alone

log = logging.getLogger(__name__)

AGENT = "consumers"

#: Fewer consumers than this are not worth a process.
CONSUMERS_PER_WORKER_MIN = 100
#: A line holds every status seen so far.
CHILD_LINE_BYTES_MAX = 1 << 20

OnTick = Callable[[Figures], None]


@dataclass(frozen=True)
class Play:
    """One consumers agent's part; `out` is None if no files are wanted."""

    spec: RunSpec
    share: Share
    nats_url: str
    out: Path | None
    metrics_listen: str | None


def worker_count(workers: str | int, consumers: int, cores: float) -> int:
    """Return how many processes play: `auto` leaves half the cores to NATS and the others.

    `cores` is how many this host may use, of a quota a part of one too.
    """
    if isinstance(workers, int):
        return min(workers, consumers)
    return max(1, min(int(cores // 2), consumers // CONSUMERS_PER_WORKER_MIN))


def assignments(play: Play, workers: int) -> list[Assignment]:
    """Split a share over workers as evenly as whole numbers allow.

    If others played it before, in this run, and ended, these go on with numbers after theirs.
    """
    share = play.share
    result = []
    first = share.first
    before = _played_before(play)
    for worker in range(workers):
        count = share.count // workers + (worker < share.count % workers)
        result.append(
            Assignment(
                play.spec,
                before + worker,
                first,
                count,
                play.nats_url,
                play.out,
                goes_on=before > 0,
            )
        )
        first += count
    return result


def _played_before(play: Play) -> int:
    """Return how many workers of this run left an account here; an earlier run's are none."""
    count = 0
    while play.out is not None:
        try:
            result = files.read(play.out / consumers.name(count), WorkerResult)
        except (OSError, files.UnreadableError):
            break
        if (result.started_unix_ns or 0) < play.spec.t0_unix_ns:
            break
        count += 1
    return count


async def connecting_s(play: Play) -> float | None:
    """Measure how many seconds a share's connections will take, all workers' on end.

    None if NATS does not let us.
    """
    connections = sum(connecting.connections_of(part) for part in _parts(play))
    return await connecting.takes_s(play.nats_url, connections)


def _parts(play: Play) -> list[Assignment]:
    workers = worker_count(play.spec.consumers.workers, play.share.count, Cgroup.own().cores())
    return assignments(play, workers)


async def run(play: Play, on_tick: OnTick | None = None) -> None:
    """Play a share of a run to its end, or until SIGTERM or SIGINT.

    Raises RunInvalid if the run cannot be trusted, BadInput if the metrics port is taken;
    `consumers.status.json` says the same.
    """
    status = Status(play.out, AGENT)
    status.set(State.STARTING)
    stop = agent.stop_event()
    try:
        collector = FiguresCollector()
        if play.metrics_listen:
            registry = CollectorRegistry()
            registry.register(collector)
            metrics.serve(registry, play.metrics_listen)

        def tick(figures: Figures) -> None:
            collector.figures = figures
            status.figures = {
                "processed": figures.processed,
                "bytes": figures.bytes,
                "polls": figures.polls,
                "ok": figures.ok,
                "empty": figures.empty,
                "connections": figures.connections,
                "redelivered": figures.redelivered,
            }
            status.write()
            if on_tick:
                on_tick(figures)

        parts = _parts(play)
        with contextlib.ExitStack() as noting:
            event_log, path = None, None
            if play.out is not None:
                path = play.out / f"{AGENT}.{events.SUFFIX}"
                event_log = noting.enter_context(EventLog(path))
            if len(parts) == 1:
                await _play_here(parts[0], status, stop, tick)
            else:
                if path is not None:
                    noting.callback(asyncio.ensure_future(watch_alone(path)).cancel)
                await _Children(parts, status, stop, tick, event_log).play()
    except (BadInput, RunInvalid) as error:
        status.set(State.FAILED, error.message)
        raise
    except OSError as error:
        message = cannot_write(play.out, error)
        status.set(State.FAILED, message)
        raise RunInvalid(message) from error
    status.set(State.STOPPED if stop.is_set() else State.DONE)


async def _play_here(
    assignment: Assignment, status: Status, stop: asyncio.Event, on_tick: OnTick
) -> None:
    worker = ConsumerWorker(assignment)
    if not await worker.connect(stop):
        return
    status.set(State.READY)
    if await agent.sleep_until_unix_ns(assignment.spec.t0_unix_ns, stop):
        status.set(State.RUNNING)
    await worker.play(stop, on_tick)
    await worker.finish()


class _Children:
    """Worker processes and their last words. If a fault of the run ends one, another takes over."""

    def __init__(
        self,
        parts: list[Assignment],
        status: Status,
        stop: asyncio.Event,
        on_tick: OnTick,
        event_log: EventLog | None,
    ) -> None:
        self._parts = parts
        self._next_worker = parts[-1].worker + 1
        self._status = status
        self._stop = stop
        self._on_tick = on_tick
        self._event_log = event_log
        self._processes: list[Process] = []
        self._figures: dict[int, Figures] = {}
        self._ready: set[int] = set()
        self._failures: list[str] = []

    async def play(self) -> None:
        """Start, watch, and wait for all of them. Raises RunInvalid if one failed."""
        self._processes = [await self._start(part) for part in self._parts]
        self._note_processes()
        stopping = asyncio.ensure_future(self._stop_all())
        try:
            await asyncio.gather(*(self._keep(index) for index in range(len(self._parts))))
        finally:
            stopping.cancel()
        if self._failures:
            raise RunInvalid("; ".join(self._failures))

    async def _start(self, part: Assignment) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fpaas.consumers.worker_process",
            stdin=PIPE,
            stdout=PIPE,
            limit=CHILD_LINE_BYTES_MAX,
        )
        assert process.stdin is not None  # noqa: S101
        # It stays open: that it ends tells the child that we are gone.
        process.stdin.write(part.to_line())
        return process

    def _note_processes(self) -> None:
        self._status.pids = [os.getpid(), *(process.pid for process in self._processes)]
        self._status.write()

    def _note_end(self, worker: int, pid: int) -> None:
        if self._event_log is not None:
            now = common_time.now_ns()
            told: dict[str, Value] = {"process": AGENT, "pid": pid, "worker": worker}
            self._event_log.begin(PROCESS_ENDED, now, told, end_unix_ns=now)

    async def _keep(self, index: int) -> None:
        """Play a part to its end, in one process or, if faults of the run end it, several."""
        part = self._parts[index]
        faults = faults_that_end(index, part.spec.faults)
        while True:
            process = self._processes[index]
            said = await self._watch(index, part.worker, process)
            code = await process.wait()
            self._note_end(part.worker, process.pid)
            fault = self._ended_by(faults, part.spec, code)
            if fault is None:
                break
            faults.remove(fault)
            self._retire(part.worker)
            until_unix_ns = part.spec.t0_unix_ns + round(fault.until_s * NS_PER_S)
            if not await agent.sleep_until_unix_ns(until_unix_ns, self._stop):
                return
            part = replace(part, worker=self._next_worker, goes_on=True)
            self._next_worker += 1
            log.warning("worker %d goes on with what worker:%d played", part.worker, index)
            self._processes[index] = await self._start(part)
            self._note_processes()
            if self._stop.is_set():
                self._processes[index].terminate()
        if code != 0:
            why = said or f"it died of {_cause(code)}"
            message = f"consumers worker {part.worker} (pid {process.pid}) failed: {why}"
            log.error("%s", message)
            self._failures.append(message)
            self._status.set(State.FAILED, message)

    async def _watch(self, index: int, worker: int, process: Process) -> str:
        """Listen to a worker until it has ended; returns why it failed, if it says so."""
        assert process.stdout is not None  # noqa: S101
        said = ""
        async for line in process.stdout:
            content = json.loads(line)
            if "figures" in content:
                self._figures[worker] = from_json(content["figures"])
                self._tell()
            elif content["state"] == State.READY:
                self._ready.add(index)
                self._tell_ready()
            else:
                said = content["message"]
        return said

    def _ended_by(self, faults: list[Fault], spec: RunSpec, code: int) -> Fault | None:
        """Return the fault that has ended a worker in the run; None if it ended by itself."""
        now = common_time.now_ns()
        if self._stop.is_set() or now >= spec.end_unix_ns or code not in (0, -signal.SIGKILL):
            return None
        at_s = (now - spec.t0_unix_ns) / NS_PER_S
        return next((one for one in faults if one.at_s <= at_s), None)

    def _retire(self, worker: int) -> None:
        """Keep what a worker counted; it has no consumers and connections any more."""
        if worker in self._figures:
            self._figures[worker] = replace(self._figures[worker], consumers=0, connections=0)

    def _tell_ready(self) -> None:
        is_first = self._status.state == State.STARTING
        if is_first and len(self._ready) == len(self._parts) and not self._failures:
            self._status.set(State.READY)

    def _tell(self) -> None:
        if self._status.state == State.READY:
            self._status.state = State.RUNNING
        self._on_tick(summed(self._figures.values()))

    async def _stop_all(self) -> None:
        await self._stop.wait()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)


def _cause(code: int) -> str:
    if code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
