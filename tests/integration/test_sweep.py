"""A sweep for real: killed in the middle of a run, resumed, reported."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fpaas.commands import report
from fpaas.control import guard
from fpaas.records import sweep as sweep_record
from fpaas.sweep import record
from tests.support.playbook_lab import CLEAN_UP_S, Lab, read_until

pytestmark = pytest.mark.integration

GRID = {"bench_consumers": [2, 8], "bench_batch_size": [20]}
SWEEP_S = 600


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    del made.variables["bench_consumers"]
    made.variables |= {
        "bench_poll_interval_s": 1,
        "bench_measure_s": 8,
        "bench_drain_s": 1,
        "sweep_id": "tried",
        "sweep_retries": 0,
    }
    yield made
    made.end()


def is_on(lab: Lab, point: int) -> bool:
    """Whether the first run of a point has its T0."""
    runs = record.load(lab.results / "sweeps/tried").points[point].runs
    return bool(runs) and guard.current_run(lab.lab_dir) == runs[0].run_id


def trust(bundle: Path) -> None:
    """Let a run pass: a machine that is busy makes runs invalid, which is not what is tried."""
    summary = json.loads((bundle / "summary.json").read_text())
    summary["verdict"] = {"status": "pass", "reasons": [], "reason_codes": []}
    (bundle / "summary.json").write_text(json.dumps(summary))


def test_a_sweep_that_was_killed_goes_on_with_what_is_missing(lab: Lab) -> None:
    directory = lab.results / "sweeps/tried"
    process = lab.start("sweep.yml", sweep_grid=GRID)
    try:
        read_until(process, "point 2 of 2: bench_consumers=8 bench_batch_size=20, about")
        # As soon as it is under way: it takes but some seconds.
        while not is_on(lab, 1):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
    process.communicate(timeout=CLEAN_UP_S)
    lab.wait_until_nothing_runs()
    killed = record.load(directory)
    [first], [second] = (point.runs for point in killed.points)
    assert first.status in (sweep_record.PASS, sweep_record.INVALID)
    assert second.status is None
    left = json.loads((lab.results / second.run_id / "summary.json").read_text())
    assert left["verdict"]["status"] == "invalid"
    trust(lab.results / first.run_id)

    again = lab.start("sweep.yml", sweep_grid=GRID)
    output, _ = again.communicate(timeout=SWEEP_S)
    sys.stdout.write(output)
    assert lab.running() == []
    assert "1 of 2 points are done already" in output
    assert "point 1 of 2" not in output
    played = record.load(directory)
    assert [run.status for run in played.points[0].runs] == [sweep_record.PASS]
    assert [run.run_id for run in played.points[0].runs] == [first.run_id]
    interrupted, last = played.points[1].runs
    assert interrupted.run_id == second.run_id
    assert interrupted.status == sweep_record.INTERRUPTED
    assert last.status in (sweep_record.PASS, sweep_record.INVALID), last
    assert (again.returncode == 0) == (last.status == sweep_record.PASS)
    for point, run in zip(played.points, (first, last), strict=True):
        spec = json.loads((lab.results / run.run_id / "run.json").read_text())
        assert point.variables.items() <= spec["variables"].items()
        assert f"{run.run_id}/report.html" in (directory / "report.html").read_text()

    trust(lab.results / last.run_id)
    reported = CliRunner().invoke(report.command, [str(directory)])
    assert reported.exit_code == 0, reported.output
    assert "2 of 2 points" in reported.output
    with (directory / "figures.csv").open() as file:
        rows = {row["run_id"]: row for row in csv.DictReader(file)}
    assert list(rows) == [first.run_id, interrupted.run_id, last.run_id]
    assert float(rows[last.run_id]["published_per_s"]) > 0
    assert rows[interrupted.run_id]["published_per_s"] == ""


@pytest.mark.matrix
def test_runs_on_a_lab_that_is_kept_up_inherit_nothing(lab: Lab) -> None:
    """Heaviest first: what it left would show in the others."""
    directory = lab.results / "sweeps/tried"
    grid = {"bench_consumers": [300, 2], "bench_firehose_rate_per_s": [200, 20]}
    lab.variables |= {"bench_measure_s": 5}
    del lab.variables["bench_firehose_rate_per_s"]
    process = lab.start("sweep.yml", sweep_grid=grid)
    output, _ = process.communicate(timeout=SWEEP_S)
    sys.stdout.write(output)
    assert lab.running() == []
    runs = [run for point in record.load(directory).points for run in point.runs]
    logs = [(directory / "logs" / f"{run.run_id}.log").read_text() for run in runs]
    # One playbook for all of them.
    assert ["PLAY [" in log for log in logs] == [True, False, False, False]
    for point, run in zip(record.load(directory).points, runs, strict=True):
        bundle = lab.results / run.run_id
        summary = json.loads((bundle / "summary.json").read_text())
        consumers, rate = point.variables.values()
        assert summary["ledger"]["unexplained"] == 0
        assert summary["ledger"]["offered"] == rate * 6
        assert summary["jetstream"]["consumers"] == consumers
        assert summary["ledger"]["owed"] == summary["ledger"]["stored"] * consumers
        assert summary["verdict"]["status"] in (sweep_record.PASS, sweep_record.INVALID), run
        assert {path.name for path in (bundle / "hosts/localhost").glob("*.log")} >= {
            *("nats.log", "relay.log", "shuffler.log", "consumers.log", "probe.log")
        }
        assert json.loads((bundle / "control.json").read_text())["problems"] == []
    assert lab.listening() == []


def test_a_lab_that_cannot_run_ends_the_sweep_at_its_first_point(lab: Lab) -> None:
    played = lab.play("sweep.yml", sweep_grid=GRID, nats_server_binary="/none/nats-server")
    assert played.exit_code != 0
    assert "/none/nats-server: there is no such program" in played.flat
    assert "the same command continues" in played.flat
    assert "point 2" not in played.output
    assert lab.bundles() == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"sweep_grid": {"bench_consumer": [1]}}, "did you mean bench_consumers?"),
        (
            {
                "sweep_grid": {
                    "bench_stream_max_age_s": [1, 9],
                    "bench_stream_duplicate_window_s": [5],
                }
            },
            "bench_stream_duplicate_window_s: 5 is not allowed; it must not exceed",
        ),
        (
            {"sweep_grid": GRID, "bench_consumers": 7},
            "bench_consumers is swept, and given with -e as well",
        ),
        (
            {"sweep_grid": GRID, "bench_delivery": "broadcast"},
            "bench_delivery: 'broadcast' is not allowed",
        ),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_starts(
    lab: Lab, variables: dict[str, object], message: str
) -> None:
    played = lab.play("sweep.yml", **variables)
    assert played.exit_code != 0
    assert message in played.flat
    assert not (lab.results / "sweeps").exists()


@pytest.mark.matrix
def test_repeats_are_played_on_the_lab_of_the_first_run(lab: Lab) -> None:
    process = lab.start("scenario-1.yml", bench_repeat=3, bench_consumers=4)
    output, _ = process.communicate(timeout=SWEEP_S)
    sys.stdout.write(output)
    assert lab.running() == []
    assert output.count("on the lab that is kept up") == 2
    bundles = lab.bundles()
    assert len(bundles) == 3
    for bundle in bundles:
        summary = json.loads((bundle / "summary.json").read_text())
        assert summary["ledger"]["unexplained"] == 0
        assert summary["jetstream"]["consumers"] == 4
        assert f"({bundle.name})" in output
    statuses = {
        json.loads((bundle / "summary.json").read_text())["verdict"]["status"] for bundle in bundles
    }
    assert (process.returncode == 0) == (statuses == {sweep_record.PASS})
