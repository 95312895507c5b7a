"""A directory of the control node is none that something else stands in the way of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.control.own_places import NAMES, refusals


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("below", ["", "below/it"])
def test_a_file_in_the_way_is_named(tmp_path: Path, name: str, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    place = str(file / below) if below else str(file)
    assert refusals({name: place}) == {
        name: f"{name}: {place} cannot be a directory: {file} is none; "
        "give a directory, or a place for one"
    }


def test_the_labs_own_directory_is_judged_only_where_it_is_here(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert refusals({"lab_dir": str(file)}) == {}
    assert list(refusals({"lab_dir": str(file)}, is_here=True)) == ["lab_dir"]


@pytest.mark.parametrize("below", ["", "new", "new/er"])
def test_directories_that_are_there_or_can_be_made_are_taken(tmp_path: Path, below: str) -> None:
    assert refusals({"results_dir": str(tmp_path / below)}) == {}


@pytest.mark.parametrize("value", [None, 5, "relative", "/{{ lab_name }}"])
def test_what_is_no_path_yet_is_not_judged(value: object) -> None:
    assert refusals({"results_dir": value}) == {}
