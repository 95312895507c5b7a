"""The USE view's figures, and the one sentence that says what limited a run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from fpaas.probe.host_usage import memory_events, pressure_us, tcp_retransmits
from fpaas.results import limits, summary, use
from fpaas.results.bundle import Bundle
from fpaas.spec import RunSpec
from tests.raw_run import HOST, RawRun

OWN = ("resources", "hosts", HOST)


@pytest.fixture(scope="module")
def overloaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict[str, Any]]:
    """Return a run whose polls take a tenth of what is owed."""
    run = RawRun()
    directory = run.write(tmp_path_factory.mktemp("use") / "run")
    return run.spec, summary.analyse(Bundle.load(directory))


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict[str, Any]]:
    """Return a run whose polls could take all."""
    run = RawRun({"bench_batch_size": 1000})
    directory = run.write(tmp_path_factory.mktemp("use") / "run")
    return run.spec, summary.analyse(Bundle.load(directory))


def find(
    run: tuple[RunSpec, dict[str, Any]],
    changes: dict[tuple[str, ...], Any] | None = None,
    late: list[str] | None = None,
) -> limits.Limit:
    spec, content = copy.deepcopy(run)
    for (*sections, name), value in (changes or {}).items():
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    return limits.find(spec, content, late_generators=late or [], breakdowns=[])


def test_polls_that_take_less_than_is_owed(overloaded: tuple[RunSpec, dict[str, Any]]) -> None:
    limit = find(overloaded)
    assert limit.what == "polls"
    assert "50 every 5 s are 10/s of the 100/s that each is owed" in limit.sentence
    assert "the processor of localhost at 40 %" in limit.sentence
    assert overloaded[1]["limited_by"]["what"] == "polls"


def test_nothing_where_all_had_room(easy: tuple[RunSpec, dict[str, Any]]) -> None:
    limit = find(easy)
    assert limit.what == "nothing"
    assert "the offered load of 100/s was below what any part could take" in limit.sentence
    assert "NATS: 12 % of a core" in limit.sentence


@pytest.mark.parametrize(
    ("changes", "what", "words"),
    [
        ({(*OWN, "cpu_pct"): 99.0}, "processors", "99 % busy, 27 % by the lab and the rest by"),
        (
            {
                (*OWN, "cpu_pct"): 99.0,
                ("use", HOST, "nats", "utilisation", "cpu_pct"): 150.0,
            },
            "processors",
            "most of it by NATS (150 % of a core)",
        ),
        (
            {(*OWN, "cpu_pct"): 92.0, ("throughput", "published_per_s"): 50.0},
            "processors",
            "92 % busy",
        ),
        ({(*OWN, "cpu_pct"): 92.0}, "nothing", "localhost at"),
        (
            {("resources", "processes", "shuffler", "cpu_pct", "mean"): 96.0},
            "shuffler",
            "96 % of the one core",
        ),
        ({("ledger", "not_read"): 5}, "shuffler", "of 100/s offered"),
        (
            {("use", HOST, "nats", "utilisation", "cpu_pct"): 185.0},
            "nats",
            "185 % of a core, and there are 2",
        ),
        ({("jetstream", "slow_consumers"): 2}, "connections", "cut 2 off"),
        ({("jetstream", "bytes"): 1_990_000_000}, "stream size", "full with 1,990 MB"),
        (
            {
                ("use", HOST, "network", "utilisation", "of_link_pct"): 95.0,
                (*OWN, "net_speed_mbit_per_s"): 1000,
            },
            "network",
            "95 % of its 1,000 Mbit/s",
        ),
    ],
)
def test_what_is_at_its_limit_is_named(
    easy: tuple[RunSpec, dict[str, Any]],
    changes: dict[tuple[str, ...], Any],
    what: str,
    words: str,
) -> None:
    limit = find(easy, changes)
    assert limit.what == what
    assert words in limit.sentence


def test_late_generators_come_before_what_they_measure(
    easy: tuple[RunSpec, dict[str, Any]],
) -> None:
    limit = find(easy, {("jetstream", "slow_consumers"): 2}, ["polls were sent late"])
    assert limit.what == "load generator"
    assert limit.sentence == "The lab's own load generators: polls were sent late."


def test_a_breakdown_is_no_limit(easy: tuple[RunSpec, dict[str, Any]]) -> None:
    spec, content = easy
    limit = limits.find(spec, content, late_generators=["late"], breakdowns=["n: NATS restarted"])
    assert limit.what == "breakdown"
    assert limit.sentence == "A breakdown, and no limit: n: NATS restarted."


def test_a_run_of_which_nothing_came_back(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RawRun().spec.to_json())
    content = summary.analyse(Bundle.load(tmp_path))
    assert content["limited_by"]["what"] == "not known"
    assert content["use"][HOST]["cpu"]["utilisation"]["busy_pct"] is None


def test_the_view_of_a_host() -> None:
    host = {
        "cpu_pct": 50.0,
        "cpu_pct_max": 90.0,
        "cpu_count": 4,
        "load1": 6.0,
        "steal_pct": 1.0,
        "mem_mb_max": 900.0,
        "mem_total_mb": 1000.0,
        "swap_bytes": 5_000_000,
        "oom_kills": 1,
        "net_rx_bytes": 125_000_000,
        "net_tx_bytes": 0,
        "net_speed_mbit_per_s": 1000,
        "net_drops": 3,
        "tcp_retransmits": 4,
        "net_errors": 5,
        "cpu_pressure_pct": 12.0,
    }
    used = {"cpu_pct": {"mean": 30.0, "max": 40.0}, "rss_mb": {"max": 50.0}}
    found = use.view(
        {"h": host}, {"h": {"relay": used}}, 10.0, {"h": {"relay": 2.0}}, {"h": {"relay": {"x": 1}}}
    )["h"]
    assert found["cpu"]["saturation"] == {
        "waited_pct": 12.0,
        "load_per_core": 1.5,
        "steal_pct": 1.0,
    }
    assert found["memory"]["utilisation"]["used_pct_max"] == 90
    assert found["memory"]["saturation"]["swapped_mb"] == 5
    assert found["memory"]["errors"] == {"oom_kills": 1}
    assert found["network"]["utilisation"]["of_link_pct"] == 10
    assert found["network"]["saturation"] == {"dropped": 3, "tcp_retransmits": 4}
    assert found["network"]["errors"] == {"net_errors": 5}
    assert found["disk"]["utilisation"]["read_mb_per_s"] is None
    assert found["relay"]["saturation"] == {"loop_lag_p99_ms": 2.0}
    assert found["relay"]["errors"] == {"x": 1}


def test_what_the_kernel_says() -> None:
    assert tcp_retransmits("Ip: A B\nIp: 1 2\nTcp: OutSegs RetransSegs\nTcp: 100 3\n") == 3
    assert tcp_retransmits("") is None
    assert pressure_us("some avg10=0.00 avg60=0.00 avg300=0.00 total=17\nfull total=3\n") == 17
    assert pressure_us("") is None
    found = memory_events("pswpin 1\npswpout 2\noom_kill 4\n")
    assert found["oom_kills"] == 4
    assert found["swap_bytes"]
    assert memory_events("") == {"swap_bytes": None, "oom_kills": None}
