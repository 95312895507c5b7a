from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas import spec
from fpaas.plan import capacity, fluid
from fpaas.text import plan_advice, plan_figures, plan_text

LOCAL = spec.Topology(
    hosts={group: ["localhost"] for group in ("relay", "nats", "shuffler", "consumers")},
    nats_url="nats://127.0.0.1:4222",
    nats_monitoring_url="http://127.0.0.1:8222",
    relay_url="ws://127.0.0.1:2480",
)


def make_spec(topology: spec.Topology = LOCAL, **variables: object) -> spec.RunSpec:
    values = spec.read_variables({f"bench_{name}": value for name, value in variables.items()})
    return spec.build(
        values,
        run_id="test",
        scenario=spec.Scenario("1", "baseline", "a goal"),
        topology=topology,
        first_seq=1,
    )


def follow(durable: fluid.Durable, *, offer_s: float, drain_s: float) -> fluid.Course:
    end_s = offer_s + drain_s
    return fluid.follow(
        durable, warmup_s=0, offer_s=offer_s, end_s=end_s, settled_s=end_s + spec.SETTLE_S
    )


durables = st.builds(
    fluid.Durable,
    owed_per_s=st.floats(0.1, 2000),
    poll_interval_s=st.floats(0.05, 300),
    batch_size=st.one_of(st.integers(1, 1000).map(float), st.just(math.inf)),
    max_age_s=st.floats(1, 600),
    max_messages=st.floats(100, 1e6),
)


@settings(deadline=None)
@given(durables, st.floats(1, 600), st.floats(0, 200))
def test_what_is_owed_is_delivered_expired_or_pending(
    durable: fluid.Durable, offer_s: float, drain_s: float
) -> None:
    course = follow(durable, offer_s=offer_s, drain_s=drain_s)
    owed = durable.owed_per_s * offer_s
    assert course.delivered + course.expired + course.pending == pytest.approx(owed)
    assert min(course.delivered, course.expired, course.pending) >= -1e-6 * owed
    assert (course.first_expiry_s is not None) == (course.expired > 0)
    if course.first_expiry_s is not None:
        assert course.first_expiry_s <= offer_s + drain_s + spec.SETTLE_S + 1e-6


@settings(deadline=None)
@given(durables, st.floats(1, 600))
def test_nobody_is_delivered_more_than_his_polls_take(
    durable: fluid.Durable, offer_s: float
) -> None:
    course = follow(durable, offer_s=offer_s, drain_s=0)
    polls = offer_s / durable.poll_interval_s + 0.5
    assert course.delivered <= durable.batch_size * polls + 1e-6


def test_enough_polls_deliver_everything() -> None:
    durable = fluid.Durable(450, 5, math.inf, max_age_s=300, max_messages=math.inf)
    course = follow(durable, offer_s=60, drain_s=6)
    assert course.delivered == pytest.approx(27_000)
    assert course.pending == course.expired == 0
    # Half of the time between two polls.
    assert course.age_sum_s / course.delivered == pytest.approx(2.5, rel=0.05)


def test_polls_further_apart_than_max_age_let_the_rest_expire() -> None:
    durable = fluid.Durable(10, 100, math.inf, max_age_s=50, max_messages=math.inf)
    course = follow(durable, offer_s=100_000, drain_s=100)
    assert course.expired / 1_000_000 == pytest.approx(0.5, rel=0.01)


def test_a_full_stream_expires_like_an_old_one() -> None:
    by_age = fluid.Durable(10, 5, 20, max_age_s=50, max_messages=math.inf)
    by_bytes = fluid.Durable(10, 5, 20, max_age_s=math.inf, max_messages=500)
    aged = follow(by_age, offer_s=1000, drain_s=0)
    full = follow(by_bytes, offer_s=1000, drain_s=0)
    assert full.delivered == pytest.approx(aged.delivered)
    assert full.first_expiry_s == pytest.approx(aged.first_expiry_s)
    # Nothing is pushed out once the firehose has stopped.
    assert full.expired < aged.expired


def test_overload_starts_to_expire_when_the_lag_reaches_max_age() -> None:
    # Reads at 4 of 10 a second: the message read at t was stored at 0.4 t, and is 0.6 t old.
    durable = fluid.Durable(10, 1, 4, max_age_s=60, max_messages=math.inf)
    course = follow(durable, offer_s=1000, drain_s=0)
    assert course.first_expiry_s == pytest.approx(60 / 0.6, rel=0.03)


def test_very_many_polls_are_taken_together_without_changing_the_outcome() -> None:
    durable = fluid.Durable(100, 0.01, 0.5, max_age_s=60, max_messages=math.inf)
    course = follow(durable, offer_s=10_000, drain_s=0)
    assert course.delivered == pytest.approx(500_000, rel=0.01)


def test_polls_taken_together_do_not_outlast_a_short_max_age() -> None:
    durable = fluid.Durable(100, 0.001, math.inf, max_age_s=1, max_messages=math.inf)
    assert follow(durable, offer_s=3600, drain_s=1).expired == 0


def test_the_baseline_in_fanout_leaves_most_unread_by_its_own_parameters() -> None:
    run = make_spec()
    plan = capacity.predict(run)
    assert plan["capacity_per_consumer_per_s"] == pytest.approx(100 / 60)
    assert plan["owed"] == 16_200_000
    assert plan["delivered"] == pytest.approx(100 * 100 * 390 / 60, rel=0.02)
    assert plan["delivered"] + plan["expired_unread"] + plan["pending_at_end"] == plan["owed"]
    assert plan["steady_unread_share"] == pytest.approx(1 - 100 / 60 / 450)
    assert plan["stream_messages"] == 450 * 300
    (expected,) = plan_advice.expectations(run, plan)
    assert expected.startswith("Expected, not a defect")
    assert "99.6 %" in expected
    assert plan_advice.warnings(run, plan) == []


def test_a_run_shorter_than_max_age_expires_nothing() -> None:
    plan = capacity.predict(make_spec(warmup_s=5, measure_s=60, drain_s=5))
    assert plan["expired_unread"] == 0
    assert plan["first_expiry_s"] is None
    assert plan["stream_messages"] == 450 * 65


def test_shared_splits_the_work_and_partitioned_the_stream() -> None:
    shared = capacity.predict(make_spec(delivery="shared", poll_interval_s=10))
    assert shared["owed"] == shared["frames_offered"] == 162_000
    assert shared["owed_per_consumer_per_s"] == 4.5
    assert shared["delivered"] == pytest.approx(162_000)
    partitioned = capacity.predict(
        make_spec(delivery="partitioned", poll_interval_s=10, fetch="drain")
    )
    assert partitioned["owed"] == 162_000
    assert partitioned["delivered"] == pytest.approx(162_000)


def test_an_overloaded_shared_durable_is_a_warning_that_names_what_mends_it() -> None:
    run = make_spec(delivery="shared")
    plan = capacity.predict(run)
    assert plan_advice.expectations(run, plan) == []
    (warning,) = plan_advice.warnings(run, plan)
    assert "cannot keep up" in warning
    assert "bench_batch_size=270" in warning
    mended = make_spec(delivery="shared", batch_size=270)
    assert plan_advice.warnings(mended, capacity.predict(mended)) == []


def test_a_foreign_relays_rate_is_assumed_and_said_so() -> None:
    run = make_spec(firehose_source="wss://relay.example")
    plan = capacity.predict(run)
    assert plan["offered_per_s_assumed"]
    assert plan["offered_per_s"] == capacity.FIREHOSE_MEAN_PER_S
    assert "350 frames/s" in plan_advice.expectations(run, plan)[0]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"firehose_rate_per_s": 2000, "fetch": "drain", "drain_s": 72}, "bench_stream_max_bytes="),
        ({"fetch": "drain", "poll_interval_s": 400, "drain_s": 480}, "bench_stream_max_age_s"),
        ({"fetch": "drain", "drain_s": 0}, "bench_drain_s=72"),
        ({"poll_interval_s": 1000}, "of the consumers never poll"),
        ({"poll_interval_s": 1000}, "lets each consumer poll once."),
        ({"batch_size": 10_000}, "cuts off a connection"),
    ],
)
def test_a_warning_has_the_arithmetic_and_the_variable(
    variables: dict[str, Any], words: str
) -> None:
    run = make_spec(**variables)
    assert words in "\n".join(plan_advice.warnings(run, capacity.predict(run)))


def test_large_batches_are_spread_over_connections() -> None:
    assert capacity.predict(make_spec(consumers=50, batch_size=500))["connections"] == 17


def test_limits_of_the_machine_are_warned_of() -> None:
    run = make_spec(consumers=5000, connections="per_consumer")
    plan = capacity.predict(run)
    assert plan["connections"] == 5000
    files, memory = plan_advice.warnings(run, plan, open_files_limit=1024, memory_mb=500)
    assert "limit here is 1024" in files
    assert "500 MB are free" in memory
    assert plan_advice.warnings(run, plan, open_files_limit=10_000, memory_mb=5000) == []


def test_a_link_is_warned_of_only_between_hosts() -> None:
    variables: dict[str, Any] = {"fetch": "drain", "drain_s": 72}
    local = make_spec(**variables)
    assert plan_advice.warnings(local, capacity.predict(local)) == []
    apart = make_spec(
        spec.Topology(
            {**LOCAL.hosts, "consumers": ["c1", "c2"]},
            LOCAL.nats_url,
            LOCAL.nats_monitoring_url,
            LOCAL.relay_url,
        ),
        **variables,
    )
    (warning,) = plan_advice.warnings(apart, capacity.predict(apart))
    assert "Mbit/s link" in warning


def test_more_than_our_agents_can_do_is_warned_of() -> None:
    run = make_spec(firehose_rate_per_s=30_000, fetch="drain", consumers=10, poll_interval_s=1)
    plan = capacity.predict(run)
    said = "\n".join(plan_advice.warnings(run, plan, cores=2))
    assert "30,000 frames/s" in said
    assert "26,000/s" in said
    assert "300,000 messages/s" in said
    assert "2.4 cores" in said
    assert "2.4 cores" not in "\n".join(plan_advice.warnings(run, plan, cores=4))


@pytest.mark.parametrize(
    ("value", "written"), [(1000.0, "1000"), (0.2222, "0.222"), (0.00012345, "0.000123")]
)
def test_a_proposed_value_has_no_exponent(value: float, written: str) -> None:
    assert plan_figures.plain(value) == written


def test_file_storage_has_no_memory_prediction() -> None:
    assert capacity.predict(make_spec(stream_storage="file"))["nats_rss_mb"] is None


@given(st.floats(0, 1))
def test_a_percentage_never_rounds_to_all_or_nothing(share: float) -> None:
    written = plan_figures.percent(share)
    if 1e-12 < share < 1:
        assert written not in ("0 %", "0.0 %", "100 %", "100.0 %", "100.000 %")
        assert "e+" not in written


def test_the_printed_plan_fits_a_terminal() -> None:
    run = make_spec()
    plan = capacity.predict(run)
    text = plan_text.describe(run, plan, plan_advice.expectations(run, plan), ["a warning " * 30])
    assert max(map(len, text.splitlines())) <= 110
    assert text.splitlines()[-1].startswith("  ")
    assert "\n! a warning" in text


def test_a_cluster_that_does_not_survive_a_server_is_warned_of() -> None:
    run = make_spec()
    cluster = replace(run, hosts={**run.hosts, "nats": ["n1", "n2", "n3"]})
    plan = capacity.predict(run)
    assert any("bench_stream_replicas=3" in line for line in plan_advice.warnings(cluster, plan))
    safe = replace(cluster, stream=replace(cluster.stream, replicas=3))
    assert plan_advice.warnings(safe, plan) == plan_advice.warnings(run, plan)


def test_large_frames_are_planned_by_their_own_size() -> None:
    run = make_spec(batch_size=100, firehose_rate_per_s=5)
    run = replace(run, firehose=replace(run.firehose, source="a.bin", frame_bytes_mean=1_000_000.0))
    plan = capacity.predict(run)
    # A pull ends at 16 MiB, whatever its batch.
    assert plan["pull_messages_max"] == 16
    assert plan["capacity_per_consumer_per_s"] == 16 / run.consumers.poll_interval_s
    assert plan["connection_in_flight_bytes_max"] <= 16 * 1024 * 1024
    assert "bench_batch_size=10 stays below that" in "\n".join(plan_advice.warnings(run, plan))
