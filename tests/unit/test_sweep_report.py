from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from fpaas.commands.report import command
from fpaas.sweep import record
from fpaas.sweep.sweep_figures import COSTS
from tests.support import sweep_runs
from tests.support.report_page import BYTES_MAX, HOSTILE, Page

LINEAR = {10: 15.5, 50: 17.5, 100: 20.0, 500: 40.0, 1000: 65.0}
RISING = {10: 0.1, 50: 2.5, 100: 10.0, 500: 250.0, 1000: 1000.0}


def report(directory: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [str(directory), *options])


def content(directory: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((directory / "sweep.json").read_text())
    return read


def page(directory: Path) -> Page:
    return Page((directory / "report.html").read_text())


def test_a_whole_sweep_is_reported(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    result = report(directory)
    assert result.exit_code == 0, result.output
    assert "5 of 5 points" in result.output
    # NATS and the consumers agent: twice 15 + 0.05 * consumers.
    assert "0.100 [0.100, 0.100] % of a core for each added consumer" in result.output
    assert "Sub-linear (exponent" in result.output
    assert "Beyond the smallest point: ~ exponent 1.00" in result.output
    read = content(directory)
    assert read["points"][0]["figures"]["nats_cpu_pct"]["median"] == 15.5
    assert read["points"][0]["figures"]["end_to_end_p50_ms"] is None  # not resolvable
    assert read["points"][0]["figures"]["end_to_end_p99_ms"]["median"] == 2.0
    of_nats = next(one for one in read["scaling"] if one["figure"] == "nats_cpu_pct")
    assert of_nats["cost_per_added"]["value"] == pytest.approx(0.05)
    shown = page(directory)
    assert (directory / "report.html").stat().st_size < BYTES_MAX
    assert shown.figures["nats_cpu_pct"]["data"][0]["y"] == [15.5, 17.5, 20, 40, 65]
    assert shown.figures["nats_cpu_pct"]["layout"]["xaxis"]["type"] == "log"
    links = [attributes.get("href") or "" for tag, attributes in shown.elements if tag == "a"]
    assert "../../20260921T120100Z-sweep/report.html" in links
    with (directory / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["nats_cpu_pct"]) for row in rows] == list(LINEAR.values())
    assert {row["end_to_end_p50_ms"] for row in rows} == {""}


def test_growth_that_gets_worse_is_said_to(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, RISING)
    assert report(directory).exit_code == 0
    assert "Super-linear (exponent 2.0" in page(directory).words


def test_points_without_a_trusted_run_are_gaps_and_named(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {**LINEAR, 100: None})
    spoiled = json.dumps(sweep_runs.summary(50, 99.0, "invalid"))
    (tmp_path / "20260921T120200Z-sweep/summary.json").write_text(spoiled)
    result = report(directory)
    assert result.exit_code == 3
    assert "invalid: so it is invalid" in result.output
    assert "missing: not run yet" in result.output
    shown = page(directory)
    assert shown.figures["nats_cpu_pct"]["data"][0]["y"] == [15.5, None, None, 40, 65]
    assert "Point 2, bench_consumers=50: invalid: so it is invalid" in shown.words
    assert "Point 3, bench_consumers=100: missing: not run yet" in shown.words
    fits = [one for one in content(directory)["scaling"] if one["figure"] == "nats_cpu_pct"]
    assert fits[0]["cost_per_added"]["points"] == 3


def test_a_verdict_of_the_wrong_kind_is_no_crash(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    spoiled = sweep_runs.summary(10, 15.5) | {"verdict": {"status": "fail", "reasons": 5}}
    (tmp_path / "20260921T120100Z-sweep/summary.json").write_text(json.dumps(spoiled))
    result = report(directory)
    assert result.exit_code == 3
    assert "has reasons for its verdict that are not a list of sentences" in result.output


def test_a_point_that_lacks_a_repetition_is_named(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    sweep = record.load(directory)
    sweep.repeats = 2
    sweep.points[0].runs.append(replace(sweep.points[0].runs[0], repetition=1))
    record.write(sweep, directory)
    assert report(directory).exit_code == 3
    shown = page(directory).words
    assert "Point 2, bench_consumers=50: pass (1 of 2 runs)" in shown
    assert "Point 1, bench_consumers=10: pass" not in shown


def test_a_run_whose_bundle_is_gone_is_played_again(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    shutil.rmtree(tmp_path / "20260921T120300Z-sweep")
    assert report(directory).exit_code == 3
    sweep = record.load(directory)
    assert "does not exist" in sweep.points[2].runs[0].reason
    assert [point.number for _, point in sweep.missing()] == [3]


@pytest.mark.parametrize("text", ["{", '{"schema": 7}', '{"schema": 1, "verdict": {}}'])
def test_a_summary_that_is_none_spoils_its_point_only(tmp_path: Path, text: str) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    (tmp_path / "20260921T120100Z-sweep/summary.json").write_text(text)
    assert report(directory).exit_code == 3
    assert [point.status for point in record.load(directory).points] == ["invalid"] + ["done"] * 4


def test_a_sweep_that_has_played_nothing_yet_has_a_report(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, dict.fromkeys(LINEAR))
    assert report(directory).exit_code == 3
    shown = page(directory)
    assert shown.figures == {}
    assert "0 of 5 points measured" in shown.words


def test_text_out_of_a_sweep_is_never_markup(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR, title=HOSTILE)
    spoiled = sweep_runs.summary(10, 15.5) | {"verdict": {"status": "fail", "reasons": [HOSTILE]}}
    (tmp_path / "20260921T120100Z-sweep/summary.json").write_text(json.dumps(spoiled))
    assert report(directory).exit_code == 0
    shown = page(directory)
    assert len(shown.scripts) == 2
    assert not any(tag == "b" for tag, _ in shown.elements)
    assert shown.words.count("alert(1)") >= 2


def test_the_expected_results_stand_beside_what_was_measured(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR, name="expected-results")
    result = report(directory)
    assert result.exit_code == 0
    table = (directory / "expected-results.md").read_text().splitlines()
    assert table[2:] == [
        "| firehose, stored by NATS | 400 to 500 msg/s | 450 msg/s (of 5 of 5 points) | met |",
        "| each of 100 consumers, on average | 4 to 5 msg/s | 4.50 msg/s | met |",
        "| memory of 100 consumers | 140 to 200 MB | 50.0 MB (less) | met |",
        next(line for line in table if "| sub-linear |" in line),
        "| slow consumers at 60 s | none | none (of 5 of 5 points) | met |",
    ]
    assert "| sub-linear: exponent 0.31" in table[5]
    assert table[5].endswith("| met |")
    assert "400 to 500 msg/s" in result.output
    assert "400 to 500 msg/s" in page(directory).words


def test_what_was_not_expected_or_not_measured_is_said_so(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {**RISING, 100: None}, name="expected-results")
    for summary in tmp_path.glob("*/summary.json"):
        spoiled = json.loads(summary.read_text())
        spoiled["throughput"]["published_per_s"] = 380.0
        spoiled["jetstream"]["slow_consumers"] = 2
        summary.write_text(json.dumps(spoiled))
    assert report(directory).exit_code == 3
    table = (directory / "expected-results.md").read_text().splitlines()[2:]
    assert [line.split(" | ")[-1].strip(" |") for line in table] == [
        "not met",
        "not measured",
        "not measured",
        "not met",
        "not met",
    ]


def test_a_sweep_over_words_has_points_and_no_lines(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {10: 5.0, 20: 6.0})
    sweep = record.load(directory)
    sweep.grid = {"bench_fetch": ["once", "drain"], "nats_tls": [True]}
    for point, fetch in zip(sweep.points, ("once", "drain"), strict=True):
        point.variables = {"bench_fetch": fetch, "nats_tls": True}
    record.write(sweep, directory)
    assert report(directory).exit_code == 0
    drawn = page(directory).figures["nats_cpu_pct"]
    assert drawn["data"][0]["x"] == ["once", "drain"]
    assert drawn["data"][0]["mode"] == "markers"
    assert drawn["layout"]["xaxis"]["type"] == "category"
    assert content(directory)["scaling"] == []


def test_a_sweep_cannot_be_marked_invalid_as_a_whole(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    result = report(directory, "--invalid", "because")
    assert result.exit_code == 2
    assert "--invalid is for single runs" in result.output


def test_lower_bounds_are_marked_and_nothing_is_fitted_through_them(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, LINEAR)
    path = tmp_path / "20260921T120200Z-sweep/summary.json"
    summary = json.loads(path.read_text())
    summary["latency_ms"]["fetch_call"]["at_least"] = {"p99": None}
    path.write_text(json.dumps(summary))
    result = report(directory)
    assert result.exit_code == 0, result.output
    assert result.output.count("≥ 2.00") == 1
    figures = content(directory)["points"][1]["figures"]
    assert (figures["fetch_call_p99_ms"]["at_least"], figures["fetch_call_p50_ms"]["at_least"]) == (
        *(1, 0),
    )
    shown = page(directory)
    symbols = shown.figures["fetch_call_p99_ms"]["data"][0]["marker"]["symbol"]
    assert symbols == ["circle", "triangle-up-open", "circle", "circle", "circle"]
    assert shown.words.count("≥ 2") == 1
    with (directory / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["at_least"] for row in rows] == ["", "fetch_call_p99_ms", "", "", ""]
    # Lower bounds are of latencies, and what is fitted is of resources.
    assert all(path.startswith("resources.") for one in COSTS for path in one.paths)
