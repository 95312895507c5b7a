"""Each duty, death and goal by itself: its status, and a reason that names the figure."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.bundle.restarts import PartEnds
from fpaas.reason import Reason
from fpaas.records import files
from fpaas.records.consumers import WorkerResult
from fpaas.records.control import Trouble
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from fpaas.verdict import codes, limits, verdict
from fpaas.verdict.facts import AgentEnd, Facts, WorkerDeath, _polled_s
from tests.support import verdict_codes
from tests.support.raw_run import HOST, RawRun


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[RawRun, dict[str, Any]]:
    run = RawRun()
    directory = run.write(tmp_path_factory.mktemp("verdict") / "run")
    return run, summary.analyse(load_bundle(directory))


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


def ended(state: str, agent: str = "shuffler", at_s: float = 7.0, host: str = HOST) -> AgentEnd:
    return AgentEnd(host, agent, state, "disk full", at_s)


def missing(file: str, host: str = HOST) -> Reason:
    return Reason("file_missing", host, {"file": file})


def of(reasons: list[Reason]) -> list[str]:
    """Return codes, having made sure that each can be said."""
    assert all(codes.sentence(reason) for reason in reasons)
    return verdict_codes.of(reasons)


def test_a_healthy_run_passes(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    judged = judge(healthy)
    assert (judged.status, judged.reasons) == ("pass", [])
    (note,) = judged.notes
    assert note.code == "unread_as_planned"
    assert (note.parameters["owed_per_s"], note.parameters["capacity_per_s"]) == (100, 10)
    assert note.parameters["nothing_lost"]
    assert judged.notes_written() == [codes.sentence(note)]


def test_what_was_lost_is_not_unread_as_planned(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    owed, delivered = (healthy[1]["ledger"][name] for name in ("owed", "delivered"))
    lost = {"ledger.expired_unread": 0, "ledger.pending_at_end": 0}
    judged = judge(healthy, changes={**lost, "ledger.lost": owed - delivered})
    assert "unread_as_planned" not in of(judged.notes)
    # A few that were lost beside the others change nothing of that.
    judged = judge(healthy, changes={"ledger.lost": 1})
    assert "unread_as_planned" in of(judged.notes)


@pytest.mark.parametrize(
    ("off_points", "is_as_planned"), [(0, True), (9, True), (-9, True), (11, False), (-11, False)]
)
def test_only_what_is_near_the_plan_is_unread_as_planned(
    healthy: tuple[RawRun, dict[str, Any]], off_points: float, *, is_as_planned: bool
) -> None:
    ledger = healthy[1]["ledger"]
    unread = healthy[1]["plan"]["unread_share"] + off_points / 100
    delivered = round(ledger["owed"] * (1 - unread))
    judged = judge(healthy, changes={"ledger.delivered": delivered})
    assert ("unread_as_planned" in of(judged.notes)) == is_as_planned


@pytest.mark.parametrize(
    "changes",
    [
        {"ledger.expired_unread": 0, "ledger.pending_at_end": 0, "plan.unread_share": 0.0},
        {"ledger.delivered": None},
    ],
)
def test_if_nothing_is_known_to_be_unread_none_is_as_planned(
    healthy: tuple[RawRun, dict[str, Any]], changes: dict[str, Any]
) -> None:
    delivered = {"ledger.delivered": healthy[1]["ledger"]["owed"]}
    judged = judge(healthy, changes=delivered | changes)
    assert "unread_as_planned" not in of(judged.notes)


def test_a_rate_that_was_only_assumed_planned_nothing(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    run, content = healthy
    spec = replace(run.spec, firehose=replace(run.spec.firehose, rate_per_s=None))
    judged = verdict.judge(spec, content, Facts(never_fetched=0))
    assert "unread_as_planned" not in of(judged.notes)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (Facts(problems=[missing("relay.json")]), "file_missing"),
        (Facts(invalid_reasons=["interrupted"]), "interrupted"),
        (Facts(invalid_reasons=["interrupted: the playbook ended"]), "interrupted"),
        (Facts(invalid_reasons=["interrupted by hand"]), "marked_invalid"),
        (Facts(agents=[ended("failed")]), "agent_failed"),
        (Facts(agents=[ended("stopped")]), "agent_stopped"),
        (Facts(agents=[ended("running")]), "shuffler_died"),
        (Facts(workers_killed=[WorkerDeath(HOST, 1, 3.0)]), "worker_died"),
        (Facts(server_lives={HOST: ["A", "B"]}), "nats_restarted"),
        (Facts(stream_began_anew=True), "stream_began_anew"),
        (Facts(places_given_twice=True), "acked_forgotten"),
        (Facts(servers_silent={HOST: 7.0}), "nats_died"),
        (Facts(loop_lag_p99_ms={"relay on h": 150.0}), "loop_lag"),
        (Facts(process_cpu_pct={"shuffler (pid 1) on h": 99.0}), "process_saturated"),
        (Facts(frames_offered=17), "frames_not_offered"),
    ],
)
def test_a_fact_that_makes_a_run_invalid(
    healthy: tuple[RawRun, dict[str, Any]], facts: Facts, code: str
) -> None:
    judged = judge(healthy, facts)
    assert judged.status == "invalid"
    assert of(judged.reasons) == [code]


@pytest.mark.parametrize("shows", ["ledger.unexplained", "ledger.not_read", ""])
def test_numbers_that_a_shuffler_had_not_kept(
    healthy: tuple[RawRun, dict[str, Any]], shows: str
) -> None:
    facts = Facts(never_fetched=0, renumbered_unsaved_s=4.0)
    judged = judge(healthy, facts, changes={shows: 3} if shows else {})
    assert ("renumbered_unsaved" in of(judged.reasons)[:1]) is bool(shows)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("ledger.unexplained", 3, "ledger_unbalanced"),
        ("ledger.unexplained", None, "ledger_unmeasured"),
        ("ledger.undecodable", 11, "frames_undecodable"),
        ("relay.undecodable_once", 11, "frames_undecodable"),
        ("ledger.offered", 0, "nothing_read"),
        ("fidelity.poll_lateness_own_ms", {"p99": 101.0}, "poll_lateness_own"),
        ("fidelity.relay_lateness_own_ms", {"p99": 101.0}, "relay_lateness_own"),
        ("fidelity.relay_lateness_ms", {"p99": 200.0}, "relay_lateness"),
        ("fidelity.start_spread_ms", 101.0, "start_spread"),
        ("resources.hosts.localhost.steal_pct", 20.0, "host_steal"),
        ("resources.hosts.localhost.cpu_pct", 99.0, "host_saturated"),
        ("clock.localhost.stepped", True, "clock_set"),
        ("latency_ms.publish_ack.min", -3.0, "latency_negative"),
    ],
)
def test_a_figure_that_makes_a_run_invalid(
    healthy: tuple[RawRun, dict[str, Any]], path: str, value: object, code: str
) -> None:
    judged = judge(healthy, changes={path: value})
    assert judged.status == "invalid"
    assert of(judged.reasons)[0] == code


def test_a_few_frames_that_cannot_be_decoded_do_not_spoil_a_run(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    judged = judge(healthy, changes={"ledger.undecodable": 10})
    assert judged.status == "pass"
    assert of(judged.notes) == ["unread_as_planned", "frames_left_out"]
    once = judge(healthy, changes={"ledger.undecodable": 4, "relay.undecodable_once": 6})
    assert once.status == "pass"
    assert of(once.notes) == ["unread_as_planned", "frames_left_out", "frames_bad_once"]
    both = judge(healthy, changes={"ledger.undecodable": 5, "relay.undecodable_once": 6})
    assert both.reasons[0].parameters["count"] == 11
    only_bad = judge(healthy, changes={"ledger.undecodable": 10, "ledger.offered": 10})
    assert of(only_bad.reasons) == ["nothing_read"]
    run, content = healthy
    strict = replace(run.spec, firehose=replace(run.spec.firehose, undecodable_max_frames=0))
    content = content | {"ledger": content["ledger"] | {"undecodable": 1}}
    judged = verdict.judge(strict, content, Facts(never_fetched=0))
    assert of(judged.reasons) == ["frames_undecodable"]
    assert judged.reasons[0].parameters["limit_frames"] == 0
    # Those that a fault made are no reason, and one more is.
    judged = verdict.judge(strict, content, Facts(never_fetched=0, frames_damaged=1))
    assert judged.status == "pass"
    content = content | {"ledger": content["ledger"] | {"undecodable": 2}}
    judged = verdict.judge(strict, content, Facts(never_fetched=0, frames_damaged=1))
    assert of(judged.reasons) == ["frames_undecodable"]


def leg(count: int, **others: object) -> dict[str, object]:
    return {f"latency_ms.publish_ack.{name}": value for name, value in others.items()} | {
        "latency_ms.publish_ack.count": count
    }


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        (leg(3000, due_count=None), None),
        (leg(3000, due_count=3000), None),
        (leg(2900, due_count=3000, open_count=100), None),
        (leg(2900, due_count=3000, open_count=60, missing_count=40), (3000, 2900, 60)),
        (leg(2900, due_count=3000), (3000, 2900, 0)),
        (leg(2900, due_count=3000, open_count=99), (3000, 2900, 99)),
        (leg(3001, due_count=3000, open_count=0), (3000, 3001, 0)),
    ],
)
def test_calls_are_held_against_what_was_due(
    healthy: tuple[RawRun, dict[str, Any]],
    changes: dict[str, object],
    counts: tuple[int, int, int] | None,
) -> None:
    judged = judge(healthy, changes=changes)
    if counts is None:
        assert judged.status == "pass"
        return
    due, counted, still_open = counts
    (reason,) = judged.reasons
    assert reason == Reason(
        "calls_missing",
        None,
        {"leg": "publish_ack", "due": due, "counted": counted, "open": still_open},
    )
    assert judged.status == "invalid"


def test_what_held_the_relay_up_is_not_its_lateness(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    late: dict[str, object] = {
        "fidelity.relay_lateness_ms": {"p99": 3900.0, "max": 4000.0},
        "fidelity.relay_lateness_own_ms": {"p99": 2.0, "max": 5.0},
        "fidelity.relay_blocked_s": 3.9,
    }
    silent = {"kind": "nats_silent", "host": HOST, "begin_s": 9.2, "end_s": 13.2}
    paused = {"kind": "agent_paused", "parameters": {"agent": "shuffler"}}
    for events, cause in (
        ([], None),
        ([silent], "nats_silent"),
        # Before the window.
        ([silent | {"begin_s": 1.0, "end_s": 4.0}], None),
        ([silent | {"kind": "agent_paused", "parameters": {"agent": "relay"}}], None),
        ([silent | paused], "agent_paused"),
        # What NATS left unanswered meanwhile, the reader could not have noticed.
        ([silent, silent | paused | {"begin_s": 9.25, "end_s": 13.25}], "agent_paused"),
        ([silent, silent | paused | {"begin_s": 9.25, "end_s": 10.5}], "nats_silent"),
        ([silent | {"end_s": None}, silent | paused | {"end_s": 13.25}], "nats_silent"),
    ):
        judged = judge(healthy, changes={**late, "events": events})
        assert (judged.status, judged.reasons, judged.late_generators) == ("pass", [], [])
        (note,) = [one for one in judged.notes if one.code == "reader_blocked"]
        assert (note.parameters["seconds"], note.parameters["cause"]) == (3.9, cause)
        assert codes.sentence(note)


def test_a_blocked_reader_is_told_with_the_times_of_its_own_event(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    silent = {"kind": "nats_silent", "host": HOST, "begin_s": 9.2, "end_s": 13.2}
    blocked = {"kind": "reader_blocked", "host": HOST, "begin_s": 9.9, "end_s": 13.3}
    short = blocked | {"begin_s": 2.0, "end_s": 3.1}
    events = {"fidelity.relay_blocked_s": 3.4, "events": [silent, short, blocked]}
    (note,) = [one for one in judge(healthy, changes=events).notes if one.code == "reader_blocked"]
    times = [note.parameters[name] for name in ("blocked_from_s", "blocked_until_s")]
    assert times == [9.9, 13.3]
    assert (
        "from 9.9 s to 13.3 s after the run's start: NATS did not answer from 9.2 s to 13.2 s"
        in (codes.sentence(note))
    )


def test_a_relay_of_old_is_not_blamed_for_its_reader(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    """Whether it kept its own duty is not known, so the run stays invalid."""
    late: dict[str, object] = {"fidelity.relay_lateness_ms": {"p99": 3900.0, "max": 4000.0}}
    judged = judge(healthy, Facts(never_fetched=0, relay_blocked_s=3.95), late)
    assert of(judged.reasons) == ["relay_lateness_unresolved"]
    assert judged.late_generators == []
    judged = judge(healthy, Facts(never_fetched=0, relay_blocked_s=0.2), late)
    assert of(judged.reasons) == ["relay_lateness"]


def test_a_goal_that_open_calls_decide_makes_a_run_invalid(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    run, content = healthy
    content = copy.deepcopy(content)
    content["latency_ms"]["publish_ack"] |= {"at_least": {"p99": None}, "open_count": 1700}
    goal = {"publish_ack_p99_ms_max": 100.0}
    spec = replace(run.spec, scenario=replace(run.spec.scenario, goals=goal))
    judged = verdict.judge(spec, content, Facts(never_fetched=0))
    assert judged.status == "invalid"
    assert of(judged.reasons) == ["goal_undecided"]
    assert judged.reasons[0].parameters["open_count"] == 1700


@pytest.mark.parametrize(
    ("path", "value", "code", "cause"),
    [
        ("ledger.not_read", 5, "goal_missed", "frames_not_read"),
        ("ledger.publish_failed", 2, "goal_missed", "publishes_failed"),
        ("ledger.publish_unknown", 2, "goal_missed", "publishes_unknown"),
        ("ledger.lost", 7, "goal_missed", "deliveries_lost"),
        ("ledger.stored_twice", 2, "stored_twice", None),
        ("ledger.unacked", 3, "acks_lost", None),
        ("order.violations_in_stream", 4, "stream_out_of_order", None),
        ("order.violations_at_consumers", 5, "deliveries_out_of_order", None),
        ("ledger.expired_unread", 30_000, "goal_missed", "expired_beyond_plan"),
        ("fetches.by_status", {"404": 9, "503": 4}, "goal_missed", "fetch_errors"),
        ("fetches.by_status", {"409:Consumer Deleted": 1}, "goal_missed", "fetch_errors"),
        ("fetches.client_timeout", 1, "goal_missed", "fetch_timeouts"),
        ("connections.slow_consumer_disconnects", 2, "goal_missed", "slow_consumers"),
        ("jetstream.slow_consumers", 3, "goal_missed", "slow_consumers"),
        ("connections.errors", 1, "goal_missed", "consumer_connections"),
    ],
)
def test_a_missed_goal_fails(
    healthy: tuple[RawRun, dict[str, Any]],
    path: str,
    value: object,
    code: str,
    cause: str | None,
) -> None:
    judged = judge(healthy, changes={path: value})
    assert judged.status == "fail"
    (reason,) = judged.reasons
    assert of([reason]) == [code]
    assert verdict_codes.of(reason.parameters.get("why", [])) == ([cause] if cause else [])


def test_causes_are_spelled_out(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    changes: dict[str, object] = {
        "ledger.not_read": 3,
        "ledger.not_read_by_cause.dropped_between_frames_read": 1,
        "ledger.not_read_by_cause.after_the_last_read": 2,
        "ledger.lost": 9,
        "ledger.lost_by_cause.not_received": 4,
        "ledger.lost_by_cause.removed": 5,
    }
    missed = [reason.parameters["why"] for reason in judge(healthy, changes=changes).reasons]
    (not_read,), (lost,) = missed
    assert not_read.parameters["by_cause"]["dropped_between_frames_read"] == 1
    assert not_read.parameters["by_cause"]["after_the_last_read"] == 2
    assert lost.parameters["by_cause"]["removed"] == 5
    # Their counts are in the sentence.
    assert {"1", "2", "3"} <= set(codes.sentence(not_read).split())
    assert {"4", "5", "9"} <= set(codes.sentence(lost).split())


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
    assert "consumers_without_poll" in of(judged.notes)


def test_expiry_that_the_parameters_do_not_imply_fails(tmp_path: Path) -> None:
    """Batches as large as what is owed: nothing needs to expire."""
    run = RawRun({"bench_batch_size": 1000})
    content = summary.analyse(load_bundle(run.write(tmp_path / "run")))
    assert content["verdict"]["status"] == "pass"
    assert content["notes"] == []
    content["ledger"]["expired_unread"] = 5000
    judged = verdict.judge(run.spec, content, Facts(never_fetched=0))
    assert judged.status == "fail"
    (why,) = judged.reasons[0].parameters["why"]
    assert why == Reason("expired_beyond_plan", None, {"expired": 5000, "planned": 0})


@pytest.mark.parametrize(
    ("bound_ms", "code"),
    [(12.5, "clock_unsure"), (None, "clock_unknown")],
)
def test_a_clock_that_is_not_sure_enough(
    healthy: tuple[RawRun, dict[str, Any]], bound_ms: float | None, code: str
) -> None:
    run, content = healthy
    content = copy.deepcopy(content)
    content["clock"][HOST]["bound_ms"] = bound_ms
    alone = verdict.judge(run.spec, content, Facts(never_fetched=0))
    assert alone.status == "pass", "the clock that is compared with itself"
    spec = replace(run.spec, hosts={**run.spec.hosts, "nats": ["n"]})
    judged = verdict.judge(spec, content, Facts(never_fetched=0))
    assert judged.status == "invalid"
    assert of(judged.reasons) == [code]
    assert judged.reasons[0].host == HOST


def test_a_server_s_host_may_be_busy(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    run, content = healthy
    content = copy.deepcopy(content)
    content["resources"]["hosts"][HOST]["cpu_pct"] = 99.0
    elsewhere = {group: ["load"] for group in ("relay", "shuffler", "consumers")}
    spec = replace(run.spec, hosts={**elsewhere, "nats": [HOST]})
    assert verdict.judge(spec, content, Facts(never_fetched=0)).status == "pass"


def test_many_problems_are_cut_short(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    judged = judge(healthy, Facts(problems=[missing(f"file-{n}") for n in range(300)]))
    assert len(judged.reasons) == verdict.SPELLED_OUT_MAX + 1
    assert judged.reasons[-1] == Reason("more_problems", None, {"count": 290})


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
        (Facts(server_lives={"n2": ["A", "B"]}), "nats_restarted_outlived"),
        (Facts(server_lives={"n2": ["A"]}, servers_silent={"n2": 7.0}), "nats_died_outlived"),
    ],
)
@pytest.mark.parametrize("by_itself", [0, 1])
def test_a_server_that_the_cluster_outlived_is_a_note(
    healthy: tuple[RawRun, dict[str, Any]], facts: Facts, note: str, by_itself: int
) -> None:
    ends = [PartEnds("n2", "nats", 1, by_itself)]
    judged = as_cluster(healthy, replace(facts, shuffler_reconnects=1, ends=ends))
    if by_itself:
        # No fault of the run was to do that.
        assert judged.status == "fail"
        assert causes_of(judged, "failures_max") == [note]
        broken = ["shuffler_reconnects", "fetch_errors", "consumer_connections"]
        assert causes_of(judged, "errors_max") == broken
        assert note in of(judged.notes)
        return
    assert (judged.status, judged.reasons) == ("pass", [])
    assert judged.notes[0].host == "n2"
    assert of(judged.notes) == [
        *(note, "shuffler_reconnects", "fetch_errors", "consumer_connections"),
        "unread_as_planned",
    ]


RESTARTED = Facts(server_lives={HOST: ["A", "B"]}, has_final=True)


@pytest.mark.parametrize(
    ("part", "facts", "note"),
    [
        ("nats", replace(RESTARTED, shuffler_reconnects=1), "nats_restarted_recovered"),
        ("shuffler", Facts(), "shuffler_restarted"),
        ("relay", Facts(), "relay_restarted"),
        ("consumers", Facts(), "workers_restarted"),
    ],
)
@pytest.mark.parametrize("by_itself", [0, 1])
def test_a_part_that_failed_though_no_fault_was_to_do_that_costs_a_goal(
    healthy: tuple[RawRun, dict[str, Any]], part: str, facts: Facts, note: str, by_itself: int
) -> None:
    judged = judge_ends(healthy, facts, PartEnds(HOST, part, 2, by_itself))
    (said,) = [one for one in judged.notes if one.code == note]
    assert said.parameters["by_itself"] == by_itself
    assert ("without a fault to cause it" in codes.sentence(said)) == bool(by_itself)
    assert causes_of(judged, "failures_max") == ([note] if by_itself else None)


def causes_of(judged: verdict.Verdict, name: str) -> list[str] | None:
    """Return the causes for which a goal was missed; None if it was not."""
    (goal,) = [one for one in judged.goals if one.name == name]
    return of(goal.why) if goal.status == "missed" else None


def judge_ends(
    healthy: tuple[RawRun, dict[str, Any]], facts: Facts, *ends: PartEnds, streams_lost: int = 0
) -> verdict.Verdict:
    """Judge a run in which parts ended and nothing else was amiss."""
    run, content = healthy
    content = copy.deepcopy(content)
    content["fetches"].update(by_status={}, client_timeout=0)
    content["connections"].update(errors=0, reconnects=0)
    content["recovery"]["streams_lost"] = streams_lost
    content["recovery"]["replayed"] = 0
    facts = replace(facts, never_fetched=0, ends=list(ends))
    return verdict.judge(run.spec, content, facts)


def test_what_a_fault_did_to_a_server_excuses_no_other_part(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    facts = replace(RESTARTED, shuffler_reconnects=1)
    asked = PartEnds(HOST, "nats", 1, 0)
    judged = judge_ends(healthy, facts, asked)
    assert judged.status == "pass"
    judged = judge_ends(healthy, facts, asked, PartEnds(HOST, "shuffler", 2, 1))
    assert causes_of(judged, "failures_max") == ["shuffler_restarted"]
    # Nobody knows whose the errors are.
    assert causes_of(judged, "errors_max") == ["shuffler_reconnects"]


@pytest.mark.parametrize(("streams_lost", "is_missed"), [(0, False), (1, False), (2, True)])
def test_a_stream_that_is_lost_without_its_server_costs_a_goal(
    healthy: tuple[RawRun, dict[str, Any]], streams_lost: int, *, is_missed: bool
) -> None:
    facts = replace(RESTARTED, shuffler_reconnects=1)
    asked = PartEnds(HOST, "nats", 1, 0)
    judged = judge_ends(healthy, facts, asked, streams_lost=streams_lost)
    assert causes_of(judged, "failures_max") == (["stream_recreated"] if is_missed else None)
    said = [codes.sentence(one) for one in judged.notes if one.code == "stream_recreated"]
    assert ["although its server had not ended" in one for one in said] == [is_missed] * len(said)


def test_broken_connections_of_a_cluster_whose_servers_are_well_fail(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    assert as_cluster(healthy, Facts(server_lives={"n1": ["A"], "n2": ["B"]})).status == "fail"


def test_a_server_without_enough_replicas_is_a_reason(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    judged = as_cluster(healthy, Facts(server_lives={"n2": ["A", "B"]}), replicas=1)
    assert judged.status == "invalid"
    assert judged.reasons[0].code == "nats_restarted"
    assert judged.reasons[0].parameters["replicas"] == 1


# -- causes before consequences --------------------------------------------------------------------


def test_a_single_server_that_stays_away_is_the_first_reason(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    facts = Facts(
        server_lives={HOST: ["A"]},
        servers_silent={HOST: 7.0},
        problems=[missing("probe.final.json"), missing("x", "h")],
        agents=[ended("failed", "probe", at_s=44.0)],
    )
    judged = judge(healthy, facts)
    assert of(judged.reasons) == ["nats_died", "agent_failed", "file_missing", "file_missing"]
    assert [one.parameters.get("file") for one in judged.reasons[2:]] == ["x", "probe.final.json"]
    assert judged.breakdowns[0].code == "nats_died"


def test_memory_that_ran_out_comes_before_what_died_of_it(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    killed = {HOST: 1, "other": 2}
    facts = Facts(workers_killed=[WorkerDeath(HOST, 0, 5.0, 6.0)], killed_for_memory=killed)
    judged = judge(healthy, facts)
    assert of(judged.reasons)[:2] == ["memory_ran_out", "worker_died"]
    assert [note.host for note in judged.notes if note.code == "processes_killed_for_memory"] == [
        "other"
    ]
    run, summary = healthy
    limit = limits.find(run.spec, summary, late_generators=[], breakdowns=judged.breakdowns)
    assert (limit.code, limit.parameters) == ("memory", {"host": HOST, "count": 1})
    # Nothing died: it is worth knowing, no more.
    judged = judge(healthy, Facts(killed_for_memory={HOST: 1}))
    assert "memory_ran_out" not in of(judged.reasons)
    assert "processes_killed_for_memory" in of(judged.notes)


def test_a_log_is_pointed_to_only_if_it_says_anything(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    for has_log in (True, False):
        facts = Facts(
            agents=[AgentEnd(HOST, "probe", "running", "", 5.0, has_log)],
            servers_silent={HOST: 7.0},
            servers_with_log=[HOST] if has_log else [],
        )
        for reason in judge(healthy, facts).breakdowns:
            assert ("says more" in codes.sentence(reason)) == has_log
            assert "running" not in codes.sentence(reason)


def test_without_its_server_nothing_is_left_undone_as_planned(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    notes = of(judge(healthy, Facts(never_fetched=4, polled_s=4.0)).notes)
    assert {"unread_as_planned", "consumers_without_poll"} <= set(notes)
    facts = Facts(never_fetched=4, polled_s=4.0, servers_silent={HOST: 7.0})
    assert not {"unread_as_planned", "consumers_without_poll"} & set(
        of(judge(healthy, facts).notes)
    )


@pytest.mark.parametrize("dead", ["relay", "shuffler", "consumers", "probe"])
def test_what_died_comes_before_what_was_stopped_because_of_it(
    healthy: tuple[RawRun, dict[str, Any]], dead: str
) -> None:
    agents = ("relay", "shuffler", "consumers", "probe")
    cut = Reason("file_unreadable", HOST, {"file": f"{dead}.json", "what": "is none"})
    facts = Facts(
        # Of another host, which went on.
        problems=[cut, missing("probe.host.jsonl", "other")],
        agents=[
            ended("running" if agent == dead else "stopped", agent, 5.0 if agent == dead else 8.0)
            for agent in agents
        ],
        frames_offered=17,
    )
    judged = judge(healthy, facts, {"ledger.unexplained": None})
    assert of(judged.reasons) == [
        f"{dead}_died",
        "file_missing",
        *["agent_stopped"] * 3,
        "ledger_unmeasured",
        "frames_not_offered",
        "file_unreadable",
    ]
    assert judged.breakdowns[0].code == f"{dead}_died"


def test_deaths_are_in_the_order_of_time(healthy: tuple[RawRun, dict[str, Any]]) -> None:
    facts = Facts(
        agents=[ended("running", "relay", 9.0), ended("running", "shuffler", 6.0)],
        workers_killed=[WorkerDeath(HOST, 1, 3.0)],
        server_lives={HOST: ["A", "B"]},
        servers_answered={HOST: 5.0},
        invalid_reasons=["interrupted"],
    )
    silent = {"kind": "nats_silent", "host": HOST, "begin_s": 7.5, "end_s": None}
    for events, order in (
        ([], ("worker_died", "nats_restarted", "shuffler_died", "relay_died")),
        # Its clients noticed at once, samples are seconds apart.
        ([silent], ("worker_died", "shuffler_died", "nats_restarted", "relay_died")),
    ):
        judged = judge(healthy, facts, {"events": events})
        assert of(judged.reasons) == [*order, "interrupted"]


def test_a_worker_that_was_killed_comes_before_its_agent_that_failed_of_it(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    facts = Facts(
        problems=[missing("consumers-1.first_fetch.bin.gz"), missing("consumers-0.json")],
        agents=[ended("failed", "consumers", 4.0), ended("stopped", "probe")],
        workers_killed=[WorkerDeath(HOST, 1, 3.9)],
    )
    assert of(judge(healthy, facts).reasons) == [
        *("worker_died", "agent_failed", "agent_stopped"),
        *("file_missing", "file_missing"),
    ]


def test_workers_that_went_with_their_agent_are_its_consequence(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    cut = Reason("worker_account_cut", HOST, {"file": "consumers-0.json"})
    facts = Facts(
        problems=[cut],
        agents=[ended("running", "consumers", 4.0)],
        workers_killed=[WorkerDeath(HOST, 0, 3.9)],
    )
    assert of(judge(healthy, facts).reasons) == ["consumers_died", "worker_account_cut"]


def test_an_interruption_comes_before_what_it_stopped(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    facts = Facts(
        invalid_reasons=["interrupted"],
        agents=[ended("stopped", "probe", 4.0), ended("stopped", "shuffler", 3.0)],
    )
    judged = judge(healthy, facts)
    assert of(judged.reasons) == ["interrupted", "agent_stopped", "agent_stopped"]
    assert judged.reasons[1].parameters["agent"] == "shuffler"
    assert judged.breakdowns[0].code == "interrupted"


def test_a_death_that_a_playbook_noticed_too_is_one_reason(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    def noticed(problem: Trouble, host: str = HOST, **parameters: object) -> Reason:
        return Reason("control_problem", host, {"problem": problem, **parameters})

    lost = noticed(Trouble.HOST_LOST, "other", silent_s=9.0, message="gone")
    facts = Facts(
        problems=[
            noticed(Trouble.DIED, agent="relay", pid=7),
            noticed(Trouble.FAILED, agent="probe", message="disk full"),
            noticed(Trouble.STOPPED, agent="consumers"),
            noticed(Trouble.NATS_DOWN, message="bye"),
            # Of agents that ended well in the end, and what is no agent's.
            noticed(Trouble.SILENT, agent="shuffler", silent_s=9.0),
            *(lost, lost),
        ],
        agents=[
            *(ended("running", "relay"), ended("failed", "probe", 8.0)),
            *(ended("stopped", "consumers", 9.0), ended("done", "shuffler")),
        ],
        servers_silent={HOST: 10.0},
    )
    assert of(judge(healthy, facts).reasons) == [
        *("relay_died", "agent_failed", "nats_died"),
        *("control_problem", "agent_stopped", "control_problem"),
    ]


def test_nobody_is_blamed_for_polls_that_never_came(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    # A poll every 5 s, of which the first may find nothing yet.
    assert judge(healthy, Facts(never_fetched=2, polled_s=20.0)).status == "fail"
    cut = judge(healthy, Facts(never_fetched=2, polled_s=4.0))
    assert "consumers_never_fetched" not in str(cut.goals)
    assert "consumers_without_poll" in of(cut.notes)


def test_how_long_all_consumers_were_polled(tmp_path: Path) -> None:
    run = RawRun(workers=2)
    directory = run.write(tmp_path / "run", sealed=False)
    whole = load_bundle(directory)
    assert _polled_s(whole) == (run.spec.end_unix_ns - run.spec.t0_unix_ns) / NS_PER_S
    path = directory / "hosts" / HOST / "consumers-1.json"
    result = files.read(path, WorkerResult)
    until_unix_ns = run.spec.t0_unix_ns + 7 * NS_PER_S
    files.write(path, msgspec.structs.replace(result, polls_until_unix_ns=until_unix_ns))
    assert _polled_s(load_bundle(directory)) == 7.0


def test_what_a_probe_that_ended_left_out_is_no_reason_of_its_own(
    healthy: tuple[RawRun, dict[str, Any]],
) -> None:
    facts = Facts(
        agents=[ended("stopped", "probe"), ended("done", "probe", host="other")],
        unsampled_s={HOST: 5, "other": 6},
    )
    found = [(reason.code, reason.host) for reason in judge(healthy, facts).reasons]
    assert found == [("agent_stopped", HOST), ("host_unsampled", "other")]
