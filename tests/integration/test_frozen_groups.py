"""Groups of runs in each of which NATS froze across the window's end: none hides the freeze."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpaas.commands import compare
from fpaas.control import lab_processes
from fpaas.errors import EXIT_VERDICT_FAILED
from fpaas.records import sweep as sweep_record
from fpaas.spec import NS_PER_S
from fpaas.sweep import record
from tests.support.playbook_lab import Lab
from tests.support.side_by_side import OwnLab, play_all

pytestmark = pytest.mark.integration

FREEZE_S = 2.0
WARMUP_S, MEASURE_S, DRAIN_S = 1, 5, 4
RATE_PER_S = 100
PUBLISH_ACK = "latency_ms.publish_ack.p99"
#: Half of the freeze lies in the window, so that half of its publishes waited longer than this.
WAITED_MS = 1000 * FREEZE_S * 0.7
GOALS = {"publish_ack_p99_ms_max": 100}
SWEEP_S = 600


def freeze(pid: int, until_unix_s: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(max(0.0, until_unix_s - time.time()))
    finally:
        os.kill(pid, signal.SIGCONT)


class Freezer(threading.Thread):
    """Freezes the NATS server of a playbook's lab across the end of each run's window."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self._lab = lab
        self._ended = threading.Event()
        self.frozen: list[str] = []

    def run(self) -> None:
        """Freeze each run that is armed."""
        while not self._ended.wait(0.1):
            for path in self._lab.lab_dir.glob("runs/*/run.json"):
                armed_ns = json.loads(path.read_text()).get("t0_unix_ns") or 0
                window_end_s = armed_ns / NS_PER_S + WARMUP_S + MEASURE_S
                if path.parent.name not in self.frozen and window_end_s > time.time():
                    self.frozen.append(path.parent.name)
                    self._freeze_at(window_end_s - FREEZE_S / 2)

    def _freeze_at(self, unix_s: float) -> None:
        if self._ended.wait(max(0.0, unix_s - time.time())):
            return
        [pid] = [
            found.process.pid
            for found in lab_processes.lab_processes(self._lab.lab_dir)
            if found.process.name().startswith("nats-server")
        ]
        freeze(pid, unix_s + FREEZE_S)

    def end(self) -> None:
        """Freeze nothing more."""
        self._ended.set()
        self.join()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    del made.variables["bench_consumers"]
    made.variables |= {
        "bench_poll_interval_s": 1,
        "bench_firehose_rate_per_s": RATE_PER_S,
        "bench_warmup_s": WARMUP_S,
        "bench_measure_s": MEASURE_S,
        "bench_drain_s": DRAIN_S,
        "sweep_id": "frozen",
        "sweep_retries": 0,
    }
    yield made
    made.end()


@pytest.mark.matrix
def test_a_sweep_shows_the_freeze_in_every_run(lab: Lab) -> None:
    freezer = Freezer(lab)
    freezer.start()
    try:
        process = lab.start("sweep.yml", sweep_grid={"bench_consumers": [2, 4]}, goals=GOALS)
        output, _ = process.communicate(timeout=SWEEP_S)
    finally:
        freezer.end()
    directory = lab.results / "sweeps/frozen"
    played = record.load(directory)
    run_ids = [run.run_id for point in played.points for run in point.runs]
    assert len(run_ids) == 2, output
    assert sorted(freezer.frozen) == sorted(run_ids)
    for run_id in run_ids:
        summary = json.loads((lab.results / run_id / "summary.json").read_text())
        assert_the_freeze_is_told(summary)
        assert summary["verdict"]["status"] != sweep_record.PASS
    assert {run.status for point in played.points for run in point.runs} <= {
        sweep_record.FAIL,
        sweep_record.INVALID,
    }
    with (directory / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run_id"] for row in rows] == run_ids
    told = [row["publish_ack_p99_ms"] for row in rows if row["status"] != sweep_record.INVALID]
    assert all(float(figure) > WAITED_MS for figure in told)
    for point in played.points:
        if point.trusted:
            assert point.figures is not None
            p99_ms = point.figures["publish_ack_p99_ms"]
            assert p99_ms is not None
            assert p99_ms.min > WAITED_MS


def assert_the_freeze_is_told(summary: dict[str, Any]) -> None:
    leg = summary["latency_ms"]["publish_ack"]
    assert leg["p99"] > WAITED_MS
    assert leg["count"] + leg["open_count"] == leg["due_count"] == RATE_PER_S * MEASURE_S
    silent = [event for event in summary["events"] if event["kind"] == "nats_silent"]
    begun_s = WARMUP_S + MEASURE_S - FREEZE_S / 2
    assert any(abs(event["begin_s"] - begun_s) < 0.6 for event in silent)
    assert summary["ledger"]["unexplained"] == 0


class Repeat(OwnLab):
    """One run of a group, frozen across its window's end (or its own end), or not."""

    def __init__(self, directory: Path, begin_s: float | None) -> None:
        self.begin_s = begin_s
        super().__init__(
            directory,
            bench_consumers=2,
            bench_poll_interval_s=1,
            bench_firehose_rate_per_s=RATE_PER_S,
            bench_warmup_s=WARMUP_S,
            bench_measure_s=MEASURE_S,
            bench_drain_s=DRAIN_S,
            bench_workers=1,
        )

    def play(self) -> Path:
        """Play it, with its freeze, and report it."""
        if self.begin_s is not None:
            self.sleep_until(self.begin_s)
            freeze(self.server.pid, time.time() + FREEZE_S)
        self.wait()
        self.report()
        return self.bundle


@pytest.mark.matrix
def test_compare_tells_frozen_repeats_from_others(tmp_path: Path) -> None:
    across_end_s = WARMUP_S + MEASURE_S - FREEZE_S / 2
    groups = {"calm": None, "frozen": across_end_s}
    bundles: dict[str, list[Path]] = {}
    for name, begin_s in groups.items():
        labs = [Repeat(tmp_path / f"{name}-{number}", begin_s) for number in range(4)]
        bundles[name] = play_all(labs, Repeat.play)
    for bundle in bundles["frozen"]:
        assert_the_freeze_is_told(json.loads((bundle / "summary.json").read_text()))
    calm, frozen = (list(map(str, bundles[name])) for name in groups)
    # A busy machine makes runs invalid; their figures are what is compared here.
    options = ["--allow-invalid", "--format", "json"]
    compared = CliRunner().invoke(compare.command, [*calm, "vs", *frozen, *options])
    assert compared.exit_code == EXIT_VERDICT_FAILED, compared.output
    rows = {row["figure"]: row for row in json.loads(compared.stdout)["figures"]}
    row = rows[PUBLISH_ACK]
    assert row["worse"]
    assert row["why_not"] is None
    assert row["after"]["median"] > WAITED_MS > row["before"]["median"]

    alone = CliRunner().invoke(compare.command, [*frozen, *options])
    assert alone.exit_code == 0, alone.output
