from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas import spec
from tests.support.run_specs import SCENARIO, TOPOLOGY, build


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bench_delivery", "broadcast"),
        ("bench_delivery", None),
        ("bench_fetch", "twice"),
        ("bench_consumers", 0),
        ("bench_consumers", -5),
        ("bench_consumers", "many"),
        ("bench_consumers", 2.5),
        ("bench_consumers", True),
        ("bench_consumers", 100_001),
        ("bench_consumers", "1_000"),
        ("bench_consumers", "\u0661\u0660"),
        ("bench_poll_interval_s", "1_0.5"),
        ("bench_poll_jitter_pct", 101),
        ("bench_poll_jitter_pct", "nan"),
        ("bench_poll_interval_s", 0),
        ("bench_firehose_rate_per_s", 0),
        ("bench_firehose_rate_per_s", -1),
        ("bench_firehose_rate_per_s", "inf"),
        ("bench_batch_size", 0),
        ("bench_measure_s", 0),
        ("bench_firehose_source", ""),
        ("bench_workers", "several"),
        ("bench_workers", 0),
        ("bench_stream_replicas", 0),
    ],
)
def test_bad_values_are_refused_by_name_value_and_what_is_allowed(name: str, value: object) -> None:
    with pytest.raises(spec.SpecError) as caught:
        spec.read_variables({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: {value!r} is not allowed; allowed: ")


def test_an_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(spec.SpecError, match="did you mean bench_consumers"):
        spec.read_variables({"bench_consumer": 5})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(spec.SpecError) as refused:
        spec.read_variables({"bench_consumers": -5, "bench_fetch": "all", "bench_batch": 3})
    names = [line.split(":")[0] for line in str(refused.value).splitlines()]
    assert names == ["bench_batch", "bench_consumers", "bench_fetch"]


def test_text_as_the_command_line_gives_it_is_converted() -> None:
    read = spec.read_variables({"bench_consumers": "7", "bench_poll_interval_s": "0.5"})
    assert read["bench_consumers"] == 7
    assert read["bench_poll_interval_s"] == 0.5


def test_every_default_is_allowed_by_its_own_variable() -> None:
    for name, variable in spec.VARIABLES.items():
        assert variable.read(name, variable.default) == variable.default


def test_the_duplicate_window_follows_a_shortened_max_age_but_a_stated_one_is_refused() -> None:
    assert (
        spec.read_variables({"bench_stream_max_age_s": 20})["bench_stream_duplicate_window_s"] == 20
    )
    with pytest.raises(spec.SpecError, match="bench_stream_duplicate_window_s"):
        spec.read_variables({"bench_stream_max_age_s": 20, "bench_stream_duplicate_window_s": 21})


def test_run_json_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = build(bench_consumers=7)
    (tmp_path / "run.json").write_text(written.to_json())
    assert spec.RunSpec.load(tmp_path / "run.json") == written


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1}'])
def test_a_file_that_is_no_run_json_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(spec.SpecError, match=str(path)):
        spec.RunSpec.load(path)


def test_a_missing_run_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(spec.SpecError, match="cannot be read"):
        spec.RunSpec.load(tmp_path / "run.json")


@given(st.integers(1, 10_000), st.integers(1, 20))
def test_every_consumer_has_one_host(count: int, host_count: int) -> None:
    hosts = [f"consumers-{i}" for i in range(host_count)]
    shares = spec.split_consumers(count, hosts)
    indices = [i for s in shares.values() for i in range(s.first, s.first + s.count)]
    assert indices == list(range(count))
    sizes = [share.count for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


def test_the_timeline_adds_up() -> None:
    run = build(bench_warmup_s=10, bench_measure_s=60, bench_drain_s=5)
    assert run.measure_from_unix_ns - run.t0_unix_ns == 10 * spec.NS_PER_S
    assert run.offer_until_unix_ns - run.measure_from_unix_ns == 60 * spec.NS_PER_S
    assert run.end_unix_ns - run.offer_until_unix_ns == 5 * spec.NS_PER_S
    assert run.frames_due() == 70 * 450


@given(st.floats(0, 100), st.floats(1, 1000), st.floats(0.1, 10_000))
def test_the_last_frame_is_due_before_offering_ends(
    warmup_s: float, measure_s: float, rate: float
) -> None:
    run = build(bench_warmup_s=warmup_s, bench_measure_s=measure_s, bench_firehose_rate_per_s=rate)
    frames = run.frames_due()
    assert frames is not None
    assert frames == math.ceil((warmup_s + measure_s) * rate)
    assert (frames - 1) / rate <= (warmup_s + measure_s) * (1 + 1e-9)


def test_a_foreign_relay_has_no_schedule() -> None:
    run = build(bench_firehose_source="wss://bsky.network")
    assert run.frames_due() is None
    assert run.firehose.relay_url == "wss://bsky.network"
    assert run.firehose.rate_per_s is None


def test_durables_and_filters_by_delivery() -> None:
    fanout, shared, partitioned = (
        build(bench_consumers=3, bench_delivery=delivery) for delivery in spec.DELIVERIES
    )
    assert len({fanout.durable_of(i) for i in range(3)}) == 3
    assert len({shared.durable_of(i) for i in range(3)}) == 1
    assert len({partitioned.filters_of(i)[0] for i in range(3)}) == 3
    assert fanout.filters_of(0) == shared.filters_of(0) == ["atproto.firehose.>"]
    assert partitioned.filters_of(2) == ["atproto.firehose.*.2.>"]


def test_shared_pullers_fit_into_max_waiting_and_max_ack_pending() -> None:
    consumers = build(bench_consumers=1000, bench_delivery="shared").consumers
    assert consumers.max_waiting >= 1000
    assert consumers.max_ack_pending >= 1000 * consumers.batch_size


def cluster(*hosts: str, **values: object) -> spec.RunSpec:
    topology = replace(TOPOLOGY, hosts={**TOPOLOGY.hosts, "nats": list(hosts)})
    return spec.build(
        spec.read_variables(values),
        run_id="20260101T000000Z-scenario-1",
        scenario=SCENARIO,
        topology=topology,
        first_seq=1,
    )


@pytest.mark.parametrize("count", [2, 4, 5])
def test_a_number_of_nats_hosts_that_is_no_lab_is_refused_with_the_group(count: int) -> None:
    hosts = [f"nats-{number}" for number in range(count)]
    with pytest.raises(spec.SpecError, match=rf"group nats: {count} hosts .* 1, .* or 3"):
        cluster(*hosts)


def test_more_replicas_than_nats_hosts_are_refused_with_the_variable() -> None:
    with pytest.raises(spec.SpecError, match=r"bench_stream_replicas: 3 .* has 1 host \(n1\)"):
        cluster("n1", bench_stream_replicas=3)
    with pytest.raises(spec.SpecError, match=r"bench_stream_replicas: '?5'? is not allowed"):
        cluster("n1", "n2", "n3", bench_stream_replicas=5)


def test_three_nats_hosts_are_a_cluster() -> None:
    run = cluster("n1", "n2", "n3", bench_stream_replicas=3, bench_stream_storage="file")
    assert run.stream.replicas == 3
    assert run.survives_a_server
    assert not cluster("n1", "n2", "n3").survives_a_server


def test_what_jetstream_would_not_do_is_refused() -> None:
    with pytest.raises(spec.SpecError, match=r"bench_stream_compression: s2 .* only files"):
        spec.read_variables({"bench_stream_compression": "s2"})
    with pytest.raises(spec.SpecError, match=r"bench_sync_interval_s: 0 .* only files are synced"):
        spec.read_variables({"bench_sync_interval_s": 0})
    with pytest.raises(spec.SpecError, match=r"bench_stream_persist_mode: async .* only files are"):
        spec.read_variables({"bench_stream_persist_mode": "async"})
    in_files = {"bench_stream_storage": "file", "bench_stream_persist_mode": "async"}
    with pytest.raises(spec.SpecError, match="one replica only"):
        spec.read_variables({**in_files, "bench_stream_replicas": 3})
    with pytest.raises(spec.SpecError, match="bench_sync_interval_s: 0 is not allowed"):
        spec.read_variables({**in_files, "bench_sync_interval_s": 0})
    synced = build(bench_stream_storage="file", bench_sync_interval_s=0)
    spec.check_run(spec.RunSpec.from_json(synced.to_json(), "run.json"), "run.json")
    assert synced.stream.sync_interval_s == 0
    with pytest.raises(spec.SpecError, match="bench_max_ack_pending: 0"):
        spec.read_variables({"bench_max_ack_pending": 0})
    # Polls every 60 s ± 20 % are up to 84 s apart.
    with pytest.raises(spec.SpecError, match=r"bench_inactive_threshold_s: 84 .* up to 84 s apart"):
        build(bench_inactive_threshold_s=84)
    run = build(bench_inactive_threshold_s=85, bench_max_ack_pending=7)
    assert (run.consumers.max_ack_pending, run.consumers.inactive_threshold_s) == (7, 85)
    spec.check_run(spec.RunSpec.from_json(run.to_json(), "run.json"), "run.json")
