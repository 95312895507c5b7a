"""The lab's processes as Prometheus metrics, named as process-exporter does, by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from fpaas.records.probe import ProcessSample

PREFIX = "namedprocess_namegroup"


class ProcessTotals:
    """Adds up what the processes of a group used; what one used that has ended stays in it."""

    def __init__(self) -> None:
        self._latest: Sequence[ProcessSample] = ()
        self._seen: dict[int, tuple[float, int]] = {}
        self._cpu_s: defaultdict[str, float] = defaultdict(float)
        self._switches: defaultdict[str, int] = defaultdict(int)

    def add(self, samples: Sequence[ProcessSample]) -> None:
        """Take the samples of all processes that live."""
        seen = {}
        for one in samples:
            switches = one.ctx_switches_voluntary + one.ctx_switches_involuntary
            cpu_before, switches_before = self._seen.get(one.pid, (0.0, 0))
            cpu_s = one.cpu_s or 0.0
            self._cpu_s[one.process] += max(0.0, cpu_s - cpu_before)
            self._switches[one.process] += max(0, switches - switches_before)
            seen[one.pid] = (cpu_s, switches)
        self._seen, self._latest = seen, samples

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics."""
        cpu = CounterMetricFamily(f"{PREFIX}_cpu_seconds", "Processor time.", labels=["groupname"])
        for group, cpu_s in list(self._cpu_s.items()):
            cpu.add_metric([group], cpu_s)
        yield cpu
        switches = CounterMetricFamily(
            f"{PREFIX}_context_switches", "Context switches.", labels=["groupname"]
        )
        for group, count in list(self._switches.items()):
            switches.add_metric([group], count)
        yield switches
        latest = self._latest
        groups: dict[str, list[ProcessSample]] = {group: [] for group in self._cpu_s}
        for one in latest:
            groups.setdefault(one.process, []).append(one)
        for name, text, attribute in (
            ("num_procs", "Processes.", None),
            ("num_threads", "Threads.", "threads"),
            ("open_filedesc", "Open descriptors.", "fds"),
        ):
            family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["groupname"])
            for group, found in groups.items():
                counts = [1 if attribute is None else getattr(one, attribute) or 0 for one in found]
                family.add_metric([group], sum(counts))
            yield family
        memory = GaugeMetricFamily(
            f"{PREFIX}_memory_bytes", "Memory.", labels=["groupname", "memtype"]
        )
        for group, found in groups.items():
            memory.add_metric([group, "resident"], sum(one.rss_mb for one in found) * 1e6)
        yield memory
