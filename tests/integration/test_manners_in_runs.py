"""Whole runs with a relay of bad manners: nothing is lost, nothing is left unexplained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fpaas.spec import REPLAYS
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

RATE_PER_S = 100
MEASURE_S = 24


class Run(OwnLab):
    """A run with a relay of bad manners."""

    def __init__(self, directory: Path, **variables: object) -> None:
        super().__init__(
            directory,
            bench_consumers=2,
            bench_poll_interval_s=1,
            bench_fetch="drain",
            bench_warmup_s=0,
            bench_measure_s=MEASURE_S,
            bench_drain_s=8,
            bench_firehose_rate_per_s=RATE_PER_S,
            bench_undecodable_max_frames=0,
            bench_relay_silent_max_s=60,
            bench_workers=1,
            **variables,
        )

    @property
    def relay(self) -> dict[str, Any]:
        """What the relay says of itself."""
        path = self.bundle / "hosts" / "load" / "relay.json"
        account: dict[str, Any] = json.loads(path.read_text())
        return account


def codes(summary: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in summary["verdict"]["reason_codes"]}


MANNERS: list[dict[str, Any]] = [
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


def test_every_manner_is_accounted_for_however_a_replay_begins(tmp_path: Path) -> None:
    faults = [{"on": "relay", **manner} for manner in MANNERS]
    labs = [
        Run(tmp_path / replay, bench_relay_replay=replay, bench_faults=faults) for replay in REPLAYS
    ]
    for lab, summary in zip(labs, play_all(labs, Run.finish), strict=True):
        check_manners(summary, lab.relay)


def check_manners(summary: dict[str, Any], relay: dict[str, Any]) -> None:
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
    assert noted == set(range(len(MANNERS)))
    found = codes(summary)
    assert not found & {"frames_undecodable", "fault_not_injected", "ledger_unexplained"}
    assert not found & {"latency_negative", "frames_not_offered"}
    # Unless others made the relay late: as consumers show, whom its manners do not touch, or the
    # machine, or as it says itself, for it did not run.
    is_busy = {"poll_lateness_own", "agent_paused", "host_saturated", "host_steal"} & found
    assert "relay_lateness_own" not in found or is_busy


@pytest.mark.matrix
def test_frames_of_every_kind_and_size_go_through(tmp_path: Path) -> None:
    mix = {"too_big": 30, "many_operations": 10, "account": 50, "sync": 30, "largest": 2}
    lab = Run(tmp_path / "lab", bench_firehose_mix=mix)
    (summary,), relay = play_all([lab], Run.finish), lab.relay
    ledger = summary["ledger"]
    assert ledger["unexplained"] == 0
    assert ledger["published"] == ledger["offered"] == relay["offered"] == RATE_PER_S * MEASURE_S
    assert summary["message_bytes"]["max"] > 5_000_000
