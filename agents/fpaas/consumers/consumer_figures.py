"""Figures of a consumers agent, every second: cumulative, and summed over its workers."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

#: Upper bounds, as Prometheus has them; the last bucket is +Inf.
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass
class LatencyBuckets:
    """Counts by bucket, not cumulative over buckets."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add_ns(self, samples_ns: Iterable[int]) -> None:
        """Count samples."""
        for sample_ns in samples_ns:
            seconds = sample_ns / 1e9
            self.counts[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
            self.sum_s += seconds


@dataclass
class Figures:
    """Running totals since the start, and `connections` as a state."""

    consumers: int = 0
    processed: int = 0
    bytes: int = 0
    acks: int = 0
    redelivered: int = 0
    polls: int = 0
    ok: int = 0
    empty: int = 0
    refused: int = 0
    client_timeout: int = 0
    lost: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    connection_errors: int = 0
    reconnects: int = 0
    slow_consumer_disconnects: int = 0
    fetch_latency: LatencyBuckets = field(default_factory=LatencyBuckets)
    poll_lateness: LatencyBuckets = field(default_factory=LatencyBuckets)


def summed(parts: Iterable[Figures]) -> Figures:
    """Add workers up."""
    total = Figures()
    by_status: Counter[str] = Counter()
    for part in parts:
        by_status.update(part.by_status)
        for buckets in ("fetch_latency", "poll_lateness"):
            mine, theirs = getattr(total, buckets), getattr(part, buckets)
            mine.counts = [a + b for a, b in zip(mine.counts, theirs.counts, strict=True)]
            mine.sum_s += theirs.sum_s
        for item in fields(Figures):
            if item.type == "int":
                setattr(total, item.name, getattr(total, item.name) + getattr(part, item.name))
    total.by_status = dict(by_status)
    return total


def from_json(raw: dict[str, object]) -> Figures:
    """Rebuild what `dataclasses.asdict` made of figures."""
    figures = Figures(**raw)  # type: ignore[arg-type]
    figures.fetch_latency = LatencyBuckets(**raw["fetch_latency"])  # type: ignore[arg-type]
    figures.poll_lateness = LatencyBuckets(**raw["poll_lateness"])  # type: ignore[arg-type]
    return figures
