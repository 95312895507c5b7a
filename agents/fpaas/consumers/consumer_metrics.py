"""Prometheus metrics of a consumers agent: few series, whatever the number of consumers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fpaas.consumers.consumer_figures import LATENCY_BUCKETS_S, Figures, LatencyBuckets

PREFIX = "fpaas_consumers"
_COUNTERS = {
    "messages_processed": ("processed", "Deliveries received and acknowledged."),
    "message_bytes": ("bytes", "Payload bytes of deliveries."),
    "acks": ("acks", "Acknowledgements sent."),
    "redelivered": ("redelivered", "Deliveries that the server made before."),
    "polls": ("polls", "Polls begun."),
    "reconnects": ("reconnects", "Connections to NATS made again."),
    "connection_errors": ("connection_errors", "Failed connects and errors NATS reported."),
}
_GAUGES = {
    "consumers": ("consumers", "Consumers played."),
    "connections": ("connections", "Connections to NATS that are up."),
}


class FiguresCollector(Collector):
    """Shows the latest `figures`; replaced as a whole when there are newer ones."""

    def __init__(self) -> None:
        self.figures = Figures()

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        figures = self.figures
        for name, (attribute, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"{PREFIX}_{name}", text, getattr(figures, attribute))
        for name, (attribute, text) in _GAUGES.items():
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, getattr(figures, attribute))
        yield _fetches(figures)
        statuses = CounterMetricFamily(
            f"{PREFIX}_statuses", "Statuses received, by reason.", labels=["status"]
        )
        for status, count in figures.by_status.items():
            statuses.add_metric([status], count)
        yield statuses
        yield _histogram("fetch_latency", "From pull sent to answered.", figures.fetch_latency)
        yield _histogram("poll_lateness", "From poll due to sent.", figures.poll_lateness)


def _fetches(figures: Figures) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}_fetches", "Pulls, by how they ended.", labels=["result"]
    )
    for result in ("ok", "empty", "refused", "client_timeout", "lost"):
        family.add_metric([result], getattr(figures, result))
    return family


def _histogram(name: str, text: str, buckets: LatencyBuckets) -> Metric:
    bounds = [*map(str, LATENCY_BUCKETS_S), "+Inf"]
    counts = accumulate(buckets.counts)
    return HistogramMetricFamily(
        f"{PREFIX}_{name}_seconds",
        text,
        buckets=list(zip(bounds, counts, strict=True)),
        sum_value=buckets.sum_s,
    )
