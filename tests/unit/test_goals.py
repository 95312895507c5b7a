"""Goals: read, judged, said; a healthy run passes each and a sick one does not."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jinja2.nativetypes import NativeEnvironment

from fpaas.bundle.loader import load_bundle
from fpaas.spec import RunSpec, SpecError
from fpaas.summary import summary
from fpaas.verdict import goals
from fpaas.verdict.measured import Measured
from tests.support.raw_run import RawRun

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict[str, Any]]:
    run = RawRun()
    directory = run.write(tmp_path_factory.mktemp("goals") / "run")
    return run.spec, summary.analyse(load_bundle(directory))


def judge_one(
    healthy: tuple[RunSpec, dict[str, Any]],
    goal: dict[str, float],
    changes: dict[str, object] | None = None,
    **facts: Any,  # noqa: ANN401
) -> goals.Goal:
    """Judge one goal of the healthy run; changes are by path, `ledger.lost`."""
    spec, content = copy.deepcopy(healthy)
    for path, value in (changes or {}).items():
        *sections, name = path.split(".")
        target = content
        for section in sections:
            target = target[section]
        target[name] = value
    spec = replace(spec, scenario=replace(spec.scenario, goals=goal))
    (judged,) = goals.judge(Measured(spec, content, **{"never_fetched": 0, **facts}))
    return judged


def scenario_goals(number: int) -> dict[str, float | None]:
    """Read a playbook's goals as Ansible does."""
    [play] = yaml.safe_load((CHECKOUT / f"playbooks/scenario-{number}.yml").read_text())
    stated = {
        name: NativeEnvironment().from_string(str(limit)).render(play["vars"])
        for name, limit in play["vars"].get("scenario_goals", {}).items()
    }
    return goals.read(stated)


@pytest.mark.parametrize(
    ("delivery", "capacity_per_s", "status"),
    [
        ("fanout", 500.0, goals.MISSED),
        ("shared", 50.0, goals.MISSED),
        ("shared", 500.0, goals.RULED_OUT),
        ("shared", None, goals.RULED_OUT),
    ],
)
def test_who_shares_a_durable_may_come_when_others_have_taken_all(
    healthy: tuple[RunSpec, dict[str, Any]],
    delivery: str,
    capacity_per_s: float | None,
    status: str,
) -> None:
    spec, content = healthy
    spec = replace(spec, consumers=replace(spec.consumers, delivery=delivery))
    changes: dict[str, object] = {"plan.capacity_per_s": capacity_per_s, "plan.owed_per_s": 100.0}
    goal = judge_one((spec, content), {"consumers_fetched_pct_min": 100}, changes, never_fetched=1)
    assert goal.status == status


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_each_scenario_states_goals_that_can_be_judged(number: int) -> None:
    stated = scenario_goals(number)
    # What every run must reach stands in one place.
    assert not goals.DEFAULT_GOALS.items() & stated.items()
    assert number == 1 or stated


def test_real_time_is_within_the_poll_interval() -> None:
    assert scenario_goals(5)["publish_to_first_fetch_p99_ms_max"] == 5000


def test_a_scenario_and_the_user_state_only_what_differs() -> None:
    content = yaml.safe_load((CHECKOUT / "group_vars/all.yml").read_text())
    assert content["scenario_goals"] == content["goals"] == {}


@pytest.mark.parametrize(
    ("name", "changes", "facts"),
    [
        ("consumers_fetched_pct_min=100", {}, {"never_fetched": 1}),
        ("frames_lost_max=0", {"ledger.not_read": 1}, {}),
        ("frames_lost_max=0", {"ledger.publish_failed": 1}, {}),
        ("frames_lost_max=0", {"ledger.publish_unknown": 1}, {}),
        ("deliveries_lost_max=0", {"ledger.lost": 1}, {}),
        ("unexplained_max=0", {"ledger.unexplained": 1}, {}),
        ("expired_beyond_plan_pct_max=10", {"ledger.expired_unread": 30_000}, {}),
        ("errors_max=0", {}, {"shuffler_reconnects": 1}),
        ("errors_max=0", {"fetches.by_status": {"503": 1}}, {}),
        ("errors_max=0", {"fetches.client_timeout": 1}, {}),
        ("errors_max=0", {"connections.reconnects": 1}, {}),
        ("slow_consumers_max=0", {"jetstream.slow_consumers": 1}, {}),
        ("fetch_call_p99_ms_max=100", {"latency_ms.fetch_call.p99": 101.0}, {}),
        ("publish_ack_p99_ms_max=100", {"latency_ms.publish_ack.p99": 101.0}, {}),
        ("nats_cpu_pct_max=50", {"resources.processes.nats.cpu_pct.mean": 51.0}, {}),
        ("nats_rss_mb_max=3500", {"resources.processes.nats.rss_mb.max": 3501.0}, {}),
        ("batch_fill_pct_min=95", {"fetches.batch_fill_pct": 94.0}, {}),
        ("processed_per_s_min=90", {"throughput.processed_per_s": 89.0}, {}),
    ],
)
def test_a_goal_is_met_by_a_healthy_run_and_missed_by_a_sick_one(
    healthy: tuple[RunSpec, dict[str, Any]],
    name: str,
    changes: dict[str, object],
    facts: dict[str, Any],
) -> None:
    goal, limit = name.split("=")
    assert judge_one(healthy, {goal: float(limit)}).status == goals.MET
    missed = judge_one(healthy, {goal: float(limit)}, changes, **facts)
    assert missed.status == goals.MISSED
    assert missed.name == goal


def test_what_the_parameters_rule_out_is_missed_by_nobody(
    healthy: tuple[RunSpec, dict[str, Any]],
) -> None:
    """A consumer that takes 10 of 100 messages a second receives old ones."""
    goal = {"publish_to_first_fetch_p99_ms_max": 5000.0}
    old: dict[str, object] = {"latency_ms.publish_to_first_fetch.p99": 14_000.0}
    ruled_out = judge_one(healthy, goal, old)
    assert ruled_out.status == goals.RULED_OUT
    (why,) = ruled_out.why
    assert why.code == "polls_take_less"
    assert (why.parameters["owed_per_s"], why.parameters["capacity_per_s"]) == (100, 10)
    enough: dict[str, object] = {"plan.capacity_per_consumer_per_s": 100.0}
    assert judge_one(healthy, goal, old | enough).status == goals.MISSED
    none: dict[str, object] = {"plan.capacity_per_consumer_per_s": None}
    assert judge_one(healthy, goal, old | none).status == goals.MISSED


def test_batches_that_cannot_be_filled_are_ruled_out(
    healthy: tuple[RunSpec, dict[str, Any]],
) -> None:
    goal = {"batch_fill_pct_min": 95.0}
    judged = judge_one(healthy, goal, {"plan.owed_per_s": 10.0, "fetches.batch_fill_pct": 10.0})
    assert judged.status == goals.RULED_OUT
    assert [why.code for why in judged.why] == ["polls_ask_for_more"]


def test_consumers_that_never_fetched_miss_only_where_each_had_a_poll(
    healthy: tuple[RunSpec, dict[str, Any]],
) -> None:
    spec, content = healthy
    spec = replace(spec, consumers=replace(spec.consumers, poll_interval_s=40.0))
    judged = judge_one((spec, content), {"consumers_fetched_pct_min": 100.0}, never_fetched=2)
    assert (judged.status, judged.measured) == (goals.RULED_OUT, 80.0)


def test_errors_of_a_fail_over_are_excused(healthy: tuple[RunSpec, dict[str, Any]]) -> None:
    goal = {"errors_max": 0.0}
    judged = judge_one(healthy, goal, shuffler_reconnects=1, failed_over=True)
    assert judged.status == goals.RULED_OUT


def test_what_was_not_measured_is_not_met(healthy: tuple[RunSpec, dict[str, Any]]) -> None:
    judged = judge_one(healthy, {"deliveries_lost_max": 0.0}, {"ledger.lost": None})
    assert (judged.status, judged.measured) == (goals.NOT_MEASURED, None)


def test_a_run_of_an_older_version_is_judged_by_the_defaults(
    healthy: tuple[RunSpec, dict[str, Any]],
) -> None:
    spec, content = healthy
    content_of_old = json.loads(spec.to_json())
    del content_of_old["scenario"]["goals"]
    old = RunSpec.from_json(json.dumps(content_of_old), "run.json")
    assert old.scenario.goals is None
    judged = goals.judge(Measured(old, content, 0))
    assert [goal.name for goal in judged] == list(goals.DEFAULT_GOALS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            {"fetch_call_p99_max": 5},
            "no goal named fetch_call_p99_max; did you mean fetch_",
        ),
        ({"frames_lost": 0}, "did you mean frames_lost_max or frames_lost_min?"),
        ({"nothing_like_it": 5}, "known, each with _max or _min behind it: consumers_fetched_pct,"),
        ({"errors_max": "1_000"}, "errors_max: '1_000' is not allowed"),
        ({"errors_max": "many"}, "scenario_goals: errors_max: 'many' is not allowed"),
        ({"errors_max": True}, "errors_max: True is not allowed; allowed: a number from 0 on"),
        ({"errors_max": -1}, "errors_max: -1 is not allowed"),
        ({"errors_max": float("nan")}, "errors_max: nan is not allowed"),
        ({"errors_max": [1]}, "errors_max: [1] is not allowed"),
        (["errors_max"], "expected goals as name: limit"),
    ],
)
def test_refuses_what_is_no_goal(content: object, words: str) -> None:
    with pytest.raises(SpecError, match="scenario_goals") as refused:
        goals.read(content)
    assert words in str(refused.value)


def test_null_takes_a_goal_out_and_text_is_read_as_a_number() -> None:
    assert goals.read({"errors_max": None, "frames_lost_max": "5.0"}) == {"frames_lost_max": 5}


PUBLISH_ACK = "latency_ms.publish_ack"


@pytest.mark.parametrize(
    ("goal", "value", "at_least", "status"),
    [
        # No open call could change it.
        ("publish_ack_p99_ms_max", 90.0, {}, goals.MET),
        ("publish_ack_p99_ms_max", 110.0, {}, goals.MISSED),
        ("publish_ack_p99_ms_max", 90.0, {"p999": None}, goals.MET),
        # What was measured is the least that it can be.
        ("publish_ack_p99_ms_max", 110.0, {"p99": None}, goals.MISSED),
        ("publish_ack_p99_ms_max", 90.0, {"p99": None}, goals.NOT_MEASURED),
        ("publish_ack_p99_ms_max", 90.0, {"p99": 99.0}, goals.MET),
        ("publish_ack_p99_ms_max", 90.0, {"p99": 101.0}, goals.NOT_MEASURED),
        ("publish_ack_p99_ms_min", 110.0, {"p99": None}, goals.MET),
        ("publish_ack_p99_ms_min", 90.0, {"p99": None}, goals.NOT_MEASURED),
        ("publish_ack_p99_ms_min", 90.0, {"p99": 99.0}, goals.MISSED),
        ("publish_ack_p99_ms_min", 90.0, {"p99": 101.0}, goals.NOT_MEASURED),
        # All are open.
        ("publish_ack_p99_ms_max", None, {}, goals.NOT_MEASURED),
    ],
)
def test_open_calls_decide_with_what_was_measured(
    healthy: tuple[RunSpec, dict[str, Any]],
    goal: str,
    value: float | None,
    at_least: dict[str, float | None],
    status: str,
) -> None:
    changes: dict[str, object] = {
        f"{PUBLISH_ACK}.p99": value,
        f"{PUBLISH_ACK}.at_least": at_least,
        f"{PUBLISH_ACK}.open_count": 1700,
        f"{PUBLISH_ACK}.open_min_ms": 12.5,
    }
    judged = judge_one(healthy, {goal: 100.0}, changes)
    assert judged.status == status
    if status == goals.NOT_MEASURED:
        (why,) = judged.why
        expected = {"leg": "publish_ack", "open_count": 1700, "open_min_ms": 12.5}
        assert (why.code, why.parameters) == ("calls_open", expected)


def test_what_is_missing_of_an_age_decides_likewise(
    healthy: tuple[RunSpec, dict[str, Any]],
) -> None:
    leg = "latency_ms.publish_to_first_fetch"
    changes: dict[str, object] = {
        f"{leg}.p99": 90.0,
        f"{leg}.at_least": {"p99": None},
        f"{leg}.missing_count": 28_250,
        f"{leg}.missing_min_ms": 30_000.0,
        "plan.capacity_per_consumer_per_s": 100.0,
    }
    judged = judge_one(healthy, {"publish_to_first_fetch_p99_ms_max": 100.0}, changes)
    assert judged.status == goals.NOT_MEASURED
    assert judged.why[0].parameters["open_count"] == 28_250
