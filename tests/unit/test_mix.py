"""Classes of consumers in one run: what is allowed, who is in which, what a class wants."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.consumers.schedule import PollSchedule
from fpaas.jetstream import asked
from fpaas.plan import capacity
from fpaas.spec import RunSpec, Scenario, SpecError, Topology, build, check_run, read_variables
from fpaas.spec.class_counts import spread
from fpaas.text import load_words, plan_advice
from fpaas.verdict import goals
from fpaas.verdict.measured import Measured

HOSTS = {group: ["h"] for group in ("relay", "nats", "shuffler")} | {"consumers": ["a", "b"]}


def make(mix: object, **variables: float | str) -> RunSpec:
    return build(
        read_variables({"bench_mix": mix, **variables}),
        run_id="r",
        scenario=Scenario("s", "t", "g"),
        topology=Topology(HOSTS, "nats://h", "http://h", "ws://h"),
        first_seq=1,
    )


def counts(run: RunSpec) -> dict[str, int]:
    return {one.name: one.count for one in run.consumers.classes}


def test_shares_are_of_what_counts_leave() -> None:
    run = make(
        [
            {"name": "few", "count": 10},
            {"name": "third", "share_pct": 33.33},
            {"name": "rest", "share_pct": 66.67},
        ],
        bench_consumers=100,
    )
    assert counts(run) == {"few": 10, "third": 30, "rest": 60}
    members = Counter(run.class_of(index) for index in range(100))
    assert [members[number] for number in range(3)] == [10, 30, 60]
    # Each host plays its part of each class.
    first_half = Counter(run.class_of(index) for index in range(50))
    assert [first_half[number] for number in range(3)] == [5, 15, 30]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_every_consumer_has_a_class(sizes: list[int]) -> None:
    classes = spread(sizes)
    assert [classes.count(number) for number in range(len(sizes))] == sizes


def test_what_a_class_leaves_out_is_the_runs() -> None:
    run = make(
        '[{"name": "a", "count": 1}, {"name": "b", "count": 1, "fetch": "drain", "batch_size": 7}]',
        bench_consumers=2,
        bench_poll_interval_s=3,
    )
    a, b = run.by_class()
    assert (a.consumers.poll_interval_s, b.consumers.poll_interval_s) == (3, 3)
    assert (a.consumers.batch_size, b.consumers.batch_size) == (100, 7)
    assert (a.consumers.fetch, b.consumers.fetch) == ("once", "drain")
    assert PollSchedule.of(a) == PollSchedule.of(b)
    again = RunSpec.from_json(run.to_json(), "run.json")
    assert again == run
    check_run(again, "run.json")


def test_without_a_mix_nothing_changes() -> None:
    run = make([])
    assert run.by_class() == [run]
    assert not run.has_filters
    assert run.filters_of(3) == ["atproto.firehose.>"]
    assert capacity.by_class(run) == {}


def test_filters_do_not_overlap_and_say_what_the_class_wants() -> None:
    run = make(
        [
            {
                "name": "a",
                "count": 1,
                "partitions": [3, 5],
                "collections": ["app.bsky.*", "app.bsky.feed.post", "com.example.thing"],
            }
        ],
        bench_consumers=1,
    )
    assert run.filters_of(0) == [
        "atproto.firehose.commit.3.app.bsky.>",
        "atproto.firehose.commit.3.com.example.thing",
        "atproto.firehose.commit.5.app.bsky.>",
        "atproto.firehose.commit.5.com.example.thing",
    ]
    (one,) = run.consumers.classes
    assert one.wants("atproto.firehose.commit.3.app.bsky.feed.like")
    assert not one.wants("atproto.firehose.commit.4.app.bsky.feed.like")
    assert not one.wants("atproto.firehose.identity.3._")
    assert not one.wants("atproto.firehose.commit.3.com.example.thing.more")


ONE = {"name": "a", "count": 1}


@pytest.mark.parametrize(
    ("mix", "named"),
    [
        ("no json", "bench_mix: 'no json'"),
        ({"name": "a"}, "a list"),
        ([{"count": 1}], "bench_mix[0]: name"),
        ([{"name": "A b", "count": 1}], "bench_mix[0]: name"),
        ([{"name": "a"}], "either count, or share_pct"),
        ([{**ONE, "share_pct": 3}], "either count, or share_pct"),
        ([{**ONE, "batchsize": 3}], "did you mean batch_size?"),
        ([{**ONE, "poll_interval_s": 0}], "bench_mix[0]: poll_interval_s: 0"),
        ([{**ONE, "nak_pct": 101}], "bench_mix[0]: nak_pct: 101"),
        ([{**ONE, "nak_pct": 60, "terminate_pct": 41}], "are 101 per cent together"),
        ([{**ONE, "fail_times": 0}], "bench_mix[0]: fail_times: 0"),
        ([{**ONE, "processing_p99_ms": 5}], "processing_p99_ms: 5"),
        ([{**ONE, "processing_ms": 1, "processing_p99_ms": 15}], "processing_p99_ms: 15"),
        ([{**ONE, "away_s": 5}], "away_s: 5"),
        ([{**ONE, "away_s": 5, "away_every_s": 5}], "away_s: 5"),
        ([{**ONE, "partitions": [64]}], "from 0 to 63"),
        ([{**ONE, "partitions": []}], "one or more"),
        ([{**ONE, "kinds": ["commits"]}], "commit, identity, account, sync"),
        ([{**ONE, "collections": ["app.>"]}], "app.bsky.*"),
        ([{**ONE, "collections": ["a.b"], "kinds": ["identity"]}], "only commits"),
        ([ONE, ONE], "a: two classes"),
        ([{**ONE, "partitions": list(range(64)), "collections": list("abcdef")}], "384 subjects"),
        ([ONE], "classes have 1 consumers, and bench_consumers is 4"),
        ([{"name": "a", "share_pct": 50}], "must be 100"),
        ([{"name": "a", "count": 4}, {"name": "b", "share_pct": 100}], "each needs one"),
        ([{"name": "a", "count": 9}, {"name": "b", "share_pct": 100}], "each needs one"),
    ],
)
def test_what_is_no_mix_is_refused(mix: object, named: str) -> None:
    with pytest.raises(SpecError, match=r"bench_mix") as refused:
        make(mix, bench_consumers=4)
    assert named in str(refused.value)


LATE = {**ONE, "joins_at_s": 90}


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({**ONE, "start": "newest"}, "bench_mix[0]: start: 'newest'"),
        ({**ONE, "start": {"last_minutes": 0}}, "last_minutes: 0 is not allowed"),
        ({**ONE, "start": {"last_hours": 1}}, "allowed: all, new, or {last_minutes: N}"),
        ({**ONE, "start": "new"}, "a: start: new is not allowed without joins_at_s"),
        ({**ONE, "joins_at_s": 120}, "a: joins_at_s: 120 is not allowed; the run ends 120 s"),
        ({**LATE, "joins_at_s": 100, "start": "new"}, "nothing would be served"),
        ({**LATE, "joins_at_s": 111, "start": {"last_minutes": 0.1}}, "firehose ends after 100 s"),
        ({**LATE, "start": {"last_minutes": 1.5}}, "begins with the run and has nothing older"),
        ({**LATE, "start": {"last_minutes": 1}}, "bench_stream_max_age_s: 60"),
    ],
)
def test_starts_that_make_no_sense_are_refused(own: dict[str, Any], named: str) -> None:
    timeline = {"bench_warmup_s": 10, "bench_measure_s": 90, "bench_drain_s": 20}
    with pytest.raises(SpecError, match="bench_mix") as refused:
        make([own], bench_consumers=1, bench_stream_max_age_s=60, **timeline)
    assert named in str(refused.value)


def test_who_joins_late_has_a_durable_of_its_own_kind() -> None:
    starts: list[Any] = ["all", "new", {"last_minutes": 1}]
    mix = [{**LATE, "name": f"c{n}", "start": start} for n, start in enumerate(starts)]
    run = replace(make([{**ONE, "name": "early"}, *mix], bench_consumers=4), t0_unix_ns=10**18)
    check_run(RunSpec.from_json(run.to_json(), "run.json"), "run.json")
    assert [one.name for one in asked.durables_of(run, range(4))] == [run.durable_of(0)]
    late = asked.late_durables_of(run, range(4))
    configs = [asked.durable(run, one) for one in late]
    assert [one["deliver_policy"] for one in configs] == ["all", "new", "by_start_time"]
    # A minute before it joins, on the clock that all hosts have in common.
    assert configs[2]["opt_start_time"] == "2001-09-09T01:47:10.000000000Z"
    again = asked.durable(run, late[2].again())
    assert again["deliver_policy"] == "all"
    assert "opt_start_time" not in again
    # Its polls begin when it joins.
    schedule = PollSchedule.of(run.by_class()[1])
    assert schedule.first_due(1) >= 10**18 + 90 * 10**9


def test_the_plan_of_who_joins_late_leaves_out_what_was_before() -> None:
    timeline = {"bench_warmup_s": 0, "bench_measure_s": 100, "bench_drain_s": 20}
    own = {"poll_interval_s": 1, "fetch": "drain", "count": 1, "joins_at_s": 60}
    starts: list[Any] = ["all", "new", {"last_minutes": 0.25}]
    mix = [{**own, "name": f"c{n}", "start": start} for n, start in enumerate(starts)]
    run = make(
        mix,
        bench_consumers=3,
        bench_firehose_rate_per_s=10,
        bench_stream_max_age_s=30,
        **timeline,
    )
    plans = capacity.by_class(run)
    assert [plan["owed"] for plan in plans.values()] == [700, 400, 550]
    assert plans["c1"]["delivered"] == 400
    # What is about to expire when it joins expires before its first poll.
    assert 0 < plans["c0"]["expired_unread"] <= 10
    assert "joins after 60 s, served the last 0.25 min before that" in load_words.polls(
        run.by_class()[2]
    )


@pytest.mark.parametrize(
    ("own", "variables", "named"),
    [
        ({"nak_pct": 5}, {"bench_ack": "none"}, "a: nak_pct: 5 is not allowed with bench_ack=none"),
        ({"no_ack_pct": 5}, {"bench_ack": "all"}, "a: no_ack_pct: 5"),
        ({"terminate_pct": 5}, {"bench_ack": "all"}, "a: terminate_pct: 5"),
        ({"max_deliver": 2}, {"bench_ack": "none"}, "a: max_deliver: 2"),
        ({"processing_ms": 2}, {"bench_ack": "all"}, "a: processing_ms: 2"),
        (None, {"bench_ack": "all", "bench_delivery": "shared"}, "bench_ack: all is not allowed"),
        (None, {"bench_ack": "none", "bench_max_ack_pending": 9}, "bench_max_ack_pending: 9"),
        (None, {"bench_ack": "never"}, "allowed: explicit, none, all"),
    ],
)
def test_what_needs_an_ack_of_each_message_is_refused_without(
    own: dict[str, Any] | None, variables: dict[str, str], named: str
) -> None:
    mix = [] if own is None else [{**ONE, **own}]
    with pytest.raises(SpecError) as refused:
        make(mix, bench_consumers=1, **variables)
    assert named in str(refused.value)


def test_durables_have_the_acks_that_are_asked_for() -> None:
    runs = {ack: make([], bench_consumers=1, bench_ack=ack) for ack in ("explicit", "none", "all")}
    configs = {ack: asked.durable(run, asked.durables_of(run, [0])[0]) for ack, run in runs.items()}
    for ack, config in configs.items():
        assert config["ack_policy"] == ack
        assert ("ack_wait" in config) is ("max_ack_pending" in config) is (ack != "none")
        check_run(RunSpec.from_json(runs[ack].to_json(), "run.json"), "run.json")


def test_a_mix_is_of_durables_of_ones_own() -> None:
    with pytest.raises(SpecError, match="bench_delivery=shared is not allowed"):
        make([ONE], bench_consumers=1, bench_delivery="shared")


def test_the_plan_adds_its_classes_up() -> None:
    timeline = {"bench_warmup_s": 0, "bench_measure_s": 100, "bench_drain_s": 20}
    fast = {"name": "fast", "count": 3, "poll_interval_s": 1, "fetch": "drain"}
    slow = {"name": "slow", "count": 2, "poll_interval_s": 10, "batch_size": 5}
    run = make([fast, slow], bench_consumers=5, **timeline)
    whole, each = capacity.predict(run), capacity.by_class(run)
    for name in ("owed", "delivered", "pending_at_end", "expired_unread", "processed_per_s"):
        assert whole[name] == pytest.approx(sum(plan[name] for plan in each.values()))
    alone = make([], bench_consumers=2, bench_poll_interval_s=10, bench_batch_size=5, **timeline)
    assert each["slow"]["delivered"] == capacity.predict(alone)["delivered"]
    # What one class has to spare is nothing to another.
    assert whole["capacity_per_consumer_per_s"] is None
    assert each["fast"]["unread_share"] == 0
    said = " ".join(plan_advice.expectations(run, whole))
    assert "slow: Expected" in said
    assert "fast: Expected" not in said


def figures(**ledger: int | None) -> dict[str, Any]:
    """What summary.json has of a class to which nothing happened, but for its ledger."""
    whole = {"owed": 1000, "delivered": 1000, "expired_unread": 0, "lost": 0, **ledger}
    plan = {"owed": 1000, "expired_unread": 0}
    return {"ledger": whole, "plan": plan, "consumers_never_fetched": 0}


@pytest.mark.parametrize(
    ("changes", "missed", "status"),
    [
        ({}, None, None),
        ({"ledger": {"lost": 1}}, "deliveries_lost_max", goals.MISSED),
        ({"consumers_never_fetched": 1}, "consumers_fetched_pct_min", goals.MISSED),
        ({"ledger": {"expired_unread": 200}}, "expired_beyond_plan_pct_max", goals.MISSED),
        # Nobody knows: then it is not met, whatever the other class did.
        ({"ledger": {"lost": None}}, "deliveries_lost_max", goals.NOT_MEASURED),
        (
            {"consumers_never_fetched": None},
            "consumers_fetched_pct_min",
            goals.NOT_MEASURED,
        ),
        (
            {"ledger": {"owed": 0, "expired_unread": None}, "consumers_never_fetched": 2},
            "consumers_fetched_pct_min",
            goals.RULED_OUT,
        ),
    ],
)
def test_each_class_is_judged_by_itself(
    changes: dict[str, Any], missed: str | None, status: str | None
) -> None:
    # The large class is well, and would hide the small one.
    large = {"name": "large", "count": 998, "poll_interval_s": 1}
    small = {"name": "small", "count": 2, "poll_interval_s": 1, "collections": ["a.b.c"]}
    run = make([large, small], bench_consumers=1000)
    of_small = {**figures(**changes.get("ledger", {}))}
    of_small |= {name: value for name, value in changes.items() if name != "ledger"}
    summary = {**figures(), "classes": {"large": figures(), "small": of_small}}
    judged = [one for one in goals.judge(Measured(run, summary, 0)) if one.consumers]
    assert [one.consumers for one in judged] == 3 * ["large"] + 3 * ["small"]
    amiss = {(one.consumers, one.name): one.status for one in judged if one.status != goals.MET}
    if status == goals.RULED_OUT:
        # Nothing was owed to it: nothing can have expired either.
        assert amiss.pop(("small", "expired_beyond_plan_pct_max")) == goals.RULED_OUT
    assert amiss == ({("small", missed): status} if missed else {})


def test_a_class_without_figures_is_not_measured() -> None:
    run = make([{"name": "a", "count": 1}, {"name": "b", "count": 1}], bench_consumers=2)
    summary = {**figures(), "classes": {"a": figures()}}
    judged = [one for one in goals.judge(Measured(run, summary, 0)) if one.consumers == "b"]
    assert [one.status for one in judged] == 3 * [goals.NOT_MEASURED]
