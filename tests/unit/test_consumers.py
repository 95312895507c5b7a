from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from fpaas.consumers import consumers
from fpaas.consumers.consumer_figures import Figures, LatencyBuckets, from_json, summed
from fpaas.consumers.consumer_metrics import FiguresCollector
from fpaas.spec import Share
from tests.support.run_specs import build


@pytest.mark.parametrize(
    ("workers", "count", "cores", "expected"),
    [
        ("auto", 1000, 2, 1),
        ("auto", 1000, 8, 4),
        ("auto", 1000, 1, 1),
        ("auto", 250, 16, 2),
        ("auto", 20, 16, 1),
        (3, 1000, 1, 3),
        (8, 5, 2, 5),
    ],
)
def test_workers(workers: str | int, count: int, cores: int, expected: int) -> None:
    assert consumers.worker_count(workers, count, cores) == expected


@given(st.integers(1, 500), st.integers(0, 1000), st.integers(1, 20))
def test_every_consumer_has_one_worker(count: int, first: int, workers: int) -> None:
    play = consumers.Play(build(), Share(first, count), "nats://127.0.0.1", None, None)

    parts = consumers.assignments(play, min(workers, count))

    played = [i for part in parts for i in range(part.first, part.first + part.count)]
    assert played == list(range(first, first + count))
    assert max(p.count for p in parts) - min(p.count for p in parts) <= 1


def figures(number: int) -> Figures:
    buckets = LatencyBuckets()
    buckets.add_ns([number * 1_000_000])
    return Figures(
        consumers=number,
        processed=10 * number,
        ok=number,
        by_status={"404": number, f"409:{number}": 1},
        fetch_latency=buckets,
    )


def test_figures_of_workers_add_up() -> None:
    total = summed([figures(1), figures(2)])

    assert total.processed == 30
    assert total.by_status == {"404": 3, "409:1": 1, "409:2": 1}
    assert sum(total.fetch_latency.counts) == 2
    assert total.fetch_latency.sum_s == pytest.approx(0.003)


def test_figures_survive_the_pipe() -> None:
    assert from_json(json.loads(json.dumps(asdict(figures(3))))) == figures(3)


def test_a_sample_falls_into_the_bucket_that_covers_it() -> None:
    buckets = LatencyBuckets()

    buckets.add_ns([1_000_000, 1_000_001, 60_000_000_000])

    assert buckets.counts[:2] == [1, 1]
    assert buckets.counts[-1] == 1


def test_metrics_follow_the_convention_and_are_few() -> None:
    collector = FiguresCollector()
    registry = CollectorRegistry()
    registry.register(collector)
    collector.figures = summed([figures(number) for number in range(1, 200)])

    text = generate_latest(registry).decode()

    assert "fpaas_consumers_messages_processed_total 199000.0" in text
    assert 'fpaas_consumers_fetches_total{result="ok"} 19900.0' in text
    assert 'fpaas_consumers_statuses_total{status="404"} 19900.0' in text
    assert 'fpaas_consumers_fetch_latency_seconds_bucket{le="+Inf"} 199.0' in text
    assert "fpaas_consumers_fetch_latency_seconds_count 199.0" in text
    assert sum(not line.startswith("#") for line in text.splitlines()) < 300
