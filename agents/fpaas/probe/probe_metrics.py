"""A probe's /metrics: its host, the lab's processes, the run, and NATS if it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fpaas.probe import fault_metrics, host_metrics, server_metrics
from fpaas.probe.process_metrics import ProcessTotals
from fpaas.probe.server_metrics import ServerAnswers
from fpaas.spec import NS_PER_S, RunSpec

PHASES = ("waiting", "warm-up", "measuring", "draining", "settled")


def phase(spec: RunSpec, unix_ns: int) -> str:
    """Return the phase that a run is in."""
    since_s = (unix_ns - spec.t0_unix_ns) / NS_PER_S
    if spec.t0_unix_ns == 0 or since_s < 0:
        return PHASES[0]
    ends = (
        spec.measure_from_unix_ns,
        spec.offer_until_unix_ns,
        spec.settled_unix_ns,
    )
    return PHASES[1 + sum(unix_ns >= end for end in ends)]


class ProbeCollector(Collector):
    """Reads what the probe saw last: a scrape asks NATS nothing, and waits for nobody."""

    def __init__(
        self,
        spec: RunSpec,
        host: str,
        directory: Path,
        *,
        now_ns: Callable[[], int],
        each_consumer: bool,
    ) -> None:
        self.spec = spec
        self.processes = ProcessTotals()
        self.server: ServerAnswers | None = None
        self.samples = 0
        self.missed = 0
        self._host = host
        self._directory = directory
        self._now_ns = now_ns
        self._each_consumer = each_consumer

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        yield from self._run()
        yield CounterMetricFamily(
            "fpaas_probe_samples", "Samples of the host taken.", value=self.samples
        )
        yield CounterMetricFamily(
            "fpaas_probe_samples_missed",
            "Samples that the probe was too late for.",
            value=self.missed,
        )
        yield from host_metrics.metrics()
        yield from self.processes.metrics()
        if self.server is not None:
            yield from server_metrics.metrics(self.server, each_consumer=self._each_consumer)

    def _run(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "fpaas_run_info", "The run, always 1.", labels=["run_id", "scenario", "host"]
        )
        info.add_metric([self.spec.run_id, self.spec.scenario.name, self._host], 1)
        yield info
        now = phase(self.spec, self._now_ns())
        phases = GaugeMetricFamily(
            "fpaas_run_phase", "1 for the phase that the run is in.", labels=["run_id", "phase"]
        )
        for one in PHASES:
            phases.add_metric([self.spec.run_id, one], int(one == now))
        yield phases
        stream = self.spec.stream
        for name, text, value in (
            ("stream_max_age_seconds", "Age at which the run's stream drops.", stream.max_age_s),
            ("stream_max_bytes", "Size at which it does.", stream.max_bytes),
        ):
            limit = GaugeMetricFamily(f"fpaas_run_{name}", text, labels=["run_id"])
            limit.add_metric([self.spec.run_id], value)
            yield limit
        if self.spec.faults:
            events = fault_metrics.seen(self._directory)
            yield from fault_metrics.metrics(self.spec, self._host, events)
