"""What is open, missing or out of range is in whatever shows a run's figures."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.common_time import NS_PER_S
from fpaas.latency import lower_bounds
from fpaas.latency.leg_kinds import LEGS
from fpaas.measures import first_fetch
from fpaas.measures.first_fetch import NEVER
from fpaas.probe import seal
from fpaas.report import figure_files, page
from fpaas.report.goals_table import goal_rows
from fpaas.report.latency_table import latency_rows
from fpaas.report.tables import fidelity_rows
from fpaas.summary import summary
from fpaas.text import leg_words, summary_text
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun
from tests.support.report_page import Page

OPEN = 300
OPEN_AGE_MS = 6_000.0


def write(directory: Path, *, open_count: int = OPEN) -> Bundle:
    """Write a run by the new rule, the shuffler of which ended with publishes open."""
    run = RawRun()
    run.write(directory, sealed=False)
    run.file_by_beginning()
    path = run.directory / "shuffler.samples.jsonl"
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    for sample in samples:
        second = (sample["unix_ns"] - T0_UNIX_NS) // NS_PER_S
        begun = 100 * (0 <= second < 35) + open_count * (second == 34)
        open_now = [[34.0, open_count, OPEN_AGE_MS]] if open_count and second >= 34 else []
        sample["calls"] = {"publish_ack": {"begun": [[second, begun]], "open": open_now}}
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    seal.seal(run.directory, HOST)
    return load_bundle(directory)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write(tmp_path_factory.mktemp("open") / "run")


@pytest.fixture(scope="module")
def content(bundle: Bundle) -> dict[str, Any]:
    return summary.analyse(bundle)


def rows(bundle: Bundle, content: dict[str, Any], name: str) -> list[dict[str, str]]:
    files = figure_files.of_run(bundle, content, content["window"]["from_s"])
    return list(csv.DictReader(io.StringIO(files[name])))


def test_the_summary_counts_what_is_open(content: dict[str, Any]) -> None:
    leg = content["latency_ms"]["publish_ack"]
    assert (leg["count"], leg["open_count"], leg["due_count"]) == (3000, OPEN, 3300)
    assert leg["missing_count"] == 0
    assert leg["open_min_ms"] == pytest.approx(OPEN_AGE_MS, rel=0.001)
    assert set(leg["at_least"]) == {"p99", "p999", "max"}


def test_the_screen_and_the_table_mark_lower_bounds(content: dict[str, Any]) -> None:
    (line,) = (one for one in summary_text.lines(content, "title") if "publish to ack  " in one)
    assert line.count(lower_bounds.MARK) == 3
    (row,) = (one for one in latency_rows(content) if one["name"] == "publish_ack")
    assert [value.startswith(lower_bounds.MARK) for value in row["values"]] == [False] * 3 + [
        True
    ] * 3
    assert (row["due_count"], row["open_count"]) == ("3,300", "300")
    assert len(row["remarks"]) == 1


def test_the_page_draws_what_is_open(bundle: Bundle, content: dict[str, Any]) -> None:
    parsed = Page(page.render(bundle, content))
    drawn = parsed.figures["percentiles-in"]["data"]
    assert {one["name"] for one in drawn if one["line"].get("dash") == "dash"} == {"publish_ack"}
    (publishes,) = parsed.figures["calls-open"]["data"]
    assert (publishes["name"], publishes["x"][-1], publishes["y"][-1]) == ("publishes", 40, OPEN)
    assert leg_words.BY_END not in parsed.words


def test_the_csv_files_say_what_is_at_least(bundle: Bundle, content: dict[str, Any]) -> None:
    of_leg = [r for r in rows(bundle, content, "percentiles.csv") if r["leg"] == "publish_ack"]
    # 3000 of 3300 were answered.
    assert {r["at_least"] for r in of_leg if float(r["percentile"]) < 90.9} == {"0"}
    assert {r["at_least"] for r in of_leg if float(r["percentile"]) > 91} == {"1"}
    assert {r["highest_ms"] for r in of_leg} == {""}
    legs = {row["leg"]: row for row in rows(bundle, content, "legs.csv")}
    assert legs.keys() == LEGS.keys()
    assert legs["publish_ack"]["open_count"] == str(OPEN)
    assert float(legs["publish_ack"]["open_min_ms"]) == pytest.approx(OPEN_AGE_MS, rel=0.001)
    of_series = [r for r in rows(bundle, content, "series.csv") if r["series"] == "calls_open"]
    assert max(float(row["value"]) for row in of_series) == OPEN


def test_a_goal_on_a_lower_bound_is_marked(content: dict[str, Any]) -> None:
    goal = {
        "meaning": "m",
        "unit": "ms",
        "comparison": "at most",
        "limit": 1,
        "status": "missed",
        "why": [],
    }
    names = ("publish_ack_p99_ms_max", "publish_ack_p50_ms_max", "fetch_call_p99_ms_max")
    judged = content | {"goals": [goal | {"name": name, "measured": 9.0} for name in names]}
    marked = [row["measured"].startswith(lower_bounds.MARK) for row in goal_rows(judged)]
    assert marked == [True, False, False]
    shown = [line for line in summary_text.lines(judged, "") if line.endswith("  missed")]
    assert [lower_bounds.MARK in line for line in shown] == marked


def test_fidelity_is_marked_too(content: dict[str, Any]) -> None:
    late: dict[str, Any] = {"p50": 1.0, "p99": 5.0, "max": 9.0, "open_count": 2, "open_min_ms": 5.0}
    late["at_least"] = {"p99": None, "max": None}
    found = fidelity_rows(content | {"fidelity": {"relay_lateness_own_ms": late}})
    assert found["relay lateness, own, p50"] == "1 ms"
    assert found["relay lateness, own, p99"].startswith(lower_bounds.MARK)
    assert found["relay lateness, own, open"]


def test_a_leg_of_open_calls_only_is_shown() -> None:
    leg: dict[str, Any] = {"count": 0, "open_count": 3, "open_min_ms": 5.0, "clock_error_ms": 0.0}
    leg |= dict.fromkeys(("p50", "p99", "max"), 5.0) | {"at_least": {"p50": None}}
    (row,) = (r for r in latency_rows({"latency_ms": {"fetch_call": leg}}) if r["open_count"])
    assert row["is_measured"]
    assert row["values"][1] == f"{lower_bounds.MARK}5"


def test_out_of_range_samples_are_shown(bundle: Bundle, content: dict[str, Any]) -> None:
    legs = content["latency_ms"]
    one = legs | {"fetch_call": legs["fetch_call"] | {"out_of_range_count": 7}}
    odd = content | {"latency_ms": one}
    assert any("7 samples" in line for line in summary_text.lines(odd, "title"))
    assert any("7 samples" in r for row in latency_rows(odd) for r in row["remarks"])
    assert "more than an hour: fetch_call 7" in Page(page.render(bundle, odd)).words
    of_leg = {row["leg"]: row for row in rows(bundle, odd, "legs.csv")}
    assert of_leg["fetch_call"]["out_of_range_count"] == "7"


def test_older_runs_say_what_they_leave_out(tmp_path: Path) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    content = summary.analyse(bundle)
    assert leg_words.is_by_end(content)
    assert leg_words.BY_END in Page(page.render(bundle, content)).words
    shown = " ".join(line.strip() for line in summary_text.lines(content, "title"))
    assert leg_words.BY_END in " ".join(shown.split())


def test_ages_say_how_many_they_leave_out(tmp_path: Path) -> None:
    """Against arithmetic on what the simulated run stored, and its workers fetched."""
    run = RawRun()
    bundle = load_bundle(run.write(tmp_path / "run"))
    legs = summary.analyse(bundle)["latency_ms"]

    ((_, worker),) = bundle.workers
    (kept,) = worker.first_fetches
    assert kept is not None
    earliest = first_fetch.earliest_units([first_fetch.corrected(kept, 0)])
    earliest += [NEVER] * (len(run.stored_ns) - len(earliest))
    taken = list(zip(run.stored_ns, earliest, strict=True))
    never = [at for at, units in taken if units == NEVER]
    fetched_at = [at + units * first_fetch.UNIT_NS for at, units in taken if units != NEVER]
    of_first = legs["publish_to_first_fetch"]
    assert of_first["assigned_by"] == "first fetch"
    # Nothing is stored after the window: all that was stored by then was fetched, or never was.
    assert of_first["missing_count"] == len(never) == len(run.stored_ns) - len(fetched_at) > 0
    youngest_ms = (run.spec.end_unix_ns - max(never)) / 1e6
    assert of_first["missing_min_ms"] == pytest.approx(youngest_ms, abs=20)
    from_ns, until_ns = run.spec.measure_from_unix_ns, run.spec.offer_until_unix_ns
    in_window = sum(from_ns <= at < until_ns for at in fetched_at)
    assert of_first["count"] == pytest.approx(in_window, abs=2)

    owed = len(run.stored_ns) * run.spec.consumers.count
    for name in ("publish_to_fetch", "end_to_end"):
        assert legs[name]["assigned_by"] == "received"
        assert legs[name]["missing_count"] == owed - run.truth.delivered > 0
        # The last messages are stored when draining begins, and no consumer gets so far.
        assert legs[name]["missing_min_ms"] == pytest.approx(
            (run.spec.end_unix_ns - run.stored_ns[-1]) / 1e6, abs=20
        )


NEW_LEG = """
import json, sys
from pathlib import Path
from fpaas.latency import leg_kinds
leg_kinds.LEGS["new_leg"] = leg_kinds.LegKind(
    "shuffler", "new_leg_recorded", "a new leg", "from here → to there",
    leg_kinds.SENT, leg_kinds.OWN_CLOCK, is_headline=True,
)
from fpaas.report import figure_files, page
from fpaas.report.latency_table import latency_rows
from fpaas.summary import comparison
from fpaas.summary import summary
from fpaas.text import summary_text
from fpaas.verdict import goals
from fpaas.verdict.measured import Measured
from fpaas.bundle.loader import load_bundle
from fpaas.sweep import sweep_figures
from tests.support.raw_run import RawRun

class Run(RawRun):
    def _histograms(self, name, samples):
        if name == "shuffler.hlog":
            samples = samples | {"new_leg_recorded": {second: [7_000_000] for second in range(40)}}
        super()._histograms(name, samples)

bundle = load_bundle(Run().write(Path(sys.argv[1])))
content = summary.analyse(bundle)
csv = figure_files.of_run(bundle, content, 5.0)
goal = goals.figure_of("new_leg_p99_ms_max")
compared = comparison.compare([content], [content])
measured = Measured(bundle.spec, content, None)
print(json.dumps({
    "summary": content["latency_ms"]["new_leg"]["count"],
    "text": any("a new leg" in line for line in summary_text.lines(content, "")),
    "table": [row["count"] for row in latency_rows(content) if row["name"] == "new_leg"],
    "page": "from here → to there" in page.render(bundle, content),
    "csv": [name for name, text in csv.items() if "\\nnew_leg," in text],
    "compare": [row.figure for row in compared.rows if ".new_leg." in row.figure],
    "goal": goal.measure(measured),
    "sweep": [one.name for one in sweep_figures.FIGURES if one.name.startswith("new_leg")],
}))
"""


def test_a_new_leg_is_one_entry_in_the_registry(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NEW_LEG, str(tmp_path / "run")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "summary": 30,
        "text": True,
        "table": ["30"],
        "page": True,
        "csv": ["legs.csv", "percentiles.csv"],
        "compare": ["latency_ms.new_leg.p50", "latency_ms.new_leg.p99"],
        "goal": pytest.approx(7.0, rel=0.001),
        "sweep": ["new_leg_p50_ms", "new_leg_p99_ms"],
    }
