"""Consumers that are pushed to: what is refused, asked for, planned, subscribed and judged."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from fpaas.bundle.parts import ServerFinal
from fpaas.consumers.ordering import Ordered, OrderedPuller, Ordering
from fpaas.consumers.puller import Gate, Habit, Puller
from fpaas.consumers.subscribing import NoPolls, Subscribing, subscriber, subscription_of
from fpaas.control import capacity_question
from fpaas.jetstream import asked
from fpaas.ledger.evidence import named_as_in_logs
from fpaas.measures.delivery_log import ConsumerDeliveries, DeliveryLog
from fpaas.plan import capacity
from fpaas.records.consumers import Connections, Fetches, OrderedPlace, WorkerResult
from fpaas.records.nats import DurableState, StreamState
from fpaas.spec import RunSpec, Scenario, SpecError, Topology, build, check_run, read_variables
from fpaas.text import plan_advice, plan_text
from fpaas.verdict import goals
from fpaas.verdict.measured import Measured

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
        (3, {"bench_consumer_kind": "ordered"}, "bench_stream_replicas: 1 is not allowed"),
        (1, {"bench_consumer_kind": "pushed"}, "allowed: pull, push, ordered"),
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
    assert "at most 1,000 of a durable wait" in " ".join(
        plan_text.describe(run, plan, [], []).split()
    )


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
    [judged] = goals.judge(Measured(run, summary, 0))
    assert (judged.status, judged.measured) == (goals.RULED_OUT, None)
    assert judged.why[0].code == "no_polls"
    assert goals.ruled_out(run, plan, {})[goal].code == "no_polls"


def test_that_consumers_received_something_is_a_goal_however_short_the_run() -> None:
    run = make(bench_warmup_s=0, bench_measure_s=5, bench_drain_s=0)
    run = replace(run, scenario=replace(run.scenario, goals={"consumers_fetched_pct_min": 100}))
    [judged] = goals.judge(Measured(run, {"plan": capacity.predict(run)}, 3))
    assert judged.status == goals.MISSED


class OrderedPair:
    """Two ordered consumers behind one gate."""

    def __init__(self) -> None:
        self.run = make(bench_consumer_kind="ordered", bench_consumers=2)
        self.gate = Gate(1)
        self.gate.new_sid = map(b"%d".__mod__, itertools.count(1)).__next__
        self.sids: dict[bytes, Puller] = {}
        habit = Habit(NoPolls(), batch_size=1, drain=False)
        self.consumers: list[Puller] = []
        for index in range(2):
            log = DeliveryLog(index, self.run.durable_of(index))
            own = Ordered(index, "in", self.sids)
            self.consumers.append(OrderedPuller(log, self.gate, habit, own))
        self.polling = Ordering(self.consumers, until_unix_ns=100 * SECOND)
        self.polling.serve(self.run, 0)
        self.polling.connection_up(self.gate, 0)

    def asked(self) -> list[tuple[str, int | None]]:
        """Take what was asked for: names, and from which message on; what was deleted: None."""
        said = b"".join(self.gate.outbox).split(b"\r\n")
        self.gate.outbox.clear()
        found: list[tuple[str, int | None]] = []
        for line, body in itertools.pairwise(said):
            if line.startswith(b"PUB $JS.API"):
                subject = line.split(b" ")[1].decode()
                config = json.loads(body)["config"] if body else {"opt_start_seq": None}
                found.append((subject.rpartition(".")[2], config.get("opt_start_seq", 1)))
        return found

    def receive(self, consumer: int, stream_seq: int, count: int) -> None:
        one = self.consumers[consumer]
        for number in range(count):
            seq = max(one.log.next_consumer_seq, one.before + 1)
            one.log.record(stream_seq + number, seq, 0)

    def idle(self, consumer: int, delivered: int, at_s: int) -> None:
        # As whoever reads it does.
        self.consumers[consumer].progress_unix_ns = at_s * SECOND
        header = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\n\r\n" % delivered
        self.polling.pull_answered(self.consumers[consumer], header, at_s * SECOND)


def test_ordered_consumers_begin_with_the_first_message_and_go_on_after_the_last() -> None:
    lab = OrderedPair()
    assert lab.asked() == [("fpaas-00000-0-1", 1), ("fpaas-00001-0-1", 1)]
    lab.receive(0, 1, 5)
    lab.polling.connection_lost(lab.gate, SECOND)
    assert lab.sids == {}
    lab.polling.connection_up(lab.gate, 2 * SECOND)
    assert lab.asked() == [
        *(("fpaas-00000-0-1", None), ("fpaas-00000-0-2", 6)),
        *(("fpaas-00001-0-1", None), ("fpaas-00001-0-2", 1)),
    ]
    # Those after go on counting in the log.
    assert lab.consumers[0].before == 5
    lab.receive(0, 6, 2)
    lab.polling.missed(lab.consumers[0], 3 * SECOND)
    assert lab.asked() == [("fpaas-00000-0-2", None), ("fpaas-00000-0-3", 8)]
    places = lab.polling.places()
    assert (places["fpaas-00000"].name, places["fpaas-00000"].before) == ("fpaas-00000-0-3", 7)
    assert lab.polling.made_again == {"connection": 2, "gap": 1}


def test_a_heartbeat_that_knows_more_deliveries_makes_a_consumer_again() -> None:
    lab = OrderedPair()
    lab.asked()
    lab.receive(0, 1, 5)
    lab.idle(0, 5, 1)
    lab.idle(1, 0, 1)
    assert lab.asked() == []
    lab.idle(0, 6, 2)
    assert lab.asked() == [("fpaas-00000-0-1", None), ("fpaas-00000-0-2", 6)]
    lab.idle(0, 0, 3)
    assert lab.asked() == []


def test_who_does_not_hear_even_heartbeats_is_made_again_and_no_more_after_the_end() -> None:
    lab = OrderedPair()
    lab.asked()
    for index in range(2):
        lab.polling.made(b"in.made.%d.1" % index, b"{}", 0)
    for second in range(10):
        lab.idle(1, 0, second)
        lab.polling.expire(second * SECOND)
    assert lab.asked() == []
    lab.polling.expire(10 * SECOND)
    assert lab.asked() == [("fpaas-00000-0-1", None), ("fpaas-00000-0-2", 1)]
    # The server did not answer: it is asked again.
    lab.polling.expire(12 * SECOND)
    assert [name for name, _ in lab.asked()] == ["fpaas-00000-0-2", "fpaas-00000-0-3"]
    lab.polling.stop(100 * SECOND)
    lab.gate.outbox.clear()
    lab.polling.expire(200 * SECOND)
    lab.idle(1, 9, 200)
    assert lab.asked() == []


def test_another_stream_is_begun_with_its_first_message() -> None:
    lab = OrderedPair()
    lab.receive(0, 1, 5)
    lab.polling.begin_stream(1, SECOND)
    lab.gate.outbox.clear()
    lab.polling.connection_up(lab.gate, 2 * SECOND)
    assert ("fpaas-00000-0-2", 1) in lab.asked()
    assert lab.consumers[0].before == 0


def test_who_goes_on_with_another_s_ordered_consumers_begins_where_that_one_ended() -> None:
    lab = OrderedPair()
    lab.polling.connection_lost(lab.gate, 0)
    lab.gate.outbox.clear()
    left = ConsumerDeliveries(0, "fpaas-00000", [(0, 1, 1, 3), (9, 7, 4, 2)])
    lab.polling.go_on([left])
    lab.polling.connection_up(lab.gate, SECOND)
    assert ("fpaas-00000-0-2", 9) in lab.asked()
    assert lab.consumers[0].before == 5


def test_ordered_consumers_have_no_durables_and_no_acks() -> None:
    run = make(bench_consumer_kind="ordered", bench_consumers=2, bench_delivery="partitioned")
    assert asked.durables_of(run, range(2)) == []
    assert run.consumers.ack == "none"
    check_run(RunSpec.from_json(run.to_json(), "run.json"), "run.json")
    config = asked.ordered(run, 1, "n", deliver_to="d", after_stream_seq=7)
    assert config["filter_subject"] == "atproto.firehose.*.1.>"
    assert (config["deliver_policy"], config["opt_start_seq"]) == ("by_start_sequence", 8)
    assert "durable_name" not in config
    for refused in (
        {"bench_delivery": "shared"},
        {"bench_ack": "all"},
        {"bench_max_ack_pending": 5},
    ):
        with pytest.raises(SpecError, match=r"bench_consumer_kind=ordered"):
            make(1, **{"bench_consumer_kind": "ordered", "bench_consumers": 2} | refused)


def test_the_ledger_sees_one_consumer_in_place_of_those_that_followed_each_other() -> None:
    run = make(bench_consumer_kind="ordered", bench_consumers=3)

    def state(name: str, delivered: int) -> DurableState:
        return DurableState(
            name=name,
            delivered_consumer_seq=delivered,
            delivered_stream_seq=50,
            num_pending=0,
            num_ack_pending=0,
            num_redelivered=0,
            ack_floor_consumer_seq=delivered,
        )

    # The first is served by its first one, the second by its third; the last by another worker.
    listed = [state("fpaas-00000-0-1", 50), state("fpaas-00001-0-3", 20)]
    listed += [state("fpaas-00002-0-1", 40), state("fpaas-00002-1-1", 9)]
    stream = StreamState(messages=50, bytes=1, first_seq=1, last_seq=50)
    final = ServerFinal(0, stream, stream, {one.name: one for one in listed}, None, 0)
    results = [
        worker_result(1, 2, 1, {"fpaas-00002": OrderedPlace("fpaas-00002-1-1", 41)}),
        worker_result(0, 0, 3, {"fpaas-00001": OrderedPlace("fpaas-00001-0-3", 30)}),
    ]
    seen = named_as_in_logs(run, final, results)
    assert seen is not None
    durables = {name: one.delivered_consumer_seq for name, one in seen.durables.items()}
    assert durables == {
        "fpaas-00000": 50,
        "fpaas-00001": 50,
        "fpaas-00002": 50,
        # One that nobody could delete is still there.
        "fpaas-00002-0-1": 40,
    }
    assert named_as_in_logs(make(), final, results) is final


def worker_result(
    worker: int, first: int, count: int, ordered: dict[str, OrderedPlace]
) -> WorkerResult:
    return WorkerResult(
        worker=worker,
        first=first,
        count=count,
        processed=0,
        bytes=0,
        redelivered=0,
        duplicate_deliveries=0,
        polls=0,
        acks=0,
        consumers_never_fetched=0,
        fetches=Fetches(),
        connections=Connections(count=1, errors=0, reconnects=0, slow_consumer_disconnects=0),
        ordered=ordered,
    )
