"""Whole runs on relays that are not ours: nothing that they do is called a pass."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from fpaas.spec import NS_PER_S
from tests.support.bad_relay import BadRelay, commit, frame
from tests.support.playbook_lab import SHORT
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

RUN: dict[str, Any] = {"bench_warmup_s": 1, "bench_measure_s": 12, "bench_drain_s": 1}


def codes(summary: dict[str, Any]) -> list[str]:
    return [one["code"] for one in summary["verdict"]["reason_codes"]]


class Reading(OwnLab):
    """A run that reads a foreign relay."""

    def __init__(self, directory: Path, relay: BadRelay, **variables: object) -> None:
        super().__init__(
            directory, **SHORT | RUN, bench_firehose_source=relay.url, bench_workers=1, **variables
        )


def seconds_of_run(labs: list[Reading]) -> float:
    """Return how long ago the T0 of a lab was, which is there once it was made and is armed."""
    if not labs or not labs[-1].spec.is_armed:
        return -1.0
    return time.time() - labs[-1].spec.t0_unix_ns / NS_PER_S


def test_good_silent_slow_and_dying_relays_are_told_apart(tmp_path: Path) -> None:
    dies: list[Reading] = []
    with (
        BadRelay(50) as good,
        BadRelay(50, manner=lambda _: "silent") as silent,
        # Each event is as much older as it comes later: it plays half a second each second.
        BadRelay(50, age_s=lambda event: event / 50 / 2) as slow,
        BadRelay(50, manner=lambda _: "dead" if seconds_of_run(dies) > 5 else "serve") as dying,
        BadRelay(50, answer=lambda _: (503, {})) as away,
    ):
        dies.append(Reading(tmp_path / "dying", dying))
        labs = [
            Reading(tmp_path / "good", good),
            Reading(tmp_path / "silent", silent, bench_relay_stuck_s=2),
            Reading(tmp_path / "slow", slow),
            *dies,
            Reading(tmp_path / "away", away),
        ]
        of_good, of_silent, of_slow, of_dying, of_away = play_all(labs, Reading.finish)
        assert len(silent.subscriptions) > 2

    assert of_good["relay"]["foreign"] is True
    assert of_good["relay"]["gaps"] == []
    # The relays are in this test's own process, which a busy machine keeps waiting, too.
    if good.late_s < 0.2:
        assert of_good["relay"]["silent_s"]["total"] == 0
        assert abs(of_good["relay"]["lag_growth_s"]) < 0.5
        assert not {"relay_silent", "relay_lagging"} & set(codes(of_good))
    assert of_good["ledger"]["unexplained"] == 0

    # It only answers pings.
    assert of_silent["verdict"]["status"] == "invalid"
    assert "relay_silent" in codes(of_silent)
    assert of_silent["relay"]["silent_s"]["longest"] == pytest.approx(12, abs=0.1)

    assert "relay_lagging" in codes(of_slow)
    # Of the 6 s, a sample at each end is there for errors.
    assert of_slow["relay"]["lag_growth_s"] == pytest.approx(5, abs=1.5 + slow.late_s)

    assert of_dying["verdict"]["status"] == "invalid"
    assert "relay_silent" in codes(of_dying)
    silences = of_dying["relay"]["silent_s"]
    assert 2 < silences["longest"] <= silences["total"] < 12
    assert of_dying["ledger"]["unexplained"] == 0
    assert of_dying["ledger"]["not_read"] is None
    assert of_dying["ledger"]["published"] > 100
    assert [event for event in of_dying["events"] if event["kind"] == "relay_silent"]

    # It was never read, which is silence from the beginning on.
    assert of_away["verdict"]["status"] == "invalid"
    assert {"agent_failed", "relay_silent"} <= set(codes(of_away))
    assert of_away["relay"]["silent_s"]["longest"] == pytest.approx(12, abs=0.1)
    assert of_away["ledger"]["unexplained"] == 0


def future_type(event: int) -> bytes:
    """Return a frame of a type that there is not yet in place of every tenth event."""
    return b"" if event % 10 else frame({"t": "#future", "op": 1}, {"seq": 1000 + event})


def without_zone(event: int) -> bytes:
    """Return an event whose time could be of any zone."""
    return re.sub(rb"(\.\d{3})Z", rb"\g<1>0", commit(1000 + event, event, time.time()))


def test_lies_about_numbers_and_times_are_noted(tmp_path: Path) -> None:
    labs: list[Reading] = []

    def lose_later(event: int) -> int:
        """Leave out numbers from 4 s after T0 on, when it is known to leave out none."""
        if not labs or not labs[1].spec.is_armed:
            return 1000 + event
        at_s = labs[1].spec.t0_unix_ns / NS_PER_S + 4 - lossy.began_s
        return 1000 + event + max(0, event - round(50 * at_s)) // 19

    with (
        # Every 20th number is left out, from the first event on.
        BadRelay(50, seq=lambda event: 1000 + event + event // 19) as sparse,
        BadRelay(50, seq=lose_later) as lossy,
        BadRelay(50, age_s=lambda _event: -3600, frames=future_type) as ahead,
        BadRelay(50, frames=without_zone) as zoneless,
    ):
        labs += [
            Reading(tmp_path / "sparse", sparse),
            Reading(tmp_path / "lossy", lossy),
            Reading(tmp_path / "ahead", ahead),
            Reading(tmp_path / "zoneless", zoneless),
        ]
        of_sparse, of_lossy, of_ahead, of_zoneless = play_all(labs, Reading.finish)

    assert "relay_sparse" in codes(of_sparse)
    assert "relay_gaps" not in codes(of_sparse)
    assert of_sparse["ledger"]["not_read"] is None
    assert of_sparse["relay"]["jumped_seqs"] == pytest.approx(650 / 19, abs=4)

    assert of_lossy["verdict"]["status"] == "invalid"
    assert "relay_incomplete" in codes(of_lossy)
    assert of_lossy["ledger"]["not_read"] == of_lossy["relay"]["missing"] > 10

    assert "relay_clock_off" in codes(of_ahead)
    assert of_ahead["relay"]["lag_s"] == pytest.approx(-3600, abs=60)
    # What is no event is not missing, and not passed over in silence.
    assert "relay_ignored" in codes(of_ahead)
    assert of_ahead["relay"]["ignored"] == pytest.approx(of_ahead["relay"]["read"] / 9, abs=2)
    assert of_ahead["relay"]["gaps"] == []

    # Whether it fell behind is not known.
    assert of_zoneless["verdict"]["status"] == "invalid"
    assert "relay_times_unreadable" in codes(of_zoneless)
    assert (of_zoneless["relay"]["timed_pct"], of_ahead["relay"]["timed_pct"]) == (0, 100)
    for summary in (of_sparse, of_lossy, of_ahead, of_zoneless):
        assert summary["ledger"]["unexplained"] == 0


def test_a_relay_that_is_gone_in_the_last_second_is_no_quiet_end(tmp_path: Path) -> None:
    """That is too short for a silence; what it had by the window's end is not known."""
    labs: list[Reading] = []

    def manner(_: float) -> str:
        window_ends_s = labs[0].spec.offer_until_unix_ns / NS_PER_S if labs else 0
        has_begun = window_ends_s > time.time() - 60
        return "dead" if has_begun and time.time() > window_ends_s - 0.6 else "serve"

    with BadRelay(50, manner=manner) as relay:
        labs.append(Reading(tmp_path / "gone", relay))
        (summary,) = play_all(labs, Reading.finish)
    assert summary["ledger"]["unexplained"] == 0
    assert summary["ledger"]["not_read"] is None
    assert "relay_gaps" in codes(summary)
    assert [gap["cause"] for gap in summary["relay"]["gaps"]] == ["away_at_end"]
