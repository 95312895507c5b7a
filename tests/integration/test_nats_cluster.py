"""Whole runs through the end of a NATS server: of a cluster nothing is lost, of one it is said."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpaas.records import events
from fpaas.spec import NS_PER_S, STREAM_NAME, RunSpec
from tests.support import verdict_codes
from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsCluster, NatsServer
from tests.support.processes_lab import ProcessesLab
from tests.support.provisioning import provision, run_spec, stream_and_durables

pytestmark = pytest.mark.integration

KILLED_AT_S = 3.0
#: A cluster needs up to 9 s to find out that a leader is gone and to agree on another.
LOAD: dict[str, Any] = {
    "bench_consumers": 12,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_firehose_rate_per_s": 200,
    "bench_warmup_s": 0,
    "bench_measure_s": 12,
    "bench_drain_s": 12,
    "bench_ack_wait_s": 4,
    "bench_workers": 1,
}
MakeLab = Callable[..., ProcessesLab]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    labs = []

    def make(servers: dict[str, NatsServer], **variables: object) -> ProcessesLab:
        lab = ProcessesLab(tmp_path, servers, **{**LOAD, **variables})
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.end()


def hosts_file(lab: ProcessesLab, host: str, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((lab.bundle / "hosts" / host / name).read_text())
    return content


def with_replicas(spec: RunSpec, replicas: int) -> RunSpec:
    return replace(spec, stream=replace(spec.stream, replicas=replicas))


@pytest.mark.parametrize(
    ("role", "delivery", "storage", "comes_back"),
    [
        ("leader", "fanout", "memory", True),
        pytest.param("leader", "shared", "file", False, marks=pytest.mark.matrix),
        pytest.param("follower", "shared", "memory", True, marks=pytest.mark.matrix),
    ],
)
def test_nothing_is_lost_when_a_server_of_a_cluster_is_killed(
    nats_cluster: NatsCluster,
    make_lab: MakeLab,
    role: str,
    delivery: str,
    storage: str,
    *,
    comes_back: bool,
) -> None:
    lab = make_lab(
        nats_cluster.servers,
        bench_delivery=delivery,
        bench_stream_storage=storage,
        bench_stream_replicas=3,
    )
    lab.start()
    leader = nats_cluster.leader(STREAM_NAME)
    killed = leader if role == "leader" else next(n for n in nats_cluster.servers if n != leader)
    lab.sleep_until(KILLED_AT_S)
    nats_cluster.servers[killed].kill()
    killed_s = since_t0(lab)
    launched_s = None
    if comes_back:
        lab.sleep_until(KILLED_AT_S + 2)
        nats_cluster.servers[killed].launch()
        launched_s = since_t0(lab)
    codes = lab.wait()
    assert set(codes.values()) == {0}, codes

    summary = lab.report()

    ledger = summary["ledger"]
    due = lab.spec.frames_due()
    assert due is not None
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["published"] == ledger["stored"] == due
    assert ledger["publish_failed"] == ledger["publish_unknown"] == ledger["lost"] == 0
    check_all_delivered(summary, due * (12 if delivery == "fanout" else 1))
    # No fault of the run was to do this.
    assert "failures_max" in verdict_codes.missed_goals(summary)
    assert set(verdict_codes.blamed(summary)) == {"goal_missed"}
    # What was in flight when the leader died is repeated; later events of its DID waited for that.
    assert summary["order"]["violations_in_stream"] == 0
    code = "nats_restarted_outlived" if comes_back else "nats_died_outlived"
    notes = verdict_codes.entries(summary, "note")
    assert [one["host"] for one in notes if one["code"] == code] == [killed]
    leader_died_s = killed_s if role == "leader" else None
    check_events(summary, killed, leader_died_s, launched_s)
    assert {clock["server"] for clock in summary["clock"].values()} <= {"n1", "n2", "n3"}
    assert summary["latency_ms"]["publish_to_fetch"]["clock_error_ms"] is not None
    samples = [
        json.loads(line)
        for host in nats_cluster.servers
        for line in (lab.bundle / "hosts" / host / "probe.nats.jsonl").read_text().splitlines()
    ]
    swept = [sample for sample in samples if "lag" in sample]
    assert swept
    assert all(sample.get("server") == sample.get("leader") for sample in swept)


def since_t0(lab: ProcessesLab) -> float:
    return time.time() - lab.spec.t0_unix_ns / NS_PER_S


def check_events(
    summary: dict[str, Any], killed: str, leader_died_s: float | None, launched_s: float | None
) -> None:
    """Check when the death of a server was noted, its restart, and who led the stream then."""
    happened = summary["events"]
    late_s = 6 if verdict_codes.is_busy(summary) else 0
    restarts = [one for one in happened if one["kind"] == events.NATS_RESTARTED]
    assert [one["host"] for one in restarts] == ([] if launched_s is None else [killed])
    for one in restarts:
        assert one["end_s"] == pytest.approx(launched_s, abs=1.5 + late_s)
    # On a busy machine, a leader that is alive may be replaced as well.
    replaced = [
        one
        for one in happened
        if one["kind"] == events.LEADER_CHANGED and one["parameters"]["before"] == killed
    ]
    if leader_died_s is not None:
        # A server that is gone is missed for some seconds at most.
        assert leader_died_s - 0.1 <= replaced[-1]["begin_s"] < leader_died_s + 10 + late_s
        assert replaced[-1]["parameters"]["leader"] != killed


def test_a_single_memory_server_that_is_killed_for_good_makes_the_run_invalid(
    nats_server: NatsServer, make_lab: MakeLab
) -> None:
    lab = make_lab({"n1": nats_server}, bench_measure_s=8, bench_drain_s=3)
    lab.start()
    lab.wait_until_counted("shuffler", "published", round(KILLED_AT_S * 200 * 0.9))
    nats_server.kill()
    codes = lab.wait()
    assert codes == {name: 3 if name == "probe on n1" else 0 for name in codes}

    summary = lab.report()

    verdict = summary["verdict"]
    assert verdict["status"] == "invalid"
    first = verdict_codes.entries(summary)[0]
    assert (first["code"], first["host"]) == ("nats_died", "n1")
    assert first["parameters"]["storage"] == "memory"
    assert summary["limited_by"]["parameters"]["reason"]["code"] == first["code"]
    account = hosts_file(lab, "load", "shuffler.json")
    outcomes = ("published", "failed", "unknown")
    counts = {name: sum(b - a + 1 for a, b in account[name]) for name in ("read", *outcomes)}
    assert counts["read"] == sum(counts[name] for name in outcomes)
    assert counts["published"] >= KILLED_AT_S * 200 * 0.9
    consumers = hosts_file(lab, "load", "consumers-0.json")
    fetches = consumers["fetches"]
    ends = ("ok", "empty", "refused", "client_timeout", "lost", "unanswered")
    assert sum(fetches[end] for end in ends) == fetches["pulls"]
    files = [path for path in (lab.bundle / "hosts").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".tmp"]
    assert "file_torn" not in verdict_codes.of_summary(summary)


def test_stream_and_durables_have_the_replicas_asked_for(
    nats_cluster: NatsCluster, tmp_path: Path
) -> None:
    spec = with_replicas(run_spec(nats_cluster.url, bench_consumers=100), 3)

    done = provision(tmp_path, spec)

    assert done.returncode == 0, done.stderr
    created, durables = stream_and_durables(nats_cluster.url)
    assert created.config.num_replicas == 3
    assert created.cluster is not None
    assert len(created.cluster.replicas or []) == 2
    assert {durable.config.num_replicas for durable in durables} == {3}
    assert all(durable.config.mem_storage for durable in durables)


def test_replicas_without_a_server_each_are_explained(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    spec = with_replicas(run_spec(nats_server.url, bench_consumers=1), 3)

    done = provision(tmp_path, spec)

    assert done.returncode == 3
    assert "replicas" in done.stderr


def test_a_stream_without_a_quorum_is_noticed_though_its_server_answers(
    nats_cluster: NatsCluster, make_lab: MakeLab
) -> None:
    lab = make_lab(nats_cluster.servers, bench_stream_replicas=3)
    lab.start()
    lab.sleep_until(KILLED_AT_S)
    # Of the shuffler's server alone there is no quorum.
    others = [one for one in nats_cluster.servers.values() if not one.has_client("fpaas-shuffler")]
    assert len(others) == 2
    stopped_s = since_t0(lab)
    for server in others:
        os.kill(server.pid, signal.SIGSTOP)
    try:
        lab.sleep_until(KILLED_AT_S + 4)
    finally:
        gone_on_s = since_t0(lab)
        for server in others:
            os.kill(server.pid, signal.SIGCONT)
    lab.wait()

    summary = lab.report()

    silences = [one for one in summary["events"] if one["kind"] == "stream_silent"]
    silent = max(silences, key=lambda one: (one["end_s"] or 0) - one["begin_s"])
    assert silent["parameters"]["agent"] == "shuffler"
    late_s = 4 if verdict_codes.is_busy(summary) else 0
    assert stopped_s - 0.5 - late_s < silent["begin_s"] < stopped_s + 2 + late_s
    assert silent["end_s"] > gone_on_s - 0.1
    assert summary["ledger"]["unexplained"] == summary["ledger"]["lost"] == 0
    stood_still = [
        one["parameters"]["part"]
        for one in verdict_codes.entries(summary, "note")
        if one["code"] == "stood_still"
    ]
    assert "stream" in stood_still
