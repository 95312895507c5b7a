"""A report names every way in which a pull can end, each with its share of all pulls."""

from __future__ import annotations

import json

import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.bundle.parts import JsonObject
from fpaas.records.consumers import PULL_ENDS, Fetches
from fpaas.report import figure_files, tables
from fpaas.summary import summary
from tests.support.raw_run import HOST, RawRun

ENDS = {"ok": 50, "empty": 20, "refused": 12, "client_timeout": 8, "lost": 7, "unanswered": 3}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    run = RawRun().write(tmp_path_factory.mktemp("pulls") / "run", sealed=False)
    path = run / "hosts" / HOST / "consumers-0.json"
    content = json.loads(path.read_text())
    content["fetches"] |= ENDS | {"pulls": 100, "unsent": 4, "by_status": {"503": 12}}
    path.write_text(json.dumps(content))
    return load_bundle(run)


@pytest.fixture(scope="module")
def figures(bundle: Bundle) -> JsonObject:
    return summary.analyse(bundle)


def test_every_end_is_shown_with_its_share_of_all_pulls(figures: JsonObject) -> None:
    *ends, _status = tables.fetch_rows(figures)
    shown = {row["name"].replace(" ", "_"): (row["count"], row["share"]) for row in ends}
    assert shown == {name: (str(count), f"{count}.0 %") for name, count in ENDS.items()}


def test_every_end_is_in_the_csv_file(bundle: Bundle, figures: JsonObject) -> None:
    written = figure_files.of_run(bundle, figures, figures["window"]["from_s"])["statuses.csv"]
    rows = dict(line.split(",") for line in written.splitlines()[1:])
    assert rows == {name: str(count) for name, count in (ENDS | rest()).items()}


def rest() -> dict[str, int]:
    return {"pulls": 100, "unsent": 4, "503": 12}


def test_no_end_is_forgotten() -> None:
    counts = set(Fetches.__struct_fields__) - {"pulls", "unsent", "by_status"}
    assert set(PULL_ENDS) == counts == set(tables.PULL_END_MEANINGS)


def test_a_share_of_pulls_that_were_not_counted_is_left_out(figures: JsonObject) -> None:
    unknown = figures | {"fetches": dict.fromkeys(figures["fetches"])}
    assert {row["share"] for row in tables.fetch_rows(unknown)} == {""}
