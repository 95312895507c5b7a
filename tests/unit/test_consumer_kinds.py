"""Consumers that are pushed to: what is refused, asked for, planned, subscribed and judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fpaas.consumers.polling import Gate, Habit
from fpaas.consumers.subscribing import NoPolls, Subscribing, subscriber, subscription_of
from fpaas.control import capacity_question
from fpaas.jetstream import asked
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.plan import capacity
from fpaas.spec import RunSpec, Scenario, SpecError, Topology, build, check_run, read_variables
from fpaas.text import plan_advice, plan_text
from fpaas.verdict import goal_figures, goals

SECOND = 1_000_000_000
GROUPS = ("relay", "shuffler", "consumers")


def make(nats_hosts: int = 1, **variables: object) -> RunSpec:
    hosts = {group: ["h"] for group in GROUPS} | {"nats": [f"n{i}" for i in range(nats_hosts)]}
    return build(
        read_variables({"bench_consumer_kind": "push", **variables}),
        run_id="r",
        scenario=Scenario("s", "t", "g"),
        topology=Topology(hosts, "nats://h", "http://h", "ws://h"),
        first_seq=1,
    )


@pytest.mark.parametrize(
    ("hosts", "variables", "named"),
    [
        (1, {"bench_mix": [{"name": "a", "count": 1}]}, "bench_mix: classes are not allowed"),
        (1, {"bench_inactive_threshold_s": 90}, "bench_inactive_threshold_s: 90"),
        (3, {"bench_stream_replicas": 1}, "bench_stream_replicas: 1 is not allowed"),
        (1, {"bench_consumer_kind": "pushed"}, "allowed: pull, push"),
    ],
)
def test_what_cannot_be_pushed_is_refused(
    hosts: int, variables: dict[str, Any], named: str
) -> None:
    with pytest.raises(SpecError) as refused:
        make(hosts, bench_consumers=1, **variables)
    assert named in str(refused.value)


def test_a_run_json_that_was_changed_is_refused() -> None:
    run = make()
    changed = replace(run, consumers=replace(run.consumers, inactive_threshold_s=9))
    check_run(RunSpec.from_json(run.to_json(), "run.json"), "run.json")
    with pytest.raises(SpecError, match=r"run\.json: bench_inactive_threshold_s: 9 is"):
        check_run(changed, "run.json")


@pytest.mark.parametrize("delivery", ["fanout", "shared"])
def test_durables_deliver_to_a_subject_of_their_own_and_one_group(delivery: str) -> None:
    run = make(bench_consumers=3, bench_delivery=delivery)
    configs = [asked.durable(run, one) for one in asked.durables_of(run, range(3))]
    assert len({config["deliver_subject"] for config in configs}) == len(configs)
    for config in configs:
        assert config["deliver_group"] == asked.DELIVER_GROUP
        assert config["max_ack_pending"] == 1000
        # The server refuses the first of a push, and of a group one member would get the others.
        assert not {"max_waiting", "idle_heartbeat", "flow_control"} & config.keys()
    pulled = make(bench_consumer_kind="pull")
    pull_config = asked.durable(pulled, asked.durables_of(pulled, [0])[0])
    assert "deliver_subject" not in pull_config
    assert "max_waiting" in pull_config


def test_the_plan_delivers_all_whatever_polls_would_be_asked_for() -> None:
    timeline = {"bench_warmup_s": 10, "bench_measure_s": 50, "bench_drain_s": 0}
    run = make(bench_consumers=4, bench_batch_size=1, bench_poll_interval_s=3600, **timeline)
    plan = capacity.predict(run)
    assert plan["owed"] == plan["delivered"] == 4 * 60 * 450
    assert plan["processed_per_s"] == pytest.approx(4 * 450)
    assert plan["pulls_per_s"] == plan["expired_unread"] == plan["pending_at_end"] == 0
    assert plan["capacity_per_s"] is plan["delivery_age_s_mean"] is None
    assert plan_advice.warnings(run, plan) == plan_advice.expectations(run, plan) == []
    assert "at most 1,000 of a durable wait" in plan_text.describe(run, plan, [], [])


def test_the_plan_warns_of_connections_that_a_standstill_would_fill() -> None:
    run = make(bench_consumers=5000, bench_workers=1)
    [warned] = [
        sentence
        for sentence in plan_advice.warnings(run, capacity.predict(run))
        if "stand still" in sentence
    ]
    assert "20 consumers x 1,000 messages" in warned
    fewer = make(bench_consumers=5000, bench_workers=1, bench_max_ack_pending=100)
    assert not any(
        "stand still" in one for one in plan_advice.warnings(fewer, capacity.predict(fewer))
    )


@pytest.mark.parametrize("name", ["bench_batch_size", "bench_poll_interval_s"])
def test_a_capacity_search_over_what_has_no_effect_is_refused(name: str) -> None:
    asked_for = {"variable": name, "least": None, "most": None, "resolution_pct": 5}
    with pytest.raises(SpecError, match=f"{name} is not allowed with bench_consumer_kind=push"):
        capacity_question.read(
            {**asked_for, "long_run": False}, 60, lambda _: make(), lambda _: {}, None
        )


class Pushed:
    """Two consumers behind one gate."""

    def __init__(self) -> None:
        self.gate = Gate(1)
        habit = Habit(NoPolls(), batch_size=1, drain=False)
        self.consumers = [
            subscriber(
                DeliveryLog(i, f"fpaas-{i:05d}"),
                self.gate,
                subscription_of(f"to.{i}", "group", b"%d" % (i + 1)),
                habit,
            )
            for i in range(2)
        ]
        self.polling = Subscribing(self.consumers, until_unix_ns=100 * SECOND)

    def said(self) -> bytes:
        """Take what would be written."""
        lines = b"".join(line for gate in self.polling.to_send for line in gate.outbox)
        for gate in self.polling.to_send:
            gate.outbox.clear()
        self.polling.to_send.clear()
        return lines


def test_consumers_subscribe_with_their_connection_and_again_after_a_loss() -> None:
    lab = Pushed()
    assert lab.said() == b""
    for at in (1, 3):
        lab.polling.connection_up(lab.gate, at * SECOND)
        assert lab.said() == b"SUB to.0 group 1\r\nSUB to.1 group 2\r\n"
        lab.polling.connection_lost(lab.gate, (at + 1) * SECOND)
        assert lab.said() == b""
    lab.polling.connection_up(lab.gate, 5 * SECOND)
    lab.said()
    lab.polling.stop(100 * SECOND)
    assert lab.said() == b"UNSUB 1\r\nUNSUB 2\r\n"


def test_who_is_pushed_to_never_polls_and_is_never_late() -> None:
    lab = Pushed()
    lab.polling.connection_up(lab.gate, 0)
    lab.said()
    for second in range(0, 200, 10):
        lab.polling.start_due(second * SECOND)
        lab.polling.expire(second * SECOND)
    assert lab.polling.next_due_unix_ns is None
    lab.polling.stop(200 * SECOND)
    lab.polling.abandon(200 * SECOND)
    assert lab.polling.polls == lab.polling.in_flight == lab.polling.fetches().pulls == 0
    recorders = lab.polling.timings.recorders
    assert not any(one.samples_ns for one in recorders)


def test_what_came_is_in_a_run_of_each_second() -> None:
    lab = Pushed()
    log = lab.consumers[0].log
    for second in range(3):
        log.record(second + 1, second + 1, 1000 * second)
        lab.polling.expire((second + 1) * SECOND)
    assert list(log.runs) == [0, 1, 1, 1, 1000, 2, 2, 1, 2000, 3, 3, 1]


@pytest.mark.parametrize(
    ("goal", "limit"),
    [
        ("fetch_call_p99_ms_max", 1e9),
        ("fetch_call_intended_max_ms_max", 1e9),
        ("batch_fill_pct_min", 0),
    ],
)
def test_goals_about_polls_are_ruled_out_and_never_met(goal: str, limit: float) -> None:
    run = make(nats_hosts=1)
    run = replace(run, scenario=replace(run.scenario, goals={goal: limit}))
    plan = capacity.predict(run)
    summary: dict[str, Any] = {"plan": plan, "latency_ms": {}, "fetches": {}}
    [judged] = goals.judge(goal_figures.Measured(run, summary, 0))
    assert (judged.status, judged.measured) == (goals.RULED_OUT, None)
    assert judged.why[0].code == "no_polls"
    assert goals.ruled_out(run, plan, {})[goal].code == "no_polls"


def test_that_consumers_received_something_is_a_goal_however_short_the_run() -> None:
    run = make(bench_warmup_s=0, bench_measure_s=5, bench_drain_s=0)
    run = replace(run, scenario=replace(run.scenario, goals={"consumers_fetched_pct_min": 100}))
    [judged] = goals.judge(goal_figures.Measured(run, {"plan": capacity.predict(run)}, 3))
    assert judged.status == goals.MISSED
