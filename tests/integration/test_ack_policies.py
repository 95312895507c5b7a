"""Runs without acks, and with acks that are of all messages before: each is accounted for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import verdict_codes
from tests.support.nats_servers import NatsCluster, NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

VARIABLES: dict[str, Any] = {
    "bench_consumers": 6,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 200,
    "bench_workers": 2,
    "bench_firehose_rate_per_s": 150,
    "bench_ack_wait_s": 1,
    "bench_warmup_s": 0,
    "bench_measure_s": 5,
    "bench_drain_s": 3,
}


def acks_sent(lab: ProcessesLab) -> int:
    paths = lab.bundle.glob("hosts/*/consumers-*.json")
    return sum(json.loads(path.read_text())["acks"] for path in paths)


@pytest.mark.parametrize("ack", ["none", "all"])
def test_every_delivery_is_accounted_for_whatever_is_acknowledged(
    tmp_path: Path, nats_server: NatsServer, ack: str
) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **VARIABLES, bench_ack=ack)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["owed"] == 6 * ledger["stored"] == 6 * 750
    assert ledger["lost"] == 0
    if not verdict_codes.is_busy(summary):
        assert ledger["delivered"] > 0.9 * ledger["owed"]
        # Nothing waits for an ack for longer than a second, or it would have come again.
        assert ledger["redelivered"] == 0
    codes = {one["code"] for one in summary["verdict"]["reason_codes"]}
    if ack == "none":
        assert acks_sent(lab) == 0
        assert ledger["acked"] is ledger["unacked"] is ledger["failed"] is None
        assert "acks_not_asked" in codes
    else:
        assert ledger["acked"] == ledger["delivered"]
        assert ledger["unacked"] == 0
        assert 6 <= acks_sent(lab) < ledger["delivered"]
        assert "acks_not_asked" not in codes


@pytest.mark.matrix
@pytest.mark.parametrize("ack", ["explicit", "none", "all"])
def test_what_a_killed_worker_had_not_received_is_lost_without_acks_of_each(
    tmp_path: Path, nats_server: NatsServer, ack: str
) -> None:
    fault = {"do": "kill", "on": "worker:0", "at_s": 3, "for_s": 0.5}
    variables = VARIABLES | {"bench_fetch": "drain", "bench_faults": [fault]}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables, bench_ack=ack)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["lost"] == ledger["lost_by_cause"]["agent_died"]
    if ack == "explicit":
        assert ledger["lost"] == 0
    parts = ("delivered", "expired_unread", "pending_at_end", "lost")
    assert ledger["owed"] == sum(ledger[name] for name in parts)


@pytest.mark.matrix
@pytest.mark.parametrize("ack", ["none", "all"])
def test_a_stream_that_was_lost_balances_whatever_is_acknowledged(
    tmp_path: Path, nats_server: NatsServer, ack: str
) -> None:
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **VARIABLES, bench_ack=ack)
    summary = lab.play_losing_nats(nats_server, 3)
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["recovery"]["stream_recreated"] == 1


@pytest.mark.matrix
@pytest.mark.parametrize("ack", ["none", "all"])
def test_a_file_stream_whose_server_was_killed_balances_whatever_is_acknowledged(
    tmp_path: Path, nats_server: NatsServer, ack: str
) -> None:
    variables = VARIABLES | {"bench_stream_storage": "file", "bench_fetch": "drain"}
    lab = ProcessesLab(tmp_path, {"server": nats_server}, **variables, bench_ack=ack)
    summary = lab.play_losing_nats(nats_server, 3)
    assert summary["ledger"]["unexplained"] == 0, summary["verdict"]
    assert summary["ledger"]["owed"] == 6 * summary["ledger"]["stored"]


@pytest.mark.matrix
@pytest.mark.parametrize("ack", ["none", "all"])
def test_a_cluster_balances_whatever_is_acknowledged(
    tmp_path: Path, nats_cluster: NatsCluster, ack: str
) -> None:
    variables = VARIABLES | {"bench_stream_replicas": 3, "bench_firehose_rate_per_s": 50}
    lab = ProcessesLab(tmp_path, nats_cluster.servers, **variables, bench_ack=ack)
    summary = lab.play_undisturbed()
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["delivered"] == ledger["owed"] == 6 * ledger["stored"]
