"""A sweep for real: killed in the middle of a run, gone on with, reported."""

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
from fpaas.sweep import record
from tests.integration.test_playbook import Lab, read_until

pytestmark = pytest.mark.integration

GRID = {"bench_consumers": [2, 8], "bench_batch_size": [20]}
SWEEP_S = 600


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    del made.variables["bench_consumers"]
    made.variables |= {
        "bench_poll_interval_s": 1,
        "bench_measure_s": 3,
        "bench_drain_s": 1,
        "sweep_id": "tried",
        # A machine that is busy makes runs invalid; that is not what is tried here.
        "sweep_retries": 3,
    }
    yield made
    guard.sweep(made.lab_dir)
    guard.Lab(made.lab_dir).release()


def log_of_second(directory: Path) -> str:
    runs = record.load(directory).points[1].runs
    log = directory / "logs" / f"{runs[0].run_id}.log" if runs else Path("/dev/null")
    return log.read_text() if log.exists() else ""


def test_a_sweep_that_was_killed_goes_on_with_what_is_missing(lab: Lab) -> None:
    directory = lab.results / "sweeps/tried"
    process = lab.start("sweep.yml", sweep_grid=GRID)
    read_until(process, "point 2 of 2: bench_consumers=8 bench_batch_size=20, about")
    first = record.load(directory).points[0]
    assert first.status == "done"
    while "| measuring |" not in log_of_second(directory):
        assert process.poll() is None
        time.sleep(0.5)
    process.kill()
    process.communicate(timeout=30)
    lab.wait_until_nothing_runs()
    killed = record.load(directory)
    assert [point.status for point in killed.points] == ["done", "missing"]
    assert len(killed.points[1].runs) == 1

    again = lab.start("sweep.yml", sweep_grid=GRID)
    output, _ = again.communicate(timeout=SWEEP_S)
    sys.stdout.write(output)
    assert lab.running() == []
    assert "1 of 2 points are done already" in output
    assert "point 1 of 2" not in output
    played = record.load(directory)
    assert played.points[0].runs == first.runs
    assert played.points[1].runs[0].status == record.INTERRUPTED
    assert (again.returncode == 0) == all(point.status == "done" for point in played.points)
    for point in played.points:
        for run in point.trusted:
            spec = json.loads((lab.results / run.run_id / "run.json").read_text())
            assert point.variables.items() <= spec["variables"].items()
            assert run.run_id in (directory / "report.html").read_text()

    page = (directory / "report.html").read_text()
    (directory / "report.html").unlink()
    reported = CliRunner().invoke(report.command, [str(directory)])
    assert reported.exit_code == (0 if again.returncode == 0 else 3)
    assert (directory / "report.html").read_text() == page
    with (directory / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(point.runs) for point in played.points)
    trusted = [row for row in rows if row["status"] in record.FINISHED]
    assert all(float(row["published_per_s"]) == pytest.approx(100, rel=0.2) for row in trusted)


def test_a_lab_that_cannot_run_ends_the_sweep_at_its_first_point(lab: Lab) -> None:
    played = lab.play("sweep.yml", sweep_grid=GRID, nats_server_binary="/none/nats-server")
    assert played.exit_code != 0
    assert "/none/nats-server: there is no such program" in played.flat
    assert "the same command goes on" in played.flat
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
