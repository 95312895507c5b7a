"""Whole runs on relays that are not ours: nothing that they do is called a pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_relay import BadRelay
from tests.support.checkout import SCRIPTS
from tests.support.playbook_lab import Lab

pytestmark = pytest.mark.integration

RUN: dict[str, Any] = {"bench_warmup_s": 1, "bench_measure_s": 12, "bench_drain_s": 1}


#: Nothing here is about time, and the machine may be busy.
PLAY_S = 500


def play(lab: Lab, relay: BadRelay, **variables: object) -> int:
    process = lab.start(bench_firehose_source=relay.url, **{**RUN, **variables})
    output, _ = process.communicate(timeout=PLAY_S)
    sys.stdout.write(output)
    return process.returncode


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def codes(summary: dict[str, Any]) -> list[str]:
    return [one["code"] for one in summary["verdict"]["reason_codes"]]


def test_a_relay_that_dies_is_no_pass(lab: Lab) -> None:
    with BadRelay(50, manner=lambda s: "dead" if s > 9 else "serve") as relay:
        assert play(lab, relay) != 0
    summary = lab.summary()
    assert summary["verdict"]["status"] == "invalid"
    assert "relay_silent" in codes(summary)
    report = subprocess.run(
        [SCRIPTS / "fpaas", "report", lab.results / "latest"], capture_output=True, check=False
    )
    assert report.returncode == 3
    silent = summary["relay"]["silent_s"]
    assert 2 < silent["longest"] <= silent["total"] < 12
    assert summary["ledger"]["unexplained"] == 0
    assert summary["ledger"]["not_read"] is None
    assert summary["ledger"]["published"] > 100
    events = [event for event in summary["events"] if event["kind"] == "relay_silent"]
    assert events


def test_a_relay_that_only_answers_pings_is_no_pass(lab: Lab) -> None:
    with BadRelay(50, manner=lambda _: "silent") as relay:
        play(lab, relay, bench_relay_stuck_s=2)
        assert len(relay.subscriptions) > 2
    summary = lab.summary()
    assert summary["verdict"]["status"] == "invalid"
    assert "relay_silent" in codes(summary)
    assert summary["relay"]["silent_s"]["longest"] == pytest.approx(12, abs=0.1)


def test_a_good_foreign_relay_passes(lab: Lab) -> None:
    with BadRelay(50) as relay:
        play(lab, relay)
    summary = lab.summary()
    assert summary["relay"]["foreign"] is True
    assert summary["relay"]["silent_s"]["total"] == 0
    assert abs(summary["relay"]["lag_growth_s"]) < 0.5
    assert summary["relay"]["gaps"] == []
    assert not {"relay_silent", "relay_lagging"} & set(codes(summary))
    assert summary["ledger"]["unexplained"] == 0


def test_a_relay_slower_than_real_time_is_no_pass(lab: Lab) -> None:
    # Each event is as much older as it comes later: it plays half a second each second.
    with BadRelay(50, age_s=lambda event: event / 50 / 2) as relay:
        play(lab, relay)
    summary = lab.summary()
    assert "relay_lagging" in codes(summary)
    assert summary["relay"]["lag_growth_s"] == pytest.approx(6, abs=1.5)
