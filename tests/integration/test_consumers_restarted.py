"""Consumers that are killed in a run, and started again: their durables go on, to the event."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import verdict_codes
from tests.support.all_delivered import check_all_delivered
from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

LOAD = {
    "bench_consumers": 4,
    "bench_poll_interval_s": 0.5,
    "bench_batch_size": 400,
    "bench_warmup_s": 1,
    "bench_drain_s": 6,
    "bench_ack_wait_s": 2,
}


def test_what_was_not_acknowledged_comes_again(tmp_path: Path, nats_server: NatsServer) -> None:
    lab = ProcessesLab(
        tmp_path,
        {"nats": nats_server},
        **LOAD,
        bench_firehose_rate_per_s=200,
        bench_measure_s=7,
        bench_workers=1,
    )
    offered = 200 * 8
    try:
        lab.start()
        # The first life ends within its first second.
        for number, at_s in enumerate((0, 5.2)):
            lab.wait_until_kept(f"consumers-{number}.json")
            lab.sleep_until(at_s)
            lab.kill("consumers")
            lab.sleep_until(at_s + 0.5)
            lab.start_consumers_again()
        codes = lab.wait()
        summary = lab.report()
    finally:
        lab.end()

    assert set(codes.values()) == {0}, codes
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["stored"] == ledger["offered"] == offered
    check_all_delivered(summary, 4 * offered)
    assert verdict_codes.missed_goals(summary) == ["failures_max"]
    # Who was started again did not begin late.
    assert summary["fidelity"]["start_spread_ms"] < 5000
    (note,) = [
        one for one in verdict_codes.entries(summary, "note") if one["code"] == "workers_restarted"
    ]
    assert note["parameters"] == {"count": 2, "by_itself": 2}
    gone = [one for one in summary["events"] if one["kind"] == "agent_restarted"]
    assert [worker for one in gone for worker in one["parameters"]["workers"]] == [0, 1]
    assert all(one["begin_s"] < one["end_s"] for one in gone)
    # The first life is there beside the others, as far as it got.
    names = {path.name for path in (lab.bundle / "hosts" / "load").glob("consumers-?.json")}
    assert names == {"consumers-0.json", "consumers-1.json", "consumers-2.json"}
    # It left an account before it had received anything.
    samples = (lab.bundle / "hosts" / "load" / "consumers-0.samples.jsonl").read_text()
    assert json.loads(samples.splitlines()[0])["processed"] == 0
    # Figures are of all lives: nobody is counted twice, and what came before is not left out.
    throughput = summary["throughput"]
    assert throughput["per_consumer_per_s"]["p50"] == pytest.approx(
        throughput["processed_per_s"] / 4, rel=0.3
    )
    # What nobody knows of all lives is not made up.
    assert summary["latency_ms"]["publish_to_first_fetch"]["count"] is None


@pytest.mark.matrix
def test_one_worker_of_several_is_started_again(tmp_path: Path, nats_server: NatsServer) -> None:
    lab = ProcessesLab(
        tmp_path,
        {"nats": nats_server},
        **LOAD,
        bench_firehose_rate_per_s=100,
        bench_measure_s=8,
        bench_workers=2,
        bench_faults=[
            {"do": "kill", "on": "worker:0", "at_s": 3, "for_s": 1},
            {"do": "restart", "on": "worker:0", "at_s": 6},
        ],
    )
    try:
        lab.start()
        codes = lab.wait()
        summary = lab.report()
    finally:
        lab.end()

    assert set(codes.values()) == {0}, codes
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0, summary["verdict"]
    assert ledger["stored"] == ledger["offered"] == 100 * 9
    check_all_delivered(summary, 4 * 100 * 9)
    assert verdict_codes.blamed(summary) == []
    (note,) = [
        one for one in verdict_codes.entries(summary, "note") if one["code"] == "workers_restarted"
    ]
    assert note["parameters"] == {"count": 2, "by_itself": 0}
    assert [fault["undone"] for fault in summary["faults"]] == [True, True]
    assert all(fault["served_s"] is not None for fault in summary["faults"])
    names = {path.name for path in (lab.bundle / "hosts" / "load").glob("consumers-?.json")}
    assert names == {f"consumers-{number}.json" for number in range(4)}
