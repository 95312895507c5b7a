"""A frontier's report: its chart and its sentences, from a record."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fpaas.commands import report
from fpaas.control import frontier_player
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import PlayedRun, Sweep, SweepPoint
from fpaas.report import frontier_chart
from fpaas.sweep import record
from tests.support import sweep_runs

#: Up to how many consumers hold at each poll interval.
HOLDS = {5.0: 200, 1.0: 100}


def write(results: Path, *, is_over: bool) -> Path:
    grid: dict[str, list[Any]] = {
        "bench_consumers": [100, 200],
        "bench_poll_interval_s": [1.0, 5.0],
    }
    points = [
        SweepPoint(number, {"bench_consumers": consumers, "bench_poll_interval_s": poll})
        for number, (consumers, poll) in enumerate(itertools.product(*grid.values()), 1)
    ]
    directory = results / "sweeps/frontier-1"
    directory.mkdir(parents=True)
    for second, point in enumerate(points):
        consumers, poll = point.variables.values()
        holds = consumers <= HOLDS[poll]
        if (consumers, poll) == (100, 5.0) or (not is_over and not holds):
            continue
        for attempt in range(1 if holds else 2):
            run_id = f"20260921T12{second:02}0{attempt}Z-frontier-1"
            status = sweep_record.PASS if holds else sweep_record.FAIL
            (results / run_id).mkdir()
            content = sweep_runs.summary(consumers, 5.0, status)
            (results / run_id / "summary.json").write_text(json.dumps(content))
            point.runs.append(PlayedRun(run_id, attempt, status, took_s=60.0))
    sweep = Sweep(
        sweep_id="frontier-1",
        name="frontier",
        title="Frontier",
        grid=grid,
        repeats=1,
        variables={"bench_measure_s": 15.0},
        hosts={"nats": ["localhost"]},
        points=points,
    )
    frontier_player.prepare(sweep)
    record.write(sweep, directory)
    return directory


def test_the_report_draws_what_holds(tmp_path: Path) -> None:
    directory = write(tmp_path, is_over=True)
    said = CliRunner().invoke(report.command, [str(directory)])
    assert said.exit_code == 0, said.output
    rows = [
        "a poll every 5 s: holds at 200 consumers, the most that was asked for",
        "a poll every 1 s: holds at 100 consumers, fails at 200 consumers",
    ]
    page = (directory / "report.html").read_text()
    for row in rows:
        assert row in said.output
        assert row in page
    assert "inside: holds" in page
    assert "lack runs" not in page
    assert "3 of 3 points measured" in page

    figure = frontier_chart.chart(record.load(directory)).figure
    assert figure is not None
    base, room, inside, outside = figure["data"]
    assert (base["y"], room["y"], room["fill"]) == ([100, 100], [100, 200], "tonexty")
    assert (inside["x"], inside["y"]) == ([1, 5], [100, 200])
    assert outside["y"] == [200, None]


def test_a_frontier_that_is_not_found_yet_is_said_to_be_so(tmp_path: Path) -> None:
    directory = write(tmp_path, is_over=False)
    said = CliRunner().invoke(report.command, [str(directory)])
    assert said.exit_code == 3
    assert "No frontier yet." in said.output
