"""Whole runs on relays that are not ours: nothing that they do is called a pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bad_relay import BadRelay
from tests.support.checkout import SCRIPTS
from tests.support.playbook_lab import SHORT, Lab
from tests.support.side_by_side import OwnLab, play_all

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


class Reading(OwnLab):
    """A run that reads a foreign relay."""

    def __init__(self, directory: Path, relay: BadRelay, **variables: object) -> None:
        super().__init__(
            directory, **SHORT | RUN, bench_firehose_source=relay.url, bench_workers=1, **variables
        )


def test_good_silent_and_slow_relays_are_told_apart(tmp_path: Path) -> None:
    with (
        BadRelay(50) as good,
        BadRelay(50, manner=lambda _: "silent") as silent,
        # Each event is as much older as it comes later: it plays half a second each second.
        BadRelay(50, age_s=lambda event: event / 50 / 2) as slow,
    ):
        labs = [
            Reading(tmp_path / "good", good),
            Reading(tmp_path / "silent", silent, bench_relay_stuck_s=2),
            Reading(tmp_path / "slow", slow),
        ]
        of_good, of_silent, of_slow = play_all(labs, Reading.finish)
        assert len(silent.subscriptions) > 2

    assert of_good["relay"]["foreign"] is True
    assert of_good["relay"]["silent_s"]["total"] == 0
    assert abs(of_good["relay"]["lag_growth_s"]) < 0.5
    assert of_good["relay"]["gaps"] == []
    assert not {"relay_silent", "relay_lagging"} & set(codes(of_good))
    assert of_good["ledger"]["unexplained"] == 0

    # It only answers pings.
    assert of_silent["verdict"]["status"] == "invalid"
    assert "relay_silent" in codes(of_silent)
    assert of_silent["relay"]["silent_s"]["longest"] == pytest.approx(12, abs=0.1)

    assert "relay_lagging" in codes(of_slow)
    assert of_slow["relay"]["lag_growth_s"] == pytest.approx(6, abs=1.5)
