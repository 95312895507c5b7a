"""A run's figures as CSV, read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.records.events import AGENT_PAUSED, READER_BLOCKED, EventLog
from fpaas.report import figure_files
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from tests.support.raw_run import HOST, RawRun

Table = list[dict[str, str]]


def tables(bundle: Bundle) -> dict[str, Table]:
    content = summary.analyse(bundle)
    files = figure_files.of_run(bundle, content, content["window"]["from_s"])
    assert files.keys() == figure_files.FILES.keys()
    return {name: list(csv.DictReader(io.StringIO(text))) for name, text in files.items()}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return tables(load_bundle(RawRun().write(tmp_path_factory.mktemp("csv") / "run")))


def test_every_figure_is_there_by_its_path(full: dict[str, Table]) -> None:
    figures = {row["figure"]: row["value"] for row in full["summary.csv"]}
    assert figures["ledger.offered"] == "3500"
    assert float(figures["latency_ms.fetch_call.p99"]) > 0
    assert f"resources.hosts.{HOST}.cpu_pct" in figures


def test_the_ledger_adds_up(full: dict[str, Table]) -> None:
    counts = {row["term"]: int(row["count"]) for row in full["ledger.csv"] if not row["cause"]}
    terms = ("delivered", "expired_unread", "pending_at_end", "lost")
    assert counts["owed"] == sum(counts[term] for term in terms) == 35_000


def test_percentiles_are_of_each_leg_and_say_what_clocks_can_tell(full: dict[str, Table]) -> None:
    legs = {row["leg"] for row in full["percentiles.csv"]}
    assert {"publish_ack", "publish_to_first_fetch", "end_to_end", "fetch_call"} <= legs
    of_fetch = [row for row in full["percentiles.csv"] if row["leg"] == "publish_to_fetch"]
    assert {row["clock_error_ms"] for row in of_fetch} != {"0.0"}
    assert {row["resolvable"] for row in of_fetch} <= {"0", "1"}


def test_series_have_a_line_a_second(full: dict[str, Table]) -> None:
    offered = [
        float(row["value"])
        for row in full["series.csv"]
        if (row["series"], row["of"]) == ("messages_per_s", "offered")
    ]
    assert len(offered) == 40
    assert sum(offered) == pytest.approx(3500, abs=100)
    kinds = {row["series"] for row in full["series.csv"]}
    assert {"process_cpu_pct", "host_cpu_pct", "host_traffic_mbit_per_s", "stream_bytes"} <= kinds


def test_goals_and_statuses(full: dict[str, Table]) -> None:
    assert all(row["status"] == "met" for row in full["goals.csv"])
    assert {row["status"] for row in full["statuses.csv"]} >= {"ok", "empty", "client_timeout"}
    assert full["events.csv"] == []


def test_events_have_begin_and_end(tmp_path: Path) -> None:
    directory = RawRun().write(tmp_path / "run", sealed=False)
    t0 = RawRun().spec.t0_unix_ns
    with EventLog(directory / "hosts" / HOST / "relay.events.jsonl") as log:
        log.begin(AGENT_PAUSED, t0 + 10 * NS_PER_S, {}, end_unix_ns=t0 + 12 * NS_PER_S)
        log.begin(READER_BLOCKED, t0 + 20 * NS_PER_S, {"reader": "a:1"})
    rows = tables(load_bundle(directory))["events.csv"]
    assert [(row["kind"], row["begin_s"], row["end_s"]) for row in rows] == [
        (AGENT_PAUSED, "10.0", "12.0"),
        (READER_BLOCKED, "20.0", ""),
    ]
    assert {row["host"] for row in rows} == {HOST}


def test_what_was_not_measured_is_an_empty_cell(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RawRun().spec.to_json())
    found = tables(load_bundle(tmp_path))
    assert found["series.csv"] == found["percentiles.csv"] == []
    ledger = {row["term"]: row["count"] for row in found["ledger.csv"]}
    assert ledger["offered"] == ""
    assert {row["status"] for row in found["goals.csv"]} == {"not measured"}
