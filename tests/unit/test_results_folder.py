"""A results folder: whatever lies in it is a row, newest first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpaas.commands import results as results_command
from fpaas.records import control
from fpaas.report import results_page
from fpaas.results import entry, folder
from fpaas.text import results_text, sparks
from tests.support import sweep_runs
from tests.support.report_page import HOSTILE, Page

RUNS_MANY, FILES_MANY = 500, 60
REBUILD_LIMIT_S = 1.0


def put(results: Path, name: str, content: dict[str, Any] | str | bytes | None = None) -> Path:
    directory = results / name
    directory.mkdir(parents=True)
    if content is None:
        content = sweep_runs.summary(100, 10.0) | {"scenario": "scenario-1"}
    if isinstance(content, dict):
        content = json.dumps(content)
    if isinstance(content, str):
        content = content.encode()
    (directory / "summary.json").write_bytes(content)
    (directory / "run.json").write_text("{}")
    (directory / "hosts").mkdir()
    return directory


@pytest.mark.parametrize("name", ["summary.json", "run.json", "sweep.json", "manifest.json"])
def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path: Path, name: str) -> None:
    if name == "sweep.json":
        directory = tmp_path / "sweeps" / "20260101T000000Z-sweep"
        directory.mkdir(parents=True)
    else:
        directory = put(tmp_path, "20260101T000000Z-scenario-1")
        (directory / "hosts").mkdir(exist_ok=True)
    (directory / name).unlink(missing_ok=True)
    os.mkfifo(directory / name)
    command = [sys.executable, "-m", "fpaas.cli", "results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if name != "manifest.json":
        assert f"{name}: cannot be read: is no regular file" in " ".join(done.stdout.split())
    for others in (["compare", directory, "vs", directory], ["watch", "--once", directory]):
        argv = [sys.executable, "-m", "fpaas.cli", *map(str, others)]
        subprocess.run(argv, capture_output=True, timeout=60, check=False)


def test_newest_first_whatever_the_kind(tmp_path: Path) -> None:
    put(tmp_path, "20260101T000000Z-scenario-1")
    put(tmp_path, "20260103T000000Z-scenario-1", {"schema": 1, "half": True})
    sweep_runs.write(tmp_path, {10: 1.0, 20: None})
    rows = folder.read(tmp_path)
    assert [(row.kind, row.began.strftime("%m-%d")) for row in rows] == [
        ("sweep", "09-21"),
        ("run", "09-21"),
        ("broken", "01-03"),
        ("run", "01-01"),
    ]
    assert rows[0].status == "1 of 2 points"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ('{"schema": 1, "verd', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[]", "is not a JSON object"),
        ({"schema": 2}, "has schema 2"),
        ({"schema": 1}, "has no verdict"),
        ({"schema": 1, "verdict": {"status": ["pass"]}}, "has no verdict"),
        ({"schema": 1, "verdict": {"status": "pass"}}, "lacks "),
    ],
)
def test_a_broken_summary_is_a_row_that_says_so(
    tmp_path: Path, content: dict[str, Any] | str | bytes, said: str
) -> None:
    put(tmp_path, "20260101T000000Z-scenario-1", content)
    (row,) = folder.read(tmp_path)
    assert row.kind == entry.BROKEN
    assert said in row.problem


@pytest.mark.parametrize("content", [None, "", "{\0\0", "[]", "[" * 100_000])
def test_a_verdict_without_a_run_json_is_none(tmp_path: Path, content: str | None) -> None:
    path = put(tmp_path, "20260101T000000Z-scenario-1") / "run.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    (row,) = folder.read(tmp_path)
    assert (row.kind, row.status) == (entry.BROKEN, "")
    assert row.problem.startswith("run.json: ")


@pytest.mark.parametrize("listed", [None, "hosts/a/relay.json", "control.json", "control.invalid"])
def test_a_run_whose_evidence_is_gone_is_no_plain_pass(tmp_path: Path, listed: str | None) -> None:
    directory = put(tmp_path, "20260101T000000Z-scenario-1")
    made_again: dict[str, Any] = {"report.html": {}, "figures/publish_ack.csv": {}}
    manifest = directory / "manifest.json"
    manifest.write_text(json.dumps({"files": {"run.json": {}, **made_again}}))
    assert [row.kind for row in folder.read(tmp_path)] == [entry.RUN]
    if listed is None:
        manifest.unlink()
        (directory / "hosts").rmdir()
    else:
        listed = listed.replace("control.invalid", control.INVALID)
        manifest.write_text(json.dumps({"files": {listed: {}, "run.json": {}, **made_again}}))
    (row,) = folder.read(tmp_path)
    assert (row.kind, row.status) == (entry.BROKEN, "")
    assert row.problem.startswith(f"lacks {listed or 'hosts'}: its verdict cannot be checked; ")


def test_what_is_no_run_at_all_is_a_row_too(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / os.fsdecode(b"bad\xff\x1b[2J")).mkdir()
    put(tmp_path, "half").joinpath("summary.json").unlink()
    (tmp_path / "half" / "run.json").write_text("{}")
    (tmp_path / "sweeps" / "none").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("not a directory")
    (tmp_path / "latest").symlink_to("half")
    (tmp_path / "dangling").symlink_to("nowhere")
    rows = folder.read(tmp_path)
    assert len(rows) == 4
    assert {row.kind for row in rows} == {entry.BROKEN}
    half = next(row for row in rows if row.name == "half")
    assert "fpaas report" in half.problem
    html = results_page.render(rows)
    assert "\x1b" not in html
    html.encode()
    "\n".join(results_text.lines(rows)).encode()


@pytest.mark.parametrize("value", [True, "5", [1], 10**400, -1e400, float("nan")])
def test_a_figure_of_the_wrong_type_is_none(value: object) -> None:
    content = sweep_runs.summary(100, 10.0)
    content["ledger"]["lost"] = value
    row = entry.of_summary(content, "x", entry.began_at("x", 0), None)
    assert row.figures["lost"].value is None


def test_invalid_runs_and_what_cannot_be_resolved_are_gaps(tmp_path: Path) -> None:
    for day, status in ((1, "pass"), (2, "invalid"), (3, "fail")):
        content = sweep_runs.summary(100, float(day), status) | {"scenario": "scenario-1"}
        content["latency_ms"]["publish_ack"] = {"p99": day, "clock_error_ms": 2.5}
        put(tmp_path, f"2026010{day}T000000Z-scenario-1", content)
    (trend,) = entry.trends(folder.read(tmp_path))
    assert trend.lines["nats_cpu_pct"] == [1.0, None, 3.0]
    assert trend.lines["publish_ack_p99_ms"] == [None, None, 3]
    assert trend.by_status == {"pass": 1, "fail": 1, "invalid": 1}
    assert sparks.line([1.0, None, 3.0], 10) == "▁ █"


def test_text_out_of_a_run_is_never_markup_and_a_link_leads_to_its_report(tmp_path: Path) -> None:
    content = sweep_runs.summary(100, 10.0) | {"scenario": HOSTILE}
    directory = put(tmp_path, "a run #1", content)
    (directory / "report.html").write_text("")
    page = Page(results_page.render(folder.read(tmp_path)))
    assert "alert(1)" in page.words
    assert not any(tag == "b" for tag, _ in page.elements)
    assert "a%20run%20%231/report.html" in [a.get("href") for tag, a in page.elements if tag == "a"]


def test_the_command_lists_filters_and_writes_the_page(tmp_path: Path) -> None:
    put(tmp_path, "20260101T000000Z-scenario-1")
    put(tmp_path, "20260102T000000Z-other", sweep_runs.summary(10, 1.0, "fail"))
    run = CliRunner().invoke
    shown = run(results_command.command, [str(tmp_path), "--filter", "FAIL other"])
    assert shown.exit_code == 0, shown.output
    assert "20260102T000000Z-other" in shown.output
    assert "scenario-1" not in shown.output
    assert (tmp_path / "index.html").is_file()
    listed = json.loads(run(results_command.command, [str(tmp_path), "--format", "json"]).output)
    assert [one["name"] for one in listed] == [
        "20260102T000000Z-other",
        "20260101T000000Z-scenario-1",
    ]
    nothing = run(results_command.command, [str(tmp_path / "nowhere")])
    assert nothing.exit_code == 2
    assert "expected a folder of runs" in nothing.output


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[("run.json", "run"), ("summary.json", "run"), (control.EVENTS, "run")],
        ("sweep.json", "sweep"),
    ],
)
def test_a_run_is_no_folder_of_runs_and_gets_no_page(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("{}")
    (tmp_path / "hosts").mkdir()
    refused = CliRunner().invoke(results_command.command, [str(tmp_path)])
    assert refused.exit_code == 2
    said = f"{tmp_path}: is a {kind}: it has {name}; expected the folder of runs"
    assert said in refused.output
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "hosts"])


def test_an_empty_folder_has_a_page(tmp_path: Path) -> None:
    assert "There are none yet." in Page(results_page.render(folder.read(tmp_path))).words


def test_five_hundred_runs_take_less_than_a_second(tmp_path: Path) -> None:
    content = sweep_runs.summary(100, 10.0) | {"scenario": "scenario-1", "padding": "x" * 20_000}
    for number in range(RUNS_MANY):
        directory = put(tmp_path, f"20260101T{number:06}Z-scenario-1", content)
        names = [f"hosts/a/consumers-{part}.json" for part in range(FILES_MANY)]
        (directory / "hosts" / "a").mkdir()
        for name in names:
            (directory / name).touch()
        entries = {name: {"bytes": 0, "sha256": "0" * 64} for name in names}
        (directory / "manifest.json").write_text(json.dumps({"files": entries}))
    results_page.write(tmp_path, folder.read(tmp_path))
    began = time.process_time()
    rows = folder.read(tmp_path)
    results_page.write(tmp_path, rows)
    assert len(rows) == RUNS_MANY
    assert time.process_time() - began < REBUILD_LIMIT_S


def test_a_run_that_is_on_is_not_called_broken(tmp_path: Path) -> None:
    """The playbook writes its own events first; everything else is collected at the end."""
    directory = tmp_path / "20260101T000000Z-scenario-1"
    directory.mkdir()
    (directory / control.EVENTS).write_text("")
    (tmp_path / "something").mkdir()
    rows = {row.name: row for row in folder.read(tmp_path)}
    assert rows[directory.name].status == entry.NOT_COLLECTED
    assert rows["something"].status == ""
    html = results_page.render(list(rows.values()))
    assert html.count(f">{entry.NOT_COLLECTED}<") == html.count(">broken<") == 1


def test_rows_fit_the_terminal(tmp_path: Path) -> None:
    for day in (1, 2):
        put(tmp_path, f"2026010{day}T000000Z-scenario-1")
    rows = folder.read(tmp_path)
    for width in (60, 80, 200):
        shown = list(results_text.lines(rows, width))
        assert max(map(len, shown)) <= width
        assert all(row.name in shown[0] + " ".join(shown) for row in rows)
    # In a pipe everything is there, a line a row.
    wide = list(results_text.lines(rows))
    assert wide[0].split()[-1] == "lost"
    assert wide[0] in results_text.lines(rows, 200)


def test_a_scenario_with_one_run_has_nothing_over_time(tmp_path: Path) -> None:
    put(tmp_path, "20260101T000000Z-scenario-1")
    assert not any("oldest to newest" in line for line in results_text.lines(folder.read(tmp_path)))


def test_a_steady_rate_is_drawn_as_one() -> None:
    assert sparks.line([100.0, 99.0, 101.0], 3, 0.0) == "███"
    assert sparks.line([0.0, 0.0], 2, 0.0) == "▄▄"


def test_figures_of_invalid_runs_are_not_called_unmeasured(tmp_path: Path) -> None:
    content = sweep_runs.summary(100, 10.0) | {"scenario": "scenario-1"}
    content["verdict"] = {"status": "invalid", "reasons": ["a"]}
    put(tmp_path, "20260101T000000Z-scenario-1", content)
    page = Page(results_page.render(folder.read(tmp_path)))
    assert page.words.count(results_page.NO_VALID_RUN) == len(entry.KEY_FIGURES)


def test_a_run_in_a_directory_of_another_name_began_when_it_did(tmp_path: Path) -> None:
    put(tmp_path, "20260103T000000Z-scenario-1")
    content = sweep_runs.summary(100, 10.0) | {"run_id": "20260101T000000Z-scenario-1"}
    put(tmp_path, "the one with the new disk", content)
    assert folder.read(tmp_path)[-1].name == "the one with the new disk"


def test_a_folder_that_cannot_be_written_is_listed(tmp_path: Path) -> None:
    put(tmp_path, "20260103T000000Z-scenario-1")
    # Nobody, not even root, replaces a directory with a file.
    (tmp_path / results_page.NAME).mkdir()
    shown = CliRunner().invoke(results_command.command, [str(tmp_path)])
    assert shown.exit_code == 2
    assert "20260103T000000Z-scenario-1" in shown.output
    assert "cannot be written" in shown.output
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []
