"""The dashboards' files: made from their source, and such as Grafana takes."""

from __future__ import annotations

import json
import re

import pytest
from tools.dashboards.__main__ import DIRECTORY
from tools.dashboards.boards import ALL
from tools.dashboards.panels import Board, expressions, to_json

each_board = pytest.mark.parametrize("board", ALL, ids=lambda board: str(board.uid))


def test_files_are_those_of_the_source() -> None:
    made = {f"{board.uid}.json": to_json(board) for board in ALL}
    there = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()}
    assert there == made, "make dashboards"


@each_board
def test_a_board_has_its_variables_and_annotations(board: Board) -> None:
    content = json.loads(to_json(board))
    assert [one["name"] for one in content["templating"]["list"]] == [
        "datasource",
        "run_id",
        "host",
    ]
    assert [one["useValueForTime"] for one in content["annotations"]["list"]] == [True, True]
    numbers = [one["id"] for one in content["panels"] if one["type"] != "row"]
    assert len(numbers) == len(set(numbers))


@each_board
def test_whatever_a_panel_asks_is_of_the_run(board: Board) -> None:
    for name, expression in expressions(to_json(board)).items():
        assert 'run_id="$run_id"' in expression, name
        assert set(re.findall(r"\$\w+", expression)) <= {"$run_id", "$host", "$__rate_interval"}


@each_board
def test_panels_lie_beside_each_other(board: Board) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(to_json(board))["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
