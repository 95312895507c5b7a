"""Every agent's /metrics in a real run, against its own account and the server's."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fpaas.spec import NS_PER_S
from tests.support import dashboard_metrics, prometheus
from tests.support.measured_lab import CONSUMERS, RATE_PER_S, MeasuredLab, Scrape
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

#: The exporters' own names, which promtool would rather have otherwise.
GIVEN_NAMES = ("node_memory_", "jetstream_stream_consumer_count ")
#: Beside what a host has of each core and device.
SERIES_MAX = 200


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MeasuredLab]:
    # Each test ends its run when it has seen what it is for.
    made = MeasuredLab(tmp_path / "lab", *getattr(request, "param", ()), measure_s=600)
    made.server.start()
    yield made
    made.end()
    made.server.stop()


def value(scrape: Scrape, name: str, **labels: str) -> float:
    [found] = [value for own, value in scrape[name] if labels.items() <= own.items()]
    return found


def offered_by(lab: MeasuredLab) -> float:
    return value(lab.scrape("relay"), "fpaas_relay_frames_offered_total")


def published_by(lab: MeasuredLab) -> float:
    return value(lab.scrape("shuffler"), "fpaas_shuffler_publishes_total", outcome="published")


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_all_agents_serve_what_they_count(lab: MeasuredLab) -> None:
    lab.launch()
    assert value(lab.scrape("probe"), "fpaas_run_phase", phase="waiting") == 1
    lab.arm()
    # The probe looks for what consumers have to read every few seconds.
    lab.sleep_until(9)
    wait_until(lambda: offered_by(lab) > 7 * RATE_PER_S)
    offered = offered_by(lab)
    wait_until(lambda: published_by(lab) >= offered)
    probe, consumers, relay = (lab.scrape(agent) for agent in ("probe", "consumers", "relay"))
    published = published_by(lab)
    # Counts of a second, each.
    assert published <= offered_by(lab) + 2 * RATE_PER_S
    since_t0_s = time.time() - lab.spec.t0_unix_ns / NS_PER_S
    assert offered_by(lab) <= (since_t0_s + 1) * RATE_PER_S
    assert value(relay, "fpaas_relay_subscribers") == 1
    assert value(consumers, "fpaas_consumers_consumers") == CONSUMERS

    assert value(probe, "fpaas_run_phase", phase="measuring") == 1
    assert value(probe, "fpaas_run_info", run_id=lab.spec.run_id) == 1
    for name, labels in dashboard_metrics.LABELS.items():
        assert name in probe
        assert all(labels <= own.keys() for own, _ in probe[name]), name
    assert value(probe, "jetstream_server_total_consumers") == CONSUMERS
    stored = value(probe, "jetstream_stream_total_messages", stream_name="ATPROTO_FIREHOSE")
    assert 0 < stored <= published + 2 * RATE_PER_S
    # One series for all consumers.
    assert [own["consumer_name"] for own, _ in probe["jetstream_consumer_num_pending"]] == ["*"]
    each = [own for series in probe.values() for own, _ in series]
    assert len([own for own in each if not own.keys() & {"cpu", "device"}]) < SERIES_MAX
    for group in ("relay", "shuffler", "consumers", "probe"):
        assert value(probe, "namedprocess_namegroup_num_procs", groupname=group) >= 1
        name = "namedprocess_namegroup_cpu_seconds_total"
        assert value(probe, name, groupname=group) > 0

    before = probe
    time.sleep(1.5)
    texts = [lab.text(agent) for agent in lab.ports]
    after = lab.scrape("probe")
    for name, series in after.items():
        if not name.endswith("_total"):
            continue
        earlier = {tuple(sorted(own.items())): value for own, value in before.get(name, [])}
        assert [
            (name, own)
            for own, value in series
            if value < earlier.get(tuple(sorted(own.items())), 0)
        ] == []
    # At the end: without Prometheus this skips the rest.
    for text in texts:
        assert_promtool_agrees(text)


@pytest.mark.parametrize("lab", [("--metrics-each-consumer",)], indirect=True)
def test_each_consumer_has_series_if_asked_for(lab: MeasuredLab) -> None:
    lab.start()

    def names() -> set[str]:
        pending = lab.scrape("probe").get("jetstream_consumer_num_pending", [])
        return {own["consumer_name"] for own, _ in pending}

    wait_until(lambda: len(names()) == CONSUMERS)


def assert_promtool_agrees(text: str) -> None:
    told = subprocess.run(
        [prometheus.program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [one for one in (told.stdout + told.stderr).splitlines() if one.strip()]
    assert [one for one in lines if not one.startswith(GIVEN_NAMES)] == []


def test_a_scrape_takes_no_longer_than_a_blink(lab: MeasuredLab) -> None:
    lab.launch()
    lab.arm()
    lab.sleep_until(6)

    def takes_s() -> float:
        began = time.perf_counter()
        lab.text("probe")
        return time.perf_counter() - began

    # 50 ms on a quiet machine.
    assert min(takes_s() for _ in range(20)) < 0.5
