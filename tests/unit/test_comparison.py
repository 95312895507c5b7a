from __future__ import annotations

import json
import math
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fpaas.commands.compare import command
from fpaas.summary import comparison, repeats
from fpaas.text import comparison_text

P99 = "latency_ms.publish_ack.p99"


def _summary(p99: float | None, error_ms: float | None = 0.0, lost: int = 0) -> dict[str, Any]:
    return {
        "schema": 1,
        "verdict": {"status": "pass", "reasons": []},
        "latency_ms": {"publish_ack": {"p99": p99, "clock_error_ms": error_ms}},
        "ledger": {"lost": lost},
    }


def _row(before: list[float], after: list[float], error_ms: float = 0.0) -> comparison.Row:
    groups = [[_summary(value, error_ms) for value in group] for group in (before, after)]
    return next(row for row in comparison.compare(*groups).rows if row.figure == P99)


def test_repeats_are_seldom_called_different() -> None:
    draw = random.Random(11)
    called = sum(
        _row(
            [draw.gauss(100, 9) for _ in range(5)], [draw.gauss(100, 9) for _ in range(5)]
        ).significant
        for _ in range(1000)
    )
    assert called <= 50


def test_a_regression_is_found_and_noise_is_not() -> None:
    before = [_summary(p99) for p99 in (10.0, 10.2, 9.9, 10.1)]
    after = [_summary(p99) for p99 in (12.0, 12.2, 11.9, 12.1)]
    rows = comparison.compare(before, after).rows
    latency = next(row for row in rows if row.figure == P99)
    assert latency.significant
    assert latency.worse
    assert latency.change_pct == pytest.approx(19.9, abs=0.1)
    assert comparison.regressions(rows, 10) == [latency]
    assert comparison.regressions(rows, 30) == []
    assert comparison.regressions(comparison.compare(before, before).rows, 0) == []
    better = comparison.compare(after, before).rows
    assert next(row for row in better if row.figure == P99).significant
    assert comparison.regressions(better, 0) == []


def test_a_difference_below_the_noise_floor_does_not_count() -> None:
    row = _row([1.0, 1.1, 9.0, 9.1, 9.2, 9.3], [9.4] * 6)
    assert row.p_value is not None
    assert row.p_value <= repeats.SIGNIFICANCE
    assert row.noise_floor is not None
    assert row.noise_floor > 0.25
    assert row.why_not == comparison.BELOW_NOISE


def test_a_difference_within_the_clocks_bound_does_not_count() -> None:
    before, after = [10.0, 10.2, 9.9, 10.1], [12.0, 12.2, 11.9, 12.1]
    assert _row(before, after, error_ms=0.9).significant
    assert _row(before, after, error_ms=1.1).why_not == comparison.WITHIN_CLOCKS


@pytest.mark.parametrize(
    ("summary", "why"),
    [
        (_summary(None), "not measured in 1 of 2 runs"),
        ({**_summary(1), "latency_ms": None}, "not measured in 1 of 2 runs"),
        (_summary(0.05, 0.08), "not resolvable by the clocks in 1 of 2 runs"),
        (_summary(5, None), "not resolvable by the clocks in 1 of 2 runs"),
    ],
)
def test_a_figure_that_not_every_run_has_is_left_out_and_said_so(
    summary: dict[str, Any], why: str
) -> None:
    compared = comparison.compare([_summary(1), summary], [_summary(1)])
    assert P99 not in {row.figure for row in compared.rows}
    assert compared.left_out[P99] == why


# -- the command -----------------------------------------------------------------------------------


def _run(directory: Path, p99: float, consumers: int = 100, **changed: object) -> str:
    directory.mkdir()
    (directory / "summary.json").write_text(json.dumps(_summary(p99) | changed))
    (directory / "run.json").write_text(json.dumps({"variables": {"bench_consumers": consumers}}))
    return str(directory)


def _compare(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_the_command_names_what_differs_and_exits_1_on_a_regression(tmp_path: Path) -> None:
    before = [_run(tmp_path / f"a{i}", 10 + i / 10) for i in range(4)]
    after = [_run(tmp_path / f"b{i}", 20 + i / 10, consumers=200) for i in range(4)]
    result = _compare(*before, "vs", *after)
    assert result.exit_code == 1
    assert "bench_consumers: 100  ->  200" in result.output
    assert "worse (p=0.029)" in result.output
    assert _compare(*after, "vs", *before).exit_code == 0
    same = _compare(*before, "vs", *before)
    assert same.exit_code == 0
    assert f"!! {(tmp_path / 'a0').resolve()} is on both sides" in same.output


@pytest.mark.parametrize("style", ["text", "json", "markdown"])
def test_single_runs_are_shown_but_never_called_different(tmp_path: Path, style: str) -> None:
    result = _compare(_run(tmp_path / "a", 1), "vs", _run(tmp_path / "b", 99), "--format", style)
    assert result.exit_code == 0
    if style == "json":
        assert not any(row["significant"] for row in json.loads(result.output)["figures"])
    else:
        assert "too few runs" in result.output


@pytest.mark.parametrize("style", ["text", "json", "markdown"])
def test_repeats_alone_show_the_noise_floor(tmp_path: Path, style: str) -> None:
    runs = [_run(tmp_path / f"a{i}", 10 + i) for i in range(5)]
    result = _compare(*runs, "--format", style)
    assert result.exit_code == 0
    if style == "json":
        assert json.loads(result.output)["noise"][P99]["noise_floor"] == 2.5
    else:
        assert "2.5" in result.output
        assert "20.8 %" in result.output
        assert "12 [10, 14; 94 %]" in result.output
    assert "needs 4 runs" in _compare(*runs[:2]).output


def test_runs_that_are_no_repeats_of_each_other_are_said_to_be_so(tmp_path: Path) -> None:
    result = _compare(_run(tmp_path / "a", 1), _run(tmp_path / "b", 1, consumers=7))
    assert "!!   bench_consumers: 100 | 7\n" in result.output


def test_faults_that_differ_are_written_as_their_user_does(tmp_path: Path) -> None:
    other = _run(tmp_path / "b", 1)
    fault = {"do": "kill", "on": "nats", "at_s": 15}
    (Path(other) / "run.json").write_text(json.dumps({"variables": {"bench_faults": [fault]}}))
    one = _run(tmp_path / "a", 1)
    (Path(one) / "run.json").write_text(json.dumps({"variables": {"bench_faults": []}}))
    result = _compare(one, "vs", other)
    assert "bench_faults: none  ->  {do: kill, on: nats, at_s: 15}\n" in result.output


def test_what_an_older_run_did_not_record_is_not_called_none(tmp_path: Path) -> None:
    older, newer = _run(tmp_path / "a", 1), _run(tmp_path / "b", 1)
    settings = {"bench_consumers": 100, "bench_ack": "none"}
    (Path(newer) / "run.json").write_text(json.dumps({"variables": settings}))
    (Path(newer) / "manifest.json").write_text(json.dumps({"control": {"git_commit": "abc"}}))
    shown = _compare(older, "vs", newer).output
    assert "bench_ack: not recorded  ->  none\n" in shown
    assert "git_commit: not recorded  ->  abc\n" in shown
    differing = json.loads(_compare(older, "vs", newer, "--format", "json").output)["differing"]
    assert differing["bench_ack"] == {"a": [None], "b": ["none"]}


def test_windows_and_verdicts_that_differ_are_named(tmp_path: Path) -> None:
    one = _run(tmp_path / "a", 1, window={"from_s": 60, "until_s": 360})
    other = _run(
        tmp_path / "b", 1, window={"from_s": 5, "until_s": 360}, verdict={"status": "fail"}
    )
    result = _compare(one, "vs", other)
    assert "!!   window.from_s: 60  ->  5" in result.output
    assert "!!   verdict: pass  ->  fail" in result.output


def test_an_invalid_run_is_refused_or_marked(tmp_path: Path) -> None:
    spoiled = {"status": "invalid", "reasons": ["polls were sent late"]}
    good, bad = _run(tmp_path / "a", 1), _run(tmp_path / "b", 1, verdict=spoiled)
    refused = _compare(good, "vs", bad)
    assert refused.exit_code == 3
    assert (
        "is invalid, and its figures are not to be trusted: polls were sent late" in refused.output
    )
    marked = _compare(good, "vs", bad, "--allow-invalid")
    assert marked.exit_code == 0
    assert f"!! {bad} is INVALID: polls were sent late" in marked.output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": 0}, "schema 0, expected 1"),
        ({"schema": None}, "schema None, expected 1"),
        ({"verdict": None}, "has no verdict"),
        ({"verdict": {"status": "good"}}, "has no verdict"),
        ({"verdict": {"status": "invalid", "reasons": 1}}, "has no verdict"),
    ],
)
def test_a_summary_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    result = _compare(_run(tmp_path / "a", 1, **changed), "vs", _run(tmp_path / "b", 1))
    assert result.exit_code == 2
    assert message in result.output
    assert "fpaas report" in result.output


@pytest.mark.parametrize("file", ["summary.json", "run.json", "manifest.json"])
@pytest.mark.parametrize("junk", [1, ["x"], {"localhost": 1}])
def test_files_of_another_shape_are_no_crash(tmp_path: Path, file: str, junk: object) -> None:
    run = _run(tmp_path / "a", 1)
    names = ("window", "resources", "variables", "hosts", "control")
    path = Path(run) / file
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(
        json.dumps(content | dict.fromkeys(names, junk) | {"resources": {"processes": junk}})
    )
    result = _compare(run, "vs", _run(tmp_path / "b", 1))
    assert result.exit_code == 0, result.exception


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    spoiled = _run(tmp_path / "a", math.nan)
    result = _compare(spoiled, "vs", _run(tmp_path / "b", 1))
    assert result.exit_code == 2
    assert f"{spoiled}/summary.json: is not JSON: NaN is not a number" in result.output


def test_a_threshold_that_nothing_is_above_is_refused(tmp_path: Path) -> None:
    before = [_run(tmp_path / f"a{i}", 10 + i / 10) for i in range(4)]
    after = [_run(tmp_path / f"b{i}", 20 + i / 10) for i in range(4)]
    result = _compare(*before, "vs", *after, "--threshold-pct", "nan")
    assert result.exit_code == 2
    assert "Invalid value for '--threshold-pct': 'nan' is not a finite number" in result.output


def test_a_run_counts_once(tmp_path: Path) -> None:
    run = _run(tmp_path / "a", 1)
    (tmp_path / "latest").symlink_to("a")
    result = _compare(run, str(tmp_path / "latest"), "vs", _run(tmp_path / "b", 1))
    assert result.exit_code == 2
    assert "is named 2 times on one side" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["vs"],
        ["vs", "b"],
        ["a", "vs"],
        ["a", "vs", "b", "vs", "c"],
        ["nowhere", "vs", "nowhere"],
    ],
)
def test_bad_arguments_exit_2(arguments: list[str]) -> None:
    assert _compare(*arguments).exit_code == 2


def _bounded(p99: float, *, at_least: bool) -> dict[str, Any]:
    run = _summary(p99)
    run["latency_ms"]["publish_ack"]["at_least"] = {"p99": None} if at_least else {}
    return run


def _with_bounds(before: list[float], after: list[float], *, a: int, b: int) -> comparison.Row:
    """Compare groups of which the last `a` and `b` runs are lower bounds."""
    groups = [
        [_bounded(value, at_least=at >= len(group) - lower) for at, value in enumerate(group)]
        for group, lower in ((before, a), (after, b))
    ]
    return next(row for row in comparison.compare(*groups).rows if row.figure == P99)


LOW, HIGH = [1.0, 1.01, 1.02, 1.03], [5.0, 5.01, 5.02, 5.03]


@pytest.mark.parametrize(
    ("before", "after", "a", "b", "why_not"),
    [
        (LOW, HIGH, 0, 1, None),
        (LOW, HIGH, 0, 4, None),
        (LOW, HIGH, 1, 0, comparison.CALLS_OPEN),
        (HIGH, LOW, 0, 1, comparison.CALLS_OPEN),
        (HIGH, LOW, 4, 0, comparison.CALLS_OPEN),
        (LOW, LOW, 0, 1, comparison.CALLS_OPEN),
        (LOW, HIGH[:1], 0, 1, comparison.TOO_FEW),
        (LOW, HIGH, 0, 0, None),
    ],
)
def test_lower_bounds_tell_only_what_larger_values_would_not_undo(
    before: list[float], after: list[float], a: int, b: int, why_not: str | None
) -> None:
    row = _with_bounds(before, after, a=a, b=b)
    assert row.why_not == why_not
    assert (row.before.lower_bounds, row.after.lower_bounds) == (a, b)


def test_what_is_at_least_that_much_worse_is_written_so() -> None:
    groups = [[_bounded(v, at_least=g is HIGH) for v in g] for g in (LOW, HIGH)]
    compared = comparison.compare(*groups)
    text = comparison_text.compared(compared, comparison_text.Caution(), "text", everything=False)
    (line,) = (line for line in text.splitlines() if line.startswith(P99))
    assert "≥ 5.015" in line
    assert "at least +394.1 % worse" in line
    (row,) = (row for row in compared.rows if row.figure == P99)
    assert comparison.regressions([row], 0) == [row]
    samples, left_out = comparison.noise(groups[1])
    assert samples[P99].noise_floor is None
    floors = comparison_text.floors(samples, left_out, comparison_text.Caution(), "text")
    assert comparison_text.NOT_KNOWN_OPEN in floors


@pytest.mark.parametrize(
    ("wrong", "figure", "why"),
    [
        ({"latency_ms": {"publish_ack": {"p99": "1"}}}, P99, "of the wrong type, no number"),
        ({"latency_ms": {"publish_ack": {"p99": True}}}, P99, "of the wrong type, no number"),
        ({"latency_ms": [1]}, P99, "of the wrong type, no number"),
        (
            {"resources": {"processes": [1]}},
            "resources.processes.*.rss_mb.max",
            "of the wrong type, no object",
        ),
    ],
)
def test_what_is_of_the_wrong_type_is_named_as_left_out(
    tmp_path: Path, wrong: dict[str, Any], figure: str, why: str
) -> None:
    one, other = _run(tmp_path / "a", 1, **wrong), _run(tmp_path / "b", 1)
    assert f"left out: {figure}: {why}, in 1 of 2 runs" in _compare(one, other).output
    assert f"left out: {figure}: {why}, in 1 of " in _compare(one, "vs", other).output


def test_copies_of_a_run_are_no_repeats(tmp_path: Path) -> None:
    run = Path(_run(tmp_path / "a", 1, run_id="20260101T000000Z-x"))
    copies = [str(shutil.copytree(run, tmp_path / f"copy{number}")) for number in range(3)]
    shown = _compare(str(run), *copies).output
    assert shown.count(f"is a copy of {run}, not a repeat: it counts once") == 3
    assert "needs 4 runs" in shown
    other = _run(tmp_path / "b", 1, run_id="20260102T000000Z-x")
    assert "is a copy" not in _compare(str(run), other).output
    assert f"{copies[0]} is on both sides" in _compare(str(run), "vs", copies[0]).output


def test_what_nobody_noted_is_said(tmp_path: Path) -> None:
    one, other = _run(tmp_path / "a", 1), _run(tmp_path / "b", 1)
    (tmp_path / "a" / "manifest.json").write_text(json.dumps({"control": None}))
    shown = _compare(one, "vs", other).output
    assert f"!! {one}: has no control.json: git_commit" in shown
    assert f"!! {other}: has no manifest.json" in shown


def test_only_what_changed_is_shown_unless_all_is_asked_for(tmp_path: Path) -> None:
    one, other = _run(tmp_path / "a", 10), _run(tmp_path / "b", 20)
    shown = _compare(one, "vs", other).output
    assert re.search(rf"^{P99} +10 +20 +2\.00 +~ \(too few runs\)$", shown, re.MULTILINE)
    assert "ledger.lost" not in shown.replace("left out: ledger.lost", "")
    assert "1 figure did not change" in shown
    everything = _compare(one, "vs", other, "--all").output
    assert re.search(r"^ledger\.lost +0 +0 ", everything, re.MULTILINE)
    same = _compare(one, "vs", _run(tmp_path / "c", 10))
    assert same.exit_code == 0
    assert same.output.count("did not change") == 1


def test_a_page_needs_two_groups_and_runs_without_raw_data_have_no_lines(tmp_path: Path) -> None:
    one, other = _run(tmp_path / "a", 10), _run(tmp_path / "b", 20)
    page = tmp_path / "page.html"
    assert _compare(one, "--html", str(page)).exit_code == 2
    done = _compare(one, "vs", other, "--html", str(page))
    assert done.exit_code == 0, done.output
    assert "has no lines" in page.read_text()
    assert _compare(one, "vs", other, "--html", str(tmp_path / "no" / "x")).exit_code == 2
    own = tmp_path / "b" / "report.html"
    refused = _compare(one, "vs", other, "--html", str(own))
    assert refused.exit_code == 2
    assert f"--html: {own}: is a file of a run" in refused.output
    assert not own.exists()


def test_a_run_whose_evidence_is_gone_is_said_to_lack_it(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name / "hosts").mkdir(parents=True)
        (tmp_path / name / "summary.json").write_text(json.dumps(_summary(1.0)))
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "new" / "hosts").rmdir()
    sides = [str(tmp_path / "old"), "vs", str(tmp_path / "new")]
    told = json.loads(_compare(*sides, "--format", "json").stdout)["warnings"]
    [lacking] = [one for one in told if "lacks" in one]
    assert lacking.startswith(f"{tmp_path / 'new'}: lacks hosts: its verdict cannot be checked")


def test_a_run_with_a_stall_is_said_to_have_one(tmp_path: Path) -> None:
    def event(kind: str, begin_s: float) -> dict[str, Any]:
        return {"kind": kind, "begin_s": begin_s, "end_s": None, "sentence": f"it was {kind}"}

    events = [
        *(event("agent_restarted", 8.1), event("nats_silent", 3.0), event("nats_silent", 9.0)),
        *(event("fault", 8.0), {"at_s": 1.0, "sentence": "of an old version"}),
    ]
    old, new = tmp_path / "old", tmp_path / "new"
    # Files that somebody changed are compared as far as they go.
    for directory, found in ((old, ["no event"]), (new, events)):
        (directory / "hosts").mkdir(parents=True)
        content = _summary(1.0) | {"events": found}
        (directory / "summary.json").write_text(json.dumps(content))
        (directory / "run.json").write_text("{}")
    told = json.loads(_compare(str(old), "vs", str(new), "--format", "json").stdout)["warnings"]
    assert [one for one in told if "manifest" not in one] == [
        f"{new}: agent_restarted at 8.1 s: it was agent_restarted",
        f"{new}: nats_silent at 3.0 s: it was nats_silent (and 1 more of this kind)",
    ]


def test_a_ratio_of_what_is_at_least_so_much_is_not_known() -> None:
    leg = {"p99": 10.0, "clock_error_ms": 0.0, "at_least": {"p99": None}}
    bound = [_summary(10.0) | {"latency_ms": {"publish_ack": leg}}]
    [row] = [r for r in comparison.compare(bound, [_summary(20.0)]).rows if r.figure == P99]
    assert row.ratio is None
    assert comparison_text.ratio(row) == ""
    [row] = [r for r in comparison.compare([_summary(20.0)], bound).rows if r.figure == P99]
    assert comparison_text.ratio(row).startswith("≥")


def test_columns_without_anything_take_no_room() -> None:
    caution = comparison_text.Caution()
    few = comparison.compare([_summary(1.0)], [_summary(2.0)])
    text = comparison_text.compared(few, caution, "text", everything=True)
    assert "noise floor" not in text
    assert "B/A" in text
