"""A report of another window than the run's own says so, and makes no run look better."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fpaas.cli import main
from fpaas.probe import seal
from fpaas.results import entry, folder
from fpaas.sweep import record
from fpaas.text import results_text
from fpaas.verdict import trimming
from tests.support import sweep_runs, verdict_codes
from tests.support.raw_run import ACKED_AFTER_NS, HOST, READ_AFTER_NS, RawRun

RUN_ID = "20260921T120000Z-scenario-1"
GOAL = "publish_ack_p99_ms_max"
#: Publishes of this second wait; the warm-up is 5 s.
STALLED_S = 12
TRIMMED = "trimmed to 20\N{EN DASH}35 s"


class Stalled(RawRun):
    """NATS acked the publishes of a second late, and nobody noticed why."""

    def _per_frame(self, mean_ns: int) -> dict[int, list[int]]:
        samples = super()._per_frame(mean_ns)
        if mean_ns == ACKED_AFTER_NS - READ_AFTER_NS:
            samples[STALLED_S] = [one + 600_000_000 for one in samples[STALLED_S]]
        return samples


def write(results: Path, run: RawRun) -> Path:
    run.spec = replace(run.spec, scenario=replace(run.spec.scenario, goals={GOAL: 100.0}))
    return run.write(results / RUN_ID)


def report(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def summary_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content


def test_a_stall_that_is_cut_off_still_fails_the_run(tmp_path: Path) -> None:
    run = write(tmp_path, Stalled())
    assert report(run).exit_code == 1
    own = summary_of(run)
    result = report(run, "--warmup-s", "20")
    assert result.exit_code == 1, result.output
    content = summary_of(run)
    # By the figures of this window alone, the goal is met.
    assert [goal["status"] for goal in content["goals"]] == ["met"]
    (reason,) = verdict_codes.entries(content, "fail")
    assert reason["code"] == "failed_by_own_window"
    assert reason["parameters"]["reason"]["parameters"]["goal"] == GOAL
    assert content["limited_by"] == own["limited_by"]
    # And back.
    assert report(run).exit_code == 1
    assert summary_of(run) == own


def test_what_makes_a_run_invalid_is_not_cut_off_either(tmp_path: Path) -> None:
    raw = RawRun()
    run = raw.write(tmp_path / RUN_ID, sealed=False)
    samples = run / "hosts" / HOST / "probe.host.jsonl"
    lines = samples.read_text().splitlines(keepends=True)
    # Of its own window, half is missing.
    until_ns = raw.spec.t0_unix_ns + 20 * 10**9
    samples.write_text("".join(one for one in lines if json.loads(one)["unix_ns"] >= until_ns))
    seal.seal(run / "hosts" / HOST, HOST)
    assert report(run).exit_code == 3
    assert "host_unsampled" in verdict_codes.of_summary(summary_of(run))
    assert report(run, "--warmup-s", "20").exit_code == 3
    content = summary_of(run)
    codes = verdict_codes.of_summary(content, "invalid")
    assert "host_unsampled" not in codes
    assert codes[0] == "invalid_by_own_window"


def test_a_good_run_stays_one_and_says_its_window_everywhere(tmp_path: Path) -> None:
    run = write(tmp_path, RawRun())
    (tmp_path / "index.html").write_text("to be renewed")
    result = report(run, "--warmup-s", "20")
    assert result.exit_code == 0, result.output
    assert TRIMMED in " ".join(result.output.split("\n\n")[0].split())
    content = summary_of(run)
    (note, *_) = verdict_codes.entries(content)
    assert (note["code"], note["severity"]) == ("window_trimmed", "note")
    window = {"warmup_s": 20, "run_warmup_s": 5, "from_s": 20, "until_s": 35}
    assert note["parameters"] == window
    page = (run / "report.html").read_text()
    assert f"<title>pass, {TRIMMED}" in page
    assert f"pass<small>{TRIMMED}</small>" in page
    assert f"draining; this report is {TRIMMED}" in page
    assert f"pass<small>{TRIMMED}</small>" in (tmp_path / "index.html").read_text()
    (row,) = folder.read(tmp_path)
    assert row.trimmed == TRIMMED
    assert entry.matching([row], "trimmed") == [row]
    assert any(f"pass, {TRIMMED}" in line for line in results_text.lines([row]))
    assert json.loads(results_text.as_json([row]))[0]["trimmed"] == TRIMMED


def test_the_run_s_own_warm_up_is_no_trimming(tmp_path: Path) -> None:
    run = write(tmp_path, RawRun({"bench_warmup_s": 2.5}))
    assert report(run, "--warmup-s", "2.5").exit_code == 0
    content = summary_of(run)
    assert "window_trimmed" not in verdict_codes.of_summary(content)
    assert trimming.words(content) == ""
    assert report(run, "--warmup-s", "2").exit_code == 0
    assert trimming.words(summary_of(run)) == "trimmed to 2\N{EN DASH}32.5 s"


@pytest.mark.parametrize("warmup_s", ["9.5", "12.9", "0.001"])
def test_seconds_are_not_cut_in_two(tmp_path: Path, warmup_s: str) -> None:
    run = write(tmp_path, RawRun())
    result = report(run, "--warmup-s", warmup_s)
    assert result.exit_code == 2
    assert f"a warm-up of {warmup_s} s ends within a second" in result.output
    assert not (run / "summary.json").exists()


def test_a_sweep_of_trimmed_runs_says_so(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {10: 15.5, 50: 17.5})
    played = record.load(directory).points[0].runs[0]
    path = tmp_path / played.run_id / "summary.json"
    content = json.loads(path.read_text())
    note = {"code": "window_trimmed", "parameters": {"from_s": 20, "until_s": 35}}
    content["verdict"]["reason_codes"] = [note]
    path.write_text(json.dumps(content))
    result = report(directory)
    said = f"Of 2 runs, 1 is {TRIMMED}."
    assert said in result.output
    assert said in (directory / "report.html").read_text()


def test_a_warm_up_that_suits_no_run_leaves_a_sweep_as_it_is(tmp_path: Path) -> None:
    directory = sweep_runs.write(tmp_path, {10: 15.5})
    played = record.load(directory).points[0].runs[0]
    RawRun().write(tmp_path / played.run_id)
    before = (directory / "sweep.json").read_text()
    result = report(directory, "--warmup-s", "9.5")
    assert result.exit_code == 2
    assert played.run_id in result.output
    assert (directory / "sweep.json").read_text() == before


def test_late_answers_are_not_put_down_to_polls(tmp_path: Path) -> None:
    run = write(tmp_path, Stalled())
    assert report(run).exit_code == 1
    content = summary_of(run)
    # Its polls take a tenth of what is owed, which makes no publish late.
    assert content["plan"]["capacity_per_s"] < content["plan"]["owed_per_s"]
    assert content["limited_by"]["what"] == "not_explained"
    assert content["limited_by"]["parameters"]["goals"] == [GOAL]
