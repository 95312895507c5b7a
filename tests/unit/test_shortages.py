"""A host that is smaller than its part is warned about, by what the plan says that it takes."""

from __future__ import annotations

import pytest

from fpaas.plan.capacity import predict
from fpaas.plan.shortages import HostSize, shortages
from tests.support.plugin_modules import load
from tests.support.run_specs import build

LARGE = HostSize(memory_mb=64_000, disk_free_mb=500_000, net_mbit_per_s=25_000)
LOAD = {
    "bench_consumers": 300,
    "bench_poll_interval_s": 5,
    "bench_batch_size": 2000,
    "bench_firehose_rate_per_s": 300,
    "bench_measure_s": 300,
}


def said(host: str, has: HostSize, **values: object) -> list[str]:
    run = build(**LOAD, **values)
    return list(shortages(run, predict(run), host, has))


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_host_that_is_large_enough(host: str) -> None:
    assert said(host, LARGE) == []
    assert said(host, HostSize(None, None, None)) == []


def test_memory_below_stream_and_server() -> None:
    small = HostSize(memory_mb=512, disk_free_mb=500_000, net_mbit_per_s=None)

    [sentence] = said("a", small)

    assert "a: NATS and its stream in memory are planned to take" in sentence
    assert "the host has 512 MB" in sentence
    # Another host, and a stream on disk, need no such memory.
    assert said("b", small) == []
    assert said("a", small, bench_stream_storage="file") == []


def test_disk_below_a_stream_on_disk() -> None:
    small = HostSize(memory_mb=64_000, disk_free_mb=100, net_mbit_per_s=None)

    [sentence] = said("a", small, bench_stream_storage="file")

    assert "on disk, 100 MB are free" in sentence
    assert said("a", small) == []


def test_network_below_the_plan() -> None:
    slow = HostSize(memory_mb=64_000, disk_free_mb=500_000, net_mbit_per_s=1_000)

    [servers] = said("a", slow)
    [consumers] = said("b", slow)

    assert "its fastest interface has 1,000 Mbit/s" in servers
    assert consumers.startswith("b: its part is planned to move")


def test_a_host_says_what_it_has(tmp_path: object) -> None:
    has = load("modules/check_host.py").size_of(f"{tmp_path}/not/there")

    assert has["memory_mb"] > 100
    assert has["disk_free_mb"] > 0
    assert has["net_mbit_per_s"] is None or has["net_mbit_per_s"] > 0
