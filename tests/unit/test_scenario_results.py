"""The page of measured scenarios is what their runs measured."""

from __future__ import annotations

import json

from tools import scenario_results


def test_the_page_is_as_the_runs_are() -> None:
    assert scenario_results.PAGE.read_text() == scenario_results.page()


def test_the_runs_that_are_published_are_valid() -> None:
    for path in scenario_results.SUMMARIES.glob("scenario-*.json"):
        summary = json.loads(path.read_text())
        assert summary["verdict"]["status"] == "pass", path.name
        assert summary["ledger"]["unexplained"] == 0, path.name
