"""A lab on one host whose agents all serve /metrics."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.side_by_side import OwnLab

CONSUMERS = 50
RATE_PER_S = 100

Scrape = dict[str, list[tuple[dict[str, str], float]]]


class MeasuredLab(OwnLab):
    """A lab on one host whose agents all serve /metrics."""

    def __init__(
        self, directory: Path, *probe_arguments: str, measure_s: int = 10, **variables: object
    ) -> None:
        super().__init__(
            directory,
            bench_consumers=CONSUMERS,
            bench_poll_interval_s=1,
            bench_firehose_rate_per_s=RATE_PER_S,
            bench_warmup_s=1,
            bench_measure_s=measure_s,
            bench_drain_s=1,
            **variables,
        )
        self.ports = {agent: free_port() for agent in ("relay", "shuffler", "consumers", "probe")}
        self.arguments = {
            agent: ("--metrics-listen", f"127.0.0.1:{port}") for agent, port in self.ports.items()
        }
        self.arguments["probe"] += probe_arguments

    def text(self, agent: str) -> str:
        """Return what an agent serves."""
        url = f"http://127.0.0.1:{self.ports[agent]}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def scrape(self, agent: str) -> Scrape:
        """Return series by name."""
        found: Scrape = {}
        for family in text_string_to_metric_families(self.text(agent)):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found
