"""Consumers that are pushed to: everything is accounted for, whatever ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsCluster, NatsServer
from tests.support.patience import PATIENCE_S
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

VARIABLES: dict[str, Any] = {
    "bench_consumer_kind": "push",
    "bench_consumers": 6,
    "bench_workers": 2,
    "bench_firehose_rate_per_s": 150,
    "bench_ack_wait_s": 1,
    "bench_warmup_s": 0,
    "bench_measure_s": 5,
    "bench_drain_s": 5,
}


@pytest.mark.parametrize("kind", ["push", "ordered"])
def test_every_delivery_that_is_pushed_is_accounted_for(
    tmp_path: Path, nats_server: NatsServer, kind: str
) -> None:
    variables = VARIABLES | {"bench_consumer_kind": kind}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = lab.play_undisturbed()
    ledger, latency = summary["ledger"], summary["latency_ms"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["delivered"] == ledger["owed"] == 6 * 750
    assert ledger["acked"] == (ledger["owed"] if kind == "push" else None)
    assert latency["publish_to_fetch"]["count"] == 6 * 750
    # Nobody asked for anything.
    assert latency["fetch_call"]["p99"] is latency["fetch_call"]["count"] is None
    assert summary["fidelity"]["poll_lateness_ms"]["p99"] is None


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("kind", "delivery", "ack"),
    [
        *(("push", "fanout", ack) for ack in ("none", "all")),
        *(("push", "shared", ack) for ack in ("explicit", "none")),
        *(("push", "partitioned", ack) for ack in ("explicit", "none", "all")),
        ("ordered", "partitioned", "explicit"),
    ],
)
def test_whatever_is_delivered_and_acknowledged_balances(
    tmp_path: Path, nats_server: NatsServer, kind: str, delivery: str, ack: str
) -> None:
    variables = VARIABLES | {"bench_delivery": delivery, "bench_ack": ack}
    variables |= {"bench_consumer_kind": kind}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    ledger = lab.play_undisturbed()["ledger"]
    assert ledger["unexplained"] == 0
    assert ledger["delivered"] == ledger["owed"] == (6 if delivery == "fanout" else 1) * 750


@pytest.mark.matrix
@pytest.mark.parametrize("delivery", ["fanout", "shared"])
@pytest.mark.parametrize("ack", ["explicit", "none"])
def test_what_a_killed_worker_did_not_receive_is_delivered_to_who_goes_on(
    tmp_path: Path, nats_server: NatsServer, delivery: str, ack: str
) -> None:
    fault = {"do": "kill", "on": "worker:0", "at_s": 2, "for_s": 0.5}
    variables = VARIABLES | {"bench_delivery": delivery, "bench_faults": [fault]}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables, bench_ack=ack)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["lost"] == ledger["lost_by_cause"]["agent_died"]
    if ack == "explicit":
        assert ledger["lost"] == ledger["pending_at_end"] == 0


@pytest.mark.matrix
def test_who_goes_on_for_a_killed_worker_goes_on_with_its_ordered_consumers(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    fault = {"do": "kill", "on": "worker:0", "at_s": 2, "for_s": 0.5}
    variables = VARIABLES | {"bench_consumer_kind": "ordered", "bench_faults": [fault]}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["delivered"] == ledger["owed"] == 6 * 750
    # What it had not logged came again, and nobody knows that.
    assert ledger["lost"] == ledger["duplicate_deliveries"] == 0


@pytest.mark.matrix
def test_ordered_consumers_that_are_gone_are_made_again_once_nothing_is_heard_of_them(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    variables = VARIABLES | {"bench_consumer_kind": "ordered", "bench_measure_s": 16}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    try:
        lab.start()
        lab.sleep_until(2)
        deleted = asyncio.run(delete_all_consumers(nats_server, lab.spec.stream.name))
        lab.wait()
        summary = lab.report()
    finally:
        lab.end()
    assert deleted == 6
    assert sum(summary["made_again"].values()) >= 6
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    check_all_delivered(summary, 6 * 16 * 150)


async def delete_all_consumers(server: NatsServer, stream: str) -> int:
    """Do what only somebody from outside does."""
    client = await nats.connect(server.url)
    try:
        found = await client.jetstream(timeout=PATIENCE_S).consumers_info(stream)
        for one in found:
            await client.jetstream(timeout=PATIENCE_S).delete_consumer(stream, one.name)
    finally:
        await client.close()
    return len(found)


@pytest.mark.matrix
@pytest.mark.parametrize("storage", ["memory", "file"])
@pytest.mark.parametrize(
    ("kind", "delivery"), [("push", "fanout"), ("push", "shared"), ("ordered", "fanout")]
)
def test_a_killed_server_is_subscribed_to_again(
    tmp_path: Path, nats_server: NatsServer, kind: str, delivery: str, storage: str
) -> None:
    variables = VARIABLES | {"bench_delivery": delivery, "bench_measure_s": 7}
    variables |= {"bench_consumer_kind": kind}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables, bench_stream_storage=storage)
    summary = lab.play_losing_nats(nats_server, 3)
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["pending_at_end"] == ledger["lost"] == 0


def play_with_pause(
    lab: ProcessesLab, from_s: float, until_s: float, server: NatsServer | None = None
) -> dict[str, Any]:
    """Play a run in which a server, or else a worker, stands still; returns its summary."""
    try:
        lab.start()
        lab.sleep_until(from_s)
        pid = lab.pids("consumers")[1] if server is None else server.pid
        os.kill(pid, signal.SIGSTOP)
        lab.sleep_until(until_s)
        os.kill(pid, signal.SIGCONT)
        lab.wait()
        return lab.report()
    finally:
        lab.end()


@pytest.mark.matrix
@pytest.mark.parametrize("what", ["nats", "worker"])
@pytest.mark.parametrize("kind", ["push", "ordered"])
def test_who_stands_still_delays_and_loses_nothing(
    tmp_path: Path, nats_server: NatsServer, kind: str, what: str
) -> None:
    variables = VARIABLES | {"bench_measure_s": 7, "bench_consumer_kind": kind}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = play_with_pause(lab, 2, 4, nats_server if what == "nats" else None)
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["pending_at_end"] == ledger["lost"] == 0
    assert summary["latency_ms"]["end_to_end"]["max"] > 1000


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["push", "ordered"])
def test_a_cluster_pushes(tmp_path: Path, nats_cluster: NatsCluster, kind: str) -> None:
    variables = VARIABLES | {"bench_stream_replicas": 3, "bench_firehose_rate_per_s": 50}
    variables |= {"bench_consumer_kind": kind}
    lab = ProcessesLab(tmp_path, nats_cluster.servers, **variables)
    ledger = lab.play_undisturbed()["ledger"]
    assert ledger["unexplained"] == 0
    assert ledger["delivered"] == ledger["owed"] == 6 * ledger["stored"]


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["push", "ordered"])
def test_a_worker_that_stands_still_over_the_end_receives_what_was_sent(
    tmp_path: Path, nats_server: NatsServer, kind: str
) -> None:
    variables = VARIABLES | {"bench_drain_s": 0, "bench_consumer_kind": kind}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    summary = play_with_pause(lab, 4, 8.5)
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert summary["latency_ms"]["publish_to_fetch"]["max"] > 3500


@pytest.mark.matrix
def test_who_is_cut_off_as_a_slow_consumer_is_an_event_and_a_missed_goal(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    variables = VARIABLES | {
        "bench_ack": "none",
        "bench_consumers": 2,
        "bench_workers": 1,
        "bench_firehose_rate_per_s": 1500,
        "bench_measure_s": 25,
        "bench_drain_s": 5,
    }
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables)
    try:
        lab.start()
        pid = lab.pids("consumers")[0]
        lab.sleep_until(2)
        os.kill(pid, signal.SIGSTOP)
        lab.sleep_until(20)
        os.kill(pid, signal.SIGCONT)
        lab.wait()
        summary = lab.report()
    finally:
        lab.end()
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["jetstream"]["slow_consumers"] > 0
    assert "slow_consumers_cut_off" in {event["kind"] for event in summary["events"]}
    statuses = {goal["name"]: goal["status"] for goal in summary["goals"]}
    assert statuses["slow_consumers_max"] == "missed"
