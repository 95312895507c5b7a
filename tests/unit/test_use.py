"""The USE view's figures, and the one sentence that says what limited a run."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.plan import capacity
from fpaas.probe.host_usage import memory_events, pressure_us, tcp_retransmits
from fpaas.reason import Reason
from fpaas.resources import use
from fpaas.spec import RunSpec
from fpaas.summary import summary
from fpaas.verdict import codes, limits
from tests.support import run_specs
from tests.support.raw_run import HOST, RawRun

LATE = Reason("poll_lateness_own", None, {"p99_ms": 200.0, "limit_ms": 100.0})
OWN = ("resources", "hosts", HOST)


@pytest.fixture(scope="module")
def overloaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict[str, Any]]:
    """Return a run whose polls take a tenth of what is owed."""
    run = RawRun()
    directory = run.write(tmp_path_factory.mktemp("use") / "run")
    return run.spec, summary.analyse(load_bundle(directory))


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict[str, Any]]:
    """Return a run whose polls could take all."""
    run = RawRun({"bench_batch_size": 1000})
    directory = run.write(tmp_path_factory.mktemp("use") / "run")
    return run.spec, summary.analyse(load_bundle(directory))


def find(
    run: tuple[RunSpec, dict[str, Any]],
    changes: dict[tuple[str, ...], Any] | None = None,
    late: list[Reason] | None = None,
) -> Reason:
    spec, content = copy.deepcopy(run)
    for (*sections, name), value in (changes or {}).items():
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    return limits.find(spec, content, late_generators=late or [], breakdowns=[])


def test_polls_that_take_less_than_is_owed(overloaded: tuple[RunSpec, dict[str, Any]]) -> None:
    limit = find(overloaded)
    assert limit.code == "polls"
    assert "50 every 5 s are 10/s of the 100/s that each is owed" in codes.sentence(limit)
    assert "localhost at 40 %" in codes.sentence(limit)
    assert overloaded[1]["limited_by"]["what"] == "polls"


def test_polls_are_no_limit_if_nearly_all_was_received(
    overloaded: tuple[RunSpec, dict[str, Any]],
) -> None:
    owed = overloaded[1]["ledger"]["owed"]
    for delivered, code in ((0.98, "polls"), (0.995, "nothing"), (1, "nothing")):
        assert find(overloaded, {("ledger", "delivered"): round(delivered * owed)}).code == code


@pytest.mark.parametrize(
    ("offered_per_s", "code"), [(40.0, "polls"), (9.0, "nothing"), (None, "nothing")]
)
def test_of_a_foreign_relay_the_measured_rate_is_owed(
    overloaded: tuple[RunSpec, dict[str, Any]], offered_per_s: float | None, code: str
) -> None:
    spec, content = overloaded
    foreign = replace(spec, firehose=replace(spec.firehose, rate_per_s=None))
    changes: dict[tuple[str, ...], Any] = {
        ("throughput", name): offered_per_s for name in ("offered_per_s", "published_per_s")
    }
    limit = find((foreign, content), changes)
    assert limit.code == code
    if code == "polls":
        assert "are 10/s of the 40/s that each is owed" in codes.sentence(limit)


def test_of_a_mix_the_class_that_takes_least_is_named(
    overloaded: tuple[RunSpec, dict[str, Any]],
) -> None:
    mix = [
        {"name": "easy", "count": 1, "fetch": "drain"},
        {"name": "slow", "count": 1, "batch_size": 20, "processing_ms": 7},
        {"name": "rare", "count": 1, "poll_interval_s": 9},
    ]
    spec = run_specs.build(bench_mix=mix, bench_consumers=3)
    plans = capacity.by_class(spec)
    classes = {name: {"plan": plan} for name, plan in plans.items()}
    limit = find((spec, {**overloaded[1], "classes": classes}))
    assert (limit.code, limit.parameters["consumers"]) == ("polls", "slow")
    assert "polls of class slow: 20 every 60 s, at 7 ms for each, are" in codes.sentence(limit)


def test_nothing_where_all_had_room(easy: tuple[RunSpec, dict[str, Any]]) -> None:
    limit = find(easy)
    assert limit.code == "nothing"
    assert "the offered load of 100/s was within the capacity of every part" in codes.sentence(
        limit
    )
    assert "NATS: 12 % of a core" in codes.sentence(limit)


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
            "185 % of a core",
        ),
        ({("jetstream", "slow_consumers"): 2}, "connections", " 2 "),
        ({("jetstream", "bytes"): 1_990_000_000}, "stream_size", "1,990 MB"),
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
    assert limit.code == what
    assert words in codes.sentence(limit)


def test_late_generators_come_before_what_they_measure(
    easy: tuple[RunSpec, dict[str, Any]],
) -> None:
    limit = find(easy, {("jetstream", "slow_consumers"): 2}, [LATE])
    assert limit.code == "load_generator"
    assert limit.parameters == {"reason": LATE}


def test_a_breakdown_is_no_limit(easy: tuple[RunSpec, dict[str, Any]]) -> None:
    spec, content = easy
    died = Reason("stream_began_anew")
    stalled = {**content, "events": [nats_silent(10.0, 14.0)]}
    limit = limits.find(spec, stalled, late_generators=[LATE], breakdowns=[died])
    assert (limit.code, limit.parameters) == ("breakdown", {"reason": died})


def nats_silent(begin_s: float, end_s: float | None, **changes: object) -> dict[str, Any]:
    event = {"kind": "nats_silent", "host": HOST, "begin_s": begin_s, "end_s": end_s}
    return event | {"parameters": {"agent": "shuffler"}} | changes


def test_a_probe_that_died_limits_less_than_what_is_measured(
    easy: tuple[RunSpec, dict[str, Any]],
) -> None:
    spec, content = easy
    probe, stopped, nats = (
        Reason(f"{code}") for code in ("probe_died", "agent_stopped", "nats_died")
    )
    for breakdowns, first in (
        ([probe, stopped], probe),
        ([probe, stopped, nats], nats),
        ([stopped, probe, nats], stopped),
    ):
        limit = limits.find(spec, content, late_generators=[], breakdowns=breakdowns)
        assert limit.parameters == {"reason": first}


def test_who_only_looks_on_limits_nothing(easy: tuple[RunSpec, dict[str, Any]]) -> None:
    for agent, what in (
        ("probe", "load_generator"),
        ("faults", "load_generator"),
        ("relay", "stall"),
    ):
        paused = nats_silent(6.0, 14.0, kind="agent_paused", parameters={"agent": agent})
        assert find(easy, {("events",): [paused]}, [LATE]).code == what


def test_of_workers_the_one_that_was_paused_is_named(
    easy: tuple[RunSpec, dict[str, Any]],
) -> None:
    whose = {"agent": "consumers", "workers": [1]}
    limit = find(easy, {("events",): [nats_silent(6, 14, kind="agent_paused", parameters=whose)]})
    assert limit.parameters["workers"] == [1]
    assert "consumers worker 1 on" in codes.sentence(limit)


PAUSED = {"kind": "agent_paused", "parameters": {"agent": "shuffler"}}


@pytest.mark.parametrize(
    ("events", "not_read", "what", "begin_s"),
    [
        ([nats_silent(10.0, 14.0)], 0, "stall", 10.0),
        ([nats_silent(34.0, None)], 0, "stall", 34.0),
        ([nats_silent(10.0, 12.0), nats_silent(20.0, 24.0, **PAUSED)], 0, "stall", 20.0),
        # Not in the window, and nothing was left behind by it.
        ([nats_silent(1.0, 4.0), nats_silent(36.0, 39.0)], 0, "load_generator", None),
        ([nats_silent(1.0, 4.0), nats_silent(36.0, 39.0)], 5, "stall", 36.0),
        ([{"at_s": 10.0, "short": "old", "sentence": "has no kind"}], 5, "load_generator", None),
    ],
)
def test_a_stall_comes_before_what_waited_for_it(
    easy: tuple[RunSpec, dict[str, Any]],
    events: list[dict[str, Any]],
    not_read: int,
    what: str,
    begin_s: float | None,
) -> None:
    limit = find(easy, {("events",): events, ("ledger", "not_read"): not_read}, [LATE])
    assert limit.code == what
    assert limit.parameters.get("begin_s") == begin_s


def test_a_relay_that_was_paused_is_named_rather_than_its_silence(
    easy: tuple[RunSpec, dict[str, Any]],
) -> None:
    silent = nats_silent(9.9, 14.1, kind="relay_silent")
    paused = nats_silent(10.0, 14.0, kind="agent_paused", parameters={"agent": "relay"})
    assert find(easy, {("events",): [silent]}).parameters["kind"] == "relay_silent"
    assert find(easy, {("events",): [silent, paused]}).parameters["kind"] == "agent_paused"


def test_a_run_of_which_nothing_came_back(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RawRun().spec.to_json())
    content = summary.analyse(load_bundle(tmp_path))
    assert content["limited_by"]["what"] == "not_known"
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
        "throttled_pct": None,
    }
    assert found["memory"]["utilisation"]["used_pct_max"] == 90
    assert found["memory"]["saturation"]["swapped_mb"] == 5
    assert found["memory"]["errors"] == {"oom_kills": 1}
    assert found["network"]["utilisation"]["of_link_pct"] == 10
    assert found["network"]["utilisation"]["of_measured_pct"] is None
    silent = {**host, "net_speed_mbit_per_s": None, "net_measured_mbit_per_s": 500.0}
    network = use.view({"h": silent}, {}, 10.0, {}, {})["h"]["network"]["utilisation"]
    assert (network["of_link_pct"], network["of_measured_pct"]) == (None, 20)
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
