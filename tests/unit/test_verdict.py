"""Each duty, death and goal by itself: its status, and a reason that names the figure."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpaas.results import summary, verdict
from fpaas.results.bundle import AgentStatus, Bundle
from fpaas.results.verdict import Facts
from tests.raw_run import HOST, RawRun


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[RawRun, dict[str, Any]]:
    run = RawRun()
    directory = run.write(tmp_path_factory.mktemp("verdict") / "run")
    return run, summary.analyse(Bundle.load(directory))


def judge(
    healthy: tuple[RawRun, dict[str, Any]],
    facts: Facts | None = None,
    changes: dict[str, object] | None = None,
) -> verdict.Verdict:
    """Judge the healthy run with changes: `ledger.lost` is summary["ledger"]["lost"]."""
    run, content = healthy
    content = copy.deepcopy(content)
    for path, value in (changes or {}).items():
        *sections, name = path.split(".")
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    return verdict.judge(run.spec, content, facts or Facts(never_fetched=0))


def status(state: str) -> AgentStatus:
    return AgentStatus("shuffler", state, "disk full", 0)


def test_a_healthy_run_passes(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    judged = judge(healthy)
    assert (judged.status, judged.reasons) == ("pass", [])
    (note,) = judged.notes
    assert "owed 100 messages/s" in note
    assert "50 every 5 s = 10/s" in note
    assert "This is no failure" in note


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(problems=["h: relay.json: is missing"]), "relay.json"),
        (Facts(invalid_reasons=["interrupted"]), "interrupted"),
        (Facts(agents=[(HOST, status("failed"))]), "shuffler failed: disk full"),
        (Facts(agents=[(HOST, status("stopped"))]), "stopped before the run's end"),
        (Facts(agents=[(HOST, status("running"))]), "died; the last it said was 'running'"),
        (Facts(server_lives={HOST: ["A", "B"]}), "restarted"),
        (Facts(stream_began_anew=True), "began anew"),
        (Facts(servers_silent={HOST: 7.0}), "did not answer from 7 s after the run's start"),
        (Facts(loop_lag_p99_ms={"relay on h": 150.0}), "relay on h: its event loop"),
        (Facts(process_cpu_pct={"shuffler (pid 1) on h": 99.0}), "saturated, 99 % of a core"),
        (Facts(frames_offered=17), "offered 17 frames of the 3500"),
    ],
)
def test_a_fact_that_makes_a_run_invalid(
    healthy: tuple[RawRun, dict[str, Any]], facts: Facts, reason: str
) -> None:
    judged = judge(healthy, facts)
    assert judged.status == "invalid"
    assert reason in judged.reasons[0]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("ledger.unexplained", 3, "3 unexplained"),
        ("ledger.unexplained", None, "could not be balanced"),
        ("ledger.undecodable", 2, "2 times the relay ws://127.0.0.1:2480 sent what could not be"),
        ("ledger.offered", 0, "not one event was read from the relay ws://127.0.0.1:2480"),
        ("fidelity.poll_lateness_own_ms", {"p99": 101.0}, "p99 101.0 ms"),
        ("fidelity.relay_lateness_ms", {"p99": 200.0}, "p99 200.0 ms"),
        ("fidelity.start_spread_ms", 101.0, "101 ms apart"),
        ("resources.hosts.localhost.steal_pct", 20.0, "20.0 %"),
        ("resources.hosts.localhost.cpu_pct", 99.0, "saturated, 99.0 % busy on average"),
        ("clock.localhost.stepped", True, "clock was set"),
    ],
)
def test_a_figure_that_makes_a_run_invalid(
    healthy: tuple[RawRun, dict[str, Any]], path: str, value: object, reason: str
) -> None:
    judged = judge(healthy, changes={path: value})
    assert judged.status == "invalid"
    assert reason in judged.reasons[0]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("ledger.not_read", 5, "5 of 3500 frames were never read"),
        ("ledger.publish_failed", 2, "2 publishes failed for good"),
        ("ledger.publish_unknown", 2, "2 publishes were never answered"),
        ("ledger.lost", 7, "7 deliveries were lost"),
        ("ledger.stored_twice", 2, "2 events are in the stream twice"),
        ("ledger.unacked", 3, "3 deliveries were received and acknowledged, and the server still"),
        ("order.violations_in_stream", 4, "4 events were stored after a later one of the same DID"),
        ("order.violations_at_consumers", 5, "5 first deliveries came after"),
        ("ledger.expired_unread", 30_000, "30 000 messages expired unread where"),
        ("fetches.by_status", {"404": 9, "503": 4}, "4 of 503"),
        ("fetches.by_status", {"409:Consumer Deleted": 1}, "1 of 409:Consumer Deleted"),
        ("fetches.client_timeout", 1, "1 fetches were not answered in time"),
        ("connections.slow_consumer_disconnects", 2, "cut 2 connections off"),
        ("jetstream.slow_consumers", 3, "cut 3 connections off"),
        ("connections.errors", 1, "1 errors"),
    ],
)
def test_a_missed_goal_fails(
    healthy: tuple[RawRun, dict[str, Any]], path: str, value: object, reason: str
) -> None:
    judged = judge(healthy, changes={path: value})
    assert judged.status == "fail"
    assert len(judged.reasons) == 1
    assert reason in judged.reasons[0]


def test_causes_are_spelled_out(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    changes: dict[str, object] = {
        "ledger.not_read": 3,
        "ledger.not_read_by_cause.dropped_between_frames_read": 1,
        "ledger.not_read_by_cause.after_the_last_read": 2,
        "ledger.lost": 9,
        "ledger.lost_by_cause.not_received": 4,
        "ledger.lost_by_cause.removed": 5,
    }
    not_read, lost = judge(healthy, changes=changes).reasons
    assert "1 vanished on the way" in not_read
    assert "2 after the last" in not_read
    assert "4 were sent by the server and received by nobody" in lost
    assert "5 were removed from the stream by somebody" in lost


def test_an_invalid_run_says_what_it_missed_too(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    judged = judge(healthy, Facts(invalid_reasons=["interrupted"]), {"ledger.lost": 1})
    assert judged.status == "invalid"
    assert len(judged.reasons) == 2


def test_consumers_that_never_fetched_fail_only_where_each_had_a_poll(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    run, content = healthy
    facts = Facts(never_fetched=2)
    assert verdict.judge(run.spec, content, facts).status == "fail"
    spec = replace(run.spec, consumers=replace(run.spec.consumers, poll_interval_s=40.0))
    judged = verdict.judge(spec, content, facts)
    assert judged.status == "pass"
    assert any("too short" in note for note in judged.notes)


def test_expiry_that_the_parameters_do_not_imply_fails(tmp_path: Path) -> None:
    """Batches as large as what is owed: nothing needs to expire."""
    run = RawRun({"bench_batch_size": 1000})
    content = summary.analyse(Bundle.load(run.write(tmp_path / "run")))
    assert content["verdict"]["status"] == "pass"
    assert content["notes"] == []
    content["ledger"]["expired_unread"] = 5000
    judged = verdict.judge(run.spec, content, Facts(never_fetched=0))
    assert judged.status == "fail"
    assert "the parameters imply 0" in judged.reasons[0]


@pytest.mark.parametrize(
    ("bound_ms", "reason"),
    [(12.5, "known to ± 12.5 ms only, the limit is 10 ms"), (None, "could not be compared")],
)
def test_a_clock_that_is_not_sure_enough(
    healthy: tuple[RawRun, dict[str, Any]], bound_ms: float | None, reason: str
) -> None:
    run, content = healthy
    content = copy.deepcopy(content)
    content["clock"][HOST]["bound_ms"] = bound_ms
    alone = verdict.judge(run.spec, content, Facts(never_fetched=0))
    assert alone.status == "pass", "the clock that is compared with itself"
    spec = replace(run.spec, hosts={**run.spec.hosts, "nats": ["n"]})
    judged = verdict.judge(spec, content, Facts(never_fetched=0))
    assert judged.status == "invalid"
    assert reason in judged.reasons[0]


def test_a_server_s_host_may_be_busy(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    run, content = healthy
    content = copy.deepcopy(content)
    content["resources"]["hosts"][HOST]["cpu_pct"] = 99.0
    elsewhere = {group: ["load"] for group in ("relay", "shuffler", "consumers")}
    spec = replace(run.spec, hosts={**elsewhere, "nats": [HOST]})
    assert verdict.judge(spec, content, Facts(never_fetched=0)).status == "pass"


def test_many_problems_are_cut_short(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    judged = judge(healthy, Facts(problems=[f"h: file-{n}: is missing" for n in range(300)]))
    assert len(judged.reasons) == verdict.SPELLED_OUT_MAX + 1
    assert "290 more" in judged.reasons[-1]


def as_cluster(
    healthy: tuple[RawRun, dict[str, Any]], facts: Facts, replicas: int = 3
) -> verdict.Verdict:
    """Judge a run with the marks that a fail-over leaves."""
    run, content = healthy
    facts = replace(facts, never_fetched=0)
    content = copy.deepcopy(content)
    content["fetches"]["by_status"] = {"404": 9, "503": 4}
    content["connections"]["reconnects"] = 2
    spec = replace(
        run.spec,
        hosts={**run.spec.hosts, "nats": ["n1", "n2", "n3"]},
        stream=replace(run.spec.stream, replicas=replicas),
    )
    return verdict.judge(spec, content, facts)


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        (Facts(server_lives={"n2": ["A", "B"]}), "n2: NATS restarted during the run (A, then B)"),
        (Facts(server_lives={"n2": ["A"]}, servers_silent={"n2": 7.0}), "n2: NATS failed"),
    ],
)
def test_a_server_that_the_cluster_outlived_is_a_note(
    healthy: tuple[RawRun, dict[str, Any]], facts: Facts, note: str
) -> None:
    judged = as_cluster(healthy, replace(facts, shuffler_reconnects=1))
    assert (judged.status, judged.reasons) == ("pass", [])
    assert note in judged.notes[0]
    assert any("4 of 503" in one for one in judged.notes)
    assert any("2 reconnects" in one for one in judged.notes)


def test_broken_connections_of_a_cluster_whose_servers_are_well_fail(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    assert as_cluster(healthy, Facts(server_lives={"n1": ["A"], "n2": ["B"]})).status == "fail"


def test_a_server_without_enough_replicas_is_a_reason(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    judged = as_cluster(healthy, Facts(server_lives={"n2": ["A", "B"]}), replicas=1)
    assert judged.status == "invalid"
    assert "bench_stream_replicas is 1" in judged.reasons[0]


def test_a_single_server_that_stays_away_is_the_first_reason(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    facts = Facts(
        server_lives={HOST: ["A"]}, servers_silent={HOST: 7.0}, problems=["h: x: is missing"]
    )
    judged = judge(healthy, facts)
    assert judged.status == "invalid"
    assert judged.reasons[0] == (
        f"{HOST}: NATS failed during the run and did not come back: it did not answer from 7 s "
        "after the run's start on, its memory stream was lost; nats.log says more"
    )
