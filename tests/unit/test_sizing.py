"""Sizes are predicted from runs, with intervals, and say where measuring ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from fpaas.commands import report
from fpaas.commands import size as size_command
from fpaas.records.sweep import PointFigure, Question
from fpaas.report import sweep_page
from fpaas.search import sizing
from fpaas.search.capacity import Answer, StoppedBy
from fpaas.search.sizing import Measured
from fpaas.sweep import record
from fpaas.text import capacity_text, size_text
from tests.support import sweep_runs


def measured(consumers: int, noise: float = 0.0) -> Measured:
    return Measured(
        consumers=consumers,
        poll_interval_s=10,
        nats_cpu_pct=5 + consumers * 0.01 + noise,
        nats_rss_mb=100 + consumers * 0.05,
        delivered_mbit_per_s=consumers * 0.04,
        agents_cpu_pct=2 + consumers * 0.02,
        agents_rss_mb=40 + consumers * 0.01,
        cores_per_host=2,
    )


RUNS = [measured(1000), measured(2000), measured(4000)]


def test_a_line_is_followed() -> None:
    size = sizing.size(RUNS, 10_000, 10)
    assert size.nats_cores is not None
    assert size.nats_cores.value == pytest.approx(1.05)
    assert size.nats_rss_mb is not None
    assert size.nats_rss_mb.value == pytest.approx(600)
    assert size.delivered_mbit_per_s is not None
    assert size.delivered_mbit_per_s.value == pytest.approx(400)
    assert size.beyond == pytest.approx(2.5)
    assert "extrapolated, 2.5 times" in size_text.row(size)[-1]


def test_processors_follow_polls_and_memory_follows_consumers() -> None:
    slow = sizing.size(RUNS, 4000, 40)
    assert slow.nats_cores is not None
    assert slow.nats_cores.value == pytest.approx(0.15)
    assert slow.nats_rss_mb is not None
    assert slow.nats_rss_mb.value == pytest.approx(300)
    assert size_text.row(slow)[-1] == "within what was measured"


def test_what_is_delivered_follows_polls_only_as_far_as_they_ask_for_less_than_is_owed() -> None:
    def mbit_per_s(batch_size: int | None, poll_interval_s: float) -> float:
        asked = 10.0 if batch_size is None else min(10.0, batch_size / 10)
        runs = [
            replace(
                one,
                batch_size=batch_size,
                offered_per_s=10,
                delivered_mbit_per_s=one.consumers * asked * 0.04,
            )
            for one in RUNS
        ]
        size = sizing.size(runs, 10_000, poll_interval_s)
        assert size.delivered_mbit_per_s is not None
        assert size.nats_cores is not None
        # Polls are rarer, and yet the messages have to be sent.
        assert size.nats_cores.value >= 1 or batch_size == 50
        return size.delivered_mbit_per_s.value

    # Until empty: three times as rare polls bring the same.
    assert mbit_per_s(None, 10) == mbit_per_s(None, 30) == pytest.approx(4000)
    # Batches of 50 every 10 s are half of what is owed; of that every 30 s, a third.
    assert mbit_per_s(50, 10) == pytest.approx(2000)
    assert mbit_per_s(50, 30) == pytest.approx(2000 / 3)
    # Every 2.5 s they would be twice what is owed.
    assert mbit_per_s(50, 2.5) == pytest.approx(4000)


def test_large_figures_are_written_out() -> None:
    row = size_text.row(sizing.size(RUNS, 100_000_000, 10))
    assert row[0] == "100,000,000"
    assert row[2].startswith("5,000,000 [")
    assert row[-1] == "extrapolated, 25,000 times the largest load measured"


def test_hosts_are_whole_and_leave_room_for_peaks() -> None:
    size = sizing.size(RUNS, 10_000, 10)  # 2.02 cores
    assert size.agents_hosts == 2


def test_an_interval_grows_away_from_what_was_measured() -> None:
    noisy = [measured(1000, 1), measured(2000, -1), measured(4000, 1), measured(3000, -1)]
    near, far = (sizing.size(noisy, count, 10).nats_cores for count in (2500, 25_000))
    assert near is not None
    assert far is not None
    assert near.low is not None
    assert near.high is not None
    assert far.low is not None
    assert far.high is not None
    assert far.high - far.low > 5 * (near.high - near.low)


def test_two_runs_have_no_interval_and_one_no_size() -> None:
    two = sizing.size(RUNS[:2], 3000, 10)
    assert two.nats_cores is not None
    assert two.nats_cores.low is None
    assert sizing.size(RUNS[:1], 3000, 10).nats_cores is None


def write_sweep(results: Path, **variables: object) -> Path:
    directory = sweep_runs.write(results, {10: 5.0, 50: 7.0, 100: 9.0})
    for bundle in results.glob("2*"):
        consumers = 10 if bundle.name[12] == "1" else 50 if bundle.name[12] == "2" else 100
        content = {
            "bench_consumers": consumers,
            "bench_poll_interval_s": 60,
            "bench_batch_size": 100,
            **variables,
        }
        (bundle / "run.json").write_text(json.dumps({"variables": content}))
    return directory


def test_fpaas_size_reads_a_sweep(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    arguments = ["--consumers", "200", "--consumers", "50", "--poll", "60", "--from"]
    told = CliRunner().invoke(size_command.command, [*arguments, str(directory)])
    assert told.exit_code == 0, told.output
    assert "extrapolated, 2 times the largest load measured" in told.output
    assert "within what was measured" in told.output
    as_json = CliRunner().invoke(
        size_command.command, [*arguments, str(directory), "--format", "json"]
    )
    first, second = json.loads(as_json.output)
    assert first["consumers"] == 200
    assert second["nats_cores"]["value"] == pytest.approx(0.07, abs=0.01)


def test_fpaas_size_refuses_runs_of_different_kinds(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    bundle = next(tmp_path.glob("2*"))
    content = json.loads((bundle / "run.json").read_text())
    content["variables"]["bench_batch_size"] = 7
    (bundle / "run.json").write_text(json.dumps(content))
    arguments = ["--consumers", "200", "--poll", "60", "--from", str(directory)]
    told = CliRunner().invoke(size_command.command, arguments)
    assert told.exit_code == 2
    assert "bench_batch_size" in told.output


def test_fpaas_size_needs_two_numbers_of_consumers(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    bundle = next(tmp_path.glob("2*"))
    arguments = ["--consumers", "200", "--poll", "60", "--from", str(bundle)]
    told = CliRunner().invoke(size_command.command, arguments)
    assert told.exit_code == 2
    assert "two numbers of consumers" in told.output


def test_fpaas_size_counts_a_run_once(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    arguments = ["--consumers", "200", "--poll", "60", "--from", str(directory)]
    twice = [one for bundle in tmp_path.glob("2*") for one in ("--from", str(bundle))]
    once = CliRunner().invoke(size_command.command, arguments)
    told = CliRunner().invoke(size_command.command, [*arguments, *twice])
    assert told.exit_code == 0, told.output
    assert told.output == once.output


@pytest.mark.parametrize("poll", ["nan", "inf", "0", "-1", "often"])
def test_fpaas_size_refuses_what_is_no_interval(tmp_path: Path, poll: str) -> None:
    arguments = ["--consumers", "200", "--poll", poll, "--from", str(write_sweep(tmp_path))]
    told = CliRunner().invoke(size_command.command, arguments)
    assert told.exit_code == 2
    assert "--poll" in told.output


def test_an_answer_says_what_a_thousand_consumers_cost(tmp_path: Path) -> None:
    sweep = record.load(write_sweep(tmp_path))
    question = Question("bench_consumers", 10, 1, 1000, is_integer=True)
    sweep.search = question
    point = sweep.points[-1]
    point.figures = {"nats_cpu_pct": PointFigure(median=7.0, min=7.0, max=7.0, runs=3)}
    found = Answer(float(point.variables["bench_consumers"]), (3, 3), None, (0, 0), StoppedBy.RANGE)
    assert list(capacity_text.cost(sweep, found)) == [
        "  cost there per 1,000 consumers, scaled up from 100: CPU of NATS 70 % of a core"
    ]


def test_a_report_of_a_search_ends_with_its_answer(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    sweep = record.load(directory)
    sweep.search = Question("bench_consumers", 100, 1, 100, is_integer=True)
    record.write(sweep, directory)
    told = CliRunner().invoke(report.command, [str(directory)])
    assert told.exit_code == 3, told.output
    assert "No answer yet." in told.output
    [point] = [one for one in sweep.points if one.variables["bench_consumers"] == 100]
    point.runs *= 3
    record.write(sweep, directory)
    told = CliRunner().invoke(report.command, [str(directory)])
    assert told.exit_code == 0, told.output
    assert "Holds at 100 consumers in 3 of 3, the most" in told.output


def test_the_page_of_a_search_has_its_answer_and_sizes(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path)
    sweep = record.load(directory)
    question = Question("bench_consumers", 10, 1, 1000, is_integer=True)
    sweep.search = question
    sizes = [sizing.size(RUNS, 10_000, 10)]
    page = sweep_page.render(sweep, [], [], sizes)
    assert next(capacity_text.lines(sweep)) in page
    assert "What consumers need" in page
    assert "10,000" in page
