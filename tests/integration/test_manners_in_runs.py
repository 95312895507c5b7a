"""Whole runs with a relay of bad manners: nothing is lost, nothing is left unexplained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.nats_servers import NatsServer
from tests.support.processes_lab import ProcessesLab

pytestmark = pytest.mark.integration

RATE_PER_S = 100
MEASURE_S = 24


def play(directory: Path, server: NatsServer, **variables: Any) -> tuple[dict[str, Any], Any]:  # noqa: ANN401
    lab = ProcessesLab(
        directory,
        {"nats": server},
        bench_consumers=2,
        bench_poll_interval_s=1,
        bench_fetch="drain",
        bench_warmup_s=0,
        bench_measure_s=MEASURE_S,
        bench_drain_s=8,
        bench_firehose_rate_per_s=RATE_PER_S,
        bench_undecodable_max_frames=0,
        bench_relay_silent_max_s=60,
        **variables,
    )
    try:
        lab.start()
        lab.wait()
    finally:
        lab.end()
    summary = lab.report()
    relay = json.loads((lab.bundle / "hosts" / "load" / "relay.json").read_text())
    return summary, relay


def codes(summary: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in summary["verdict"]["reason_codes"]}


@pytest.mark.parametrize("replay", ["inclusive", "exclusive"])
def test_every_manner_is_accounted_for(
    tmp_path: Path, nats_server: NatsServer, replay: str
) -> None:
    manners: list[dict[str, Any]] = [
        {"do": "replay", "at_s": 2, "frames": 80},
        {"do": "garbage", "at_s": 4, "frames": 7},
        {"do": "rewind", "at_s": 6, "frames": 70},
        {"do": "disconnect", "at_s": 9, "close_code": 1006},
        {"do": "silence", "at_s": 10, "for_s": 1},
        {"do": "half_frame", "at_s": 12, "frames": 2},
        {"do": "error_frame", "at_s": 14},
        {"do": "stall", "at_s": 15, "for_s": 1},
        {"do": "drip", "at_s": 17, "for_s": 1},
        {"do": "disconnect", "at_s": 19, "for_s": 1, "close_code": 1012},
        {"do": "renumber", "at_s": 22, "first_seq": 10**9},
    ]
    summary, relay = play(
        tmp_path,
        nats_server,
        bench_relay_replay=replay,
        bench_faults=[{"on": "relay", **manner} for manner in manners],
    )
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0
    assert ledger["offered"] == relay["offered"] == RATE_PER_S * MEASURE_S
    assert ledger["not_read"] == 0
    assert ledger["undecodable"] == relay["damaged"] == 9
    assert ledger["published"] == ledger["stored"] == ledger["offered"] - 9
    assert ledger["lost"] == ledger["publish_failed"] == ledger["stored_twice"] == 0
    assert summary["relay"]["reread"] >= 80
    assert len(relay["numberings"]) == 3
    noted = {
        event["parameters"]["number"] for event in summary["events"] if event["kind"] == "fault"
    }
    assert noted == set(range(len(manners)))
    found = codes(summary)
    assert not found & {"frames_undecodable", "fault_not_injected", "ledger_unexplained"}
    assert not found & {"latency_negative", "relay_lateness_own", "frames_not_offered"}


def test_frames_of_every_kind_and_size_go_through(tmp_path: Path, nats_server: NatsServer) -> None:
    mix = {"too_big": 30, "many_operations": 10, "account": 50, "sync": 30, "largest": 2}
    summary, relay = play(tmp_path, nats_server, bench_firehose_mix=mix)
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0
    assert ledger["published"] == ledger["offered"] == relay["offered"] == RATE_PER_S * MEASURE_S
    assert summary["message_bytes"]["max"] > 5_000_000
