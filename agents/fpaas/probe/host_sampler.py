"""Samples of the probe's host and of the lab's processes on it, into their files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fpaas import common_time
from fpaas.probe.clock_steps import ClockSteps
from fpaas.probe.host_usage import HostUsage
from fpaas.probe.options import Options
from fpaas.probe.probe_metrics import ProbeCollector
from fpaas.probe.process_ends import ProcessEnds
from fpaas.probe.process_usage import ProcessUsage
from fpaas.probe.ticks import Ticks, on_schedule
from fpaas.records import events
from fpaas.records import probe as records
from fpaas.records.events import PROCESS_MISSING, EventLog, Value
from fpaas.records.probe import ProcessSample
from fpaas.records.waiting_lines import WaitingLines

SAMPLE_INTERVAL_S = 1.0


class HostSampler:
    """Samples on its own schedule, and whenever it is asked to, until it is closed.

    `lines` begins a file, `on_sample` is called after each sample.
    """

    def __init__(
        self,
        options: Options,
        collector: ProbeCollector,
        lines: Callable[[str], WaitingLines],
        on_sample: Callable[[], None],
    ) -> None:
        directory = options.directory
        self._collector = collector
        self._on_sample = on_sample
        self._ticks = Ticks(asyncio.get_running_loop().time(), SAMPLE_INTERVAL_S)
        self._host = HostUsage()
        self._processes = ProcessUsage(directory, options.pid_files)
        self._t0_unix_ns = options.spec.t0_unix_ns
        #: Servers that must run at T0, until that was looked at.
        self._expected = list(options.pid_files)
        self._host_file = lines(records.HOST)
        self._process_file = lines(records.PROCESSES)
        self.event_log = EventLog(directory / f"{records.AGENT}.{events.SUFFIX}")
        self.ends = ProcessEnds(self.event_log)
        self._steps = ClockSteps(self.event_log)
        # The next reading's share of a process starts from the first one.
        self.ends.watch(self._processes.sample())
        self.taken = 0

    @property
    def missed(self) -> int:
        """How many samples were due while it could not take any."""
        return self._ticks.missed

    async def run(self) -> None:
        """Sample on schedule, for ever; the clock is looked at more often."""
        watching = asyncio.ensure_future(self._steps.watch())
        try:
            async for _ in on_schedule(self._ticks):
                self.sample()
        finally:
            watching.cancel()

    def sample(self) -> None:
        """Take a sample now."""
        self.taken += 1
        self._host_file.write(self._host.sample())
        lines = self._processes.sample()
        self.ends.watch(lines)
        self._note_missing(lines)
        for line in lines:
            self._process_file.write(line)
        self._collector.processes.add(lines)
        self._collector.samples = self.taken
        self._collector.missed = self.missed
        self._on_sample()

    def _note_missing(self, lines: list[ProcessSample]) -> None:
        """Once after T0, note what does not run: of what never ran, no end is seen."""
        now_unix_ns = common_time.now_ns()
        if now_unix_ns < self._t0_unix_ns:
            return
        for name in {*self._expected}.difference(line.process for line in lines):
            told: dict[str, Value] = {"process": name}
            self.event_log.begin(PROCESS_MISSING, now_unix_ns, told, end_unix_ns=now_unix_ns)
        self._expected = []

    def close(self) -> None:
        """Wait for the end of no process any longer."""
        self.ends.close()
        self.event_log.close()
