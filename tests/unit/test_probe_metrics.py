"""What a probe serves: exporters' names and labels, and counters that only grow."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest

from fpaas.probe import fault_metrics, server_metrics
from fpaas.probe.probe_metrics import ProbeCollector, phase
from fpaas.probe.process_metrics import ProcessTotals
from fpaas.probe.server_metrics import ServerAnswers
from fpaas.records.events import FAULT, EventLog
from fpaas.records.nats import DurableState
from fpaas.records.probe import ProcessSample
from fpaas.spec import NS_PER_S
from tests.support import run_specs

VARZ = {
    "server_id": "NID",
    "server_name": "n1",
    "cpu": 2.5,
    "host": "0.0.0.0",
    "tls": False,
    "jetstream": {"config": {"max_memory": 7}, "stats": {"memory": 5, "api": {"total": 3}}},
    "slow_consumer_stats": {"clients": 1},
    "http_req_stats": {"/varz": 9},
}
JSZ = {
    "config": {"max_memory": 7, "max_storage": 0, "domain": ""},
    "streams": 1,
    "consumers": 2,
    "messages": 10,
    "bytes": 100,
    "account_details": [
        {
            "name": "$G",
            "id": "$G",
            "stream_detail": [
                {
                    "name": "S",
                    "state": {
                        "messages": 10,
                        "bytes": 100,
                        "first_seq": 1,
                        "last_seq": 10,
                        "consumer_count": 2,
                    },
                }
            ],
        }
    ],
}


def durable(name: str, pending: int, delivered: int) -> DurableState:
    return DurableState(
        name=name,
        delivered_consumer_seq=delivered,
        delivered_stream_seq=delivered,
        num_pending=pending,
        num_ack_pending=1,
        num_redelivered=0,
        num_waiting=1,
    )


ANSWERS = ServerAnswers(
    varz=VARZ,
    jsz=JSZ,
    connections=4,
    consumers={"S": [durable("a", 3, 7), durable("b", 5, 2)]},
)


def series(metrics: Iterable[Metric]) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for metric in metrics:
        for sample in metric.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_numbers_of_varz_bear_their_paths() -> None:
    found = series(server_metrics.metrics(ANSWERS, each_consumer=False))
    assert found["gnatsd_varz_cpu"] == [({"server_id": "NID"}, 2.5)]
    assert found["gnatsd_varz_jetstream_config_max_memory"][0][1] == 7
    assert found["gnatsd_varz_slow_consumer_stats_clients"][0][1] == 1
    assert found["gnatsd_varz_jetstream_stats_api_total"][0][1] == 3
    # Texts, truths and paths are no numbers, or no names.
    assert not any("host" in name or "tls" in name or "/" in name for name in found)
    assert found["gnatsd_connz_num_connections"][0][1] == 4


def test_all_consumers_are_one_series_unless_each_is_asked_for() -> None:
    found = series(server_metrics.metrics(ANSWERS, each_consumer=False))
    [(labels, pending)] = found["jetstream_consumer_num_pending"]
    assert (labels["consumer_name"], labels["stream_name"], pending) == ("*", "S", 8)
    assert labels["is_stream_leader"] == "true"
    # Of positions the one that is furthest behind.
    assert found["jetstream_consumer_delivered_stream_seq"][0][1] == 2
    each = series(server_metrics.metrics(ANSWERS, each_consumer=True))
    told = {own["consumer_name"]: value for own, value in each["jetstream_consumer_num_pending"]}
    assert told == {"a": 3, "b": 5}


def test_nothing_is_made_up_before_the_first_answer() -> None:
    assert list(server_metrics.metrics(ServerAnswers(), each_consumer=False)) == []
    no_jetstream = series(server_metrics.metrics(ServerAnswers(varz=VARZ), each_consumer=False))
    assert not any(name.startswith("jetstream_") for name in no_jetstream)


def sample(pid: int, cpu_s: float) -> ProcessSample:
    return ProcessSample(
        unix_ns=1,
        process="consumers",
        pid=pid,
        cpu_pct=None,
        cpu_s=cpu_s,
        rss_mb=10.0,
        fds=3,
        threads=1,
        ctx_switches_voluntary=5,
        ctx_switches_involuntary=0,
    )


def test_what_a_process_used_stays_after_its_end() -> None:
    totals = ProcessTotals()
    totals.add([sample(1, 4.0), sample(2, 1.0)])
    totals.add([sample(1, 5.0)])
    found = series(totals.metrics())
    assert found["namedprocess_namegroup_cpu_seconds_total"][0][1] == 6.0
    assert found["namedprocess_namegroup_num_procs"][0][1] == 1
    totals.add([])
    found = series(totals.metrics())
    assert found["namedprocess_namegroup_cpu_seconds_total"][0][1] == 6.0
    assert found["namedprocess_namegroup_num_procs"][0][1] == 0


def test_phases_follow_the_timeline() -> None:
    spec = replace(run_specs.build(), t0_unix_ns=1_000 * NS_PER_S)
    told = [
        phase(spec, unix_ns)
        for unix_ns in (
            spec.t0_unix_ns - 1,
            spec.t0_unix_ns,
            spec.measure_from_unix_ns,
            spec.offer_until_unix_ns,
            spec.settled_unix_ns,
        )
    ]
    assert told == ["waiting", "warm-up", "measuring", "draining", "settled"]


def test_a_fault_is_in_effect_from_its_begin_to_its_end(tmp_path: Path) -> None:
    faults = [
        {"do": "pause", "on": "nats", "at_s": 5, "for_s": 5},
        {"do": "stall", "on": "relay", "at_s": 9, "for_s": 1},
        {"do": "kill", "on": "b", "at_s": 9},
    ]
    spec = run_specs.build(bench_faults=faults)

    def found(host: str = "a") -> dict[str, list[tuple[dict[str, str], float]]]:
        return series(fault_metrics.metrics(spec, host, fault_metrics.seen(tmp_path)))

    # Nothing has been written yet, and another host has no part in it.
    assert [value for _, value in found()["fpaas_run_fault_active"]] == [0, 0]
    assert [own["fault"] for own, _ in found("b")["fpaas_run_fault_active"]] == ["2"]
    assert "fpaas_run_fault_begin_timestamp_seconds" not in found()
    with (
        EventLog(tmp_path / "faults.events.jsonl") as of_host,
        EventLog(tmp_path / "relay.events.jsonl") as of_relay,
    ):
        paused = of_host.begin(FAULT, 10 * NS_PER_S, {"number": 0})
        of_relay.begin("reader_blocked", 11 * NS_PER_S, {"reader": "somebody"})
        of_relay.begin(FAULT, 12 * NS_PER_S, {"number": 1})
        assert [value for _, value in found()["fpaas_run_fault_active"]] == [1, 1]
        of_host.end(paused, 15 * NS_PER_S, {"number": 0})
    assert [value for _, value in found()["fpaas_run_fault_active"]] == [0, 1]
    assert [value for _, value in found()["fpaas_run_fault_begin_timestamp_seconds"]] == [10, 12]
    [(labels, ended)] = found()["fpaas_run_fault_end_timestamp_seconds"]
    assert (labels["do"], labels["on"], ended) == ("pause", "nats", 15)


def test_a_scrape_of_10_000_consumers_costs_50_ms_at_most(tmp_path: Path) -> None:
    spec = run_specs.build()
    collector = ProbeCollector(
        spec, "localhost", tmp_path, now_ns=lambda: spec.t0_unix_ns, each_consumer=False
    )
    durables = [durable(f"consumer-{number}", number, number) for number in range(10_000)]
    collector.server = ServerAnswers(VARZ, JSZ, 1, {"S": durables})
    registry = CollectorRegistry()
    registry.register(collector)
    took_s: list[float] = []
    # Whoever shares the cores makes code slower, too; one scrape that is not disturbed is enough.
    while min(took_s, default=1) >= 0.05 and len(took_s) < 50:
        began_s = time.process_time()
        text = generate_latest(registry).decode()
        took_s.append(time.process_time() - began_s)
    assert 'consumer_name="*"' in text
    assert min(took_s) < 0.05
