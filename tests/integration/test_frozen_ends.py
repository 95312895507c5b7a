"""Parts stand still, or go, where no figure of the window shows it: the verdict says so.

Runs side by side, each with its server: what stands still over a run's end goes on after it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpaas.records import files
from fpaas.records.status import AgentStatus
from tests.support import verdict_codes
from tests.support.processes_lab import LOAD_HOST
from tests.support.side_by_side import OwnLab, play_all

pytestmark = [pytest.mark.integration, pytest.mark.matrix]

WARMUP_S, MEASURE_S, DRAIN_S = 1, 5, 4
WINDOW_END_S = WARMUP_S + MEASURE_S
END_S = WINDOW_END_S + DRAIN_S
SETTLES_S = 2
LOAD: dict[str, Any] = {
    "bench_consumers": 10,
    "bench_workers": 1,
    "bench_poll_interval_s": 1,
    "bench_batch_size": 500,
    "bench_firehose_rate_per_s": 100,
    "bench_warmup_s": WARMUP_S,
    "bench_measure_s": MEASURE_S,
    "bench_drain_s": DRAIN_S,
}
OWED = 100 * WINDOW_END_S * 10


class Disturbed(OwnLab):
    """A run, and what happens in it."""

    def __init__(self, directory: Path, disturb: Callable[[Disturbed], None]) -> None:
        super().__init__(directory, **LOAD)
        self._disturb = disturb

    def play(self) -> dict[str, Any]:
        """Disturb it, and report it."""
        self._disturb(self)
        return self.finish()

    def freeze(self, pid: int, begin_s: float, length_s: float) -> None:
        """Stop a process for a while."""
        self.sleep_until(begin_s)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(length_s)
        finally:
            os.kill(pid, signal.SIGCONT)


def freezing_nats_in_the_drain(lab: Disturbed) -> None:
    lab.freeze(lab.server.pid, WINDOW_END_S + 0.8, 2)


def freezing_nats_over_the_end(lab: Disturbed) -> None:
    lab.freeze(lab.server.pid, WINDOW_END_S - 0.5, DRAIN_S + SETTLES_S + 1)


def freezing_the_worker_over_the_end(lab: Disturbed) -> None:
    lab.freeze(lab.pids("consumers")[-1], END_S - 1, SETTLES_S + 3)


def freezing_the_probe(lab: Disturbed) -> None:
    status = files.read(lab.bundle / "hosts" / LOAD_HOST / "probe.status.json", AgentStatus)
    lab.freeze(status.pid, WINDOW_END_S - 1, 2)


def restarting_nats_in_the_drain(lab: Disturbed) -> None:
    lab.sleep_until(WINDOW_END_S + 1)
    lab.server.kill()
    lab.server.start()


def notes_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    codes = summary["verdict"]["reason_codes"]
    return [one["parameters"] for one in codes if one["code"] == "stood_still"]


def test_what_the_window_does_not_show_is_in_the_verdict(tmp_path: Path) -> None:
    disturbances = (
        *(freezing_nats_in_the_drain, freezing_nats_over_the_end),
        *(freezing_the_worker_over_the_end, freezing_the_probe, restarting_nats_in_the_drain),
    )
    labs = [Disturbed(tmp_path / one.__name__, one) for one in disturbances]
    in_drain, over_end, worker, probe, restarted = play_all(labs, Disturbed.play)

    for summary, part, begin_s, end_s, last_phase in (
        (in_drain, "nats", WINDOW_END_S + 0.8, WINDOW_END_S + 2.8, "drain"),
        (over_end, "nats", WINDOW_END_S - 0.5, END_S + 2.5, "after"),
        (worker, "consumers", END_S - 1, END_S + 4, "after"),
        (probe, "probe", WINDOW_END_S - 1, WINDOW_END_S + 1, "drain"),
    ):
        assert summary["ledger"]["unexplained"] == 0, summary["verdict"]["reasons"]
        assert summary["ledger"]["owed"] == OWED
        (note,) = [one for one in notes_of(summary) if one["part"] == part]
        assert (note["begin_s"], note["end_s"]) == pytest.approx((begin_s, end_s), abs=0.6)
        assert note["phases"][-1] == last_phase
    assert notes_of(worker)[0]["workers"] == [0]

    # The shuffler had ended, so nobody brought back what the server took with it.
    assert verdict_codes.of_summary(restarted, "invalid")[:2] == [
        "nats_restarted",
        "stream_began_anew",
    ]
    ledger = restarted["ledger"]
    assert (ledger["owed"], ledger["unexplained"]) == (OWED, 0)
    assert ledger["lost"] == ledger["lost_by_cause"]["stream_lost"] > 0
    assert ledger["delivered"] + ledger["lost"] == OWED
