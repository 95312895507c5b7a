"""A directory of the control node is none that something else stands in the way of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.control.own_places import NAMES, OF_LABS, refusals


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


@pytest.mark.parametrize("name", ["lab_dir", "lab_install_dir", "lab_control_dir"])
@pytest.mark.parametrize(
    "path", ["/", "/opt", "/srv/", "/srv/x/..", "/var/lib", "/usr/local", "/home/me", "/root", "~"]
)
def test_teardown_is_told_to_remove_nothing_of_others(name: str, path: str) -> None:
    assert refusals({name: path}) == {
        name: f"{name}: {path} is not allowed: it has other files than the lab's, "
        "which teardown would remove"
    }


@pytest.mark.parametrize("path", ["/opt/fpaas", "/srv/fpaas", "~/lab", "/root/lab", "/{{ x }}"])
def test_directories_of_its_own_are_the_labs(path: str) -> None:
    assert refusals({"lab_dir": path, "lab_install_dir": path}) == {}


@pytest.mark.parametrize("mark", OF_LABS)
def test_a_directory_of_this_machine_with_others_files_is_no_labs(
    tmp_path: Path, mark: str
) -> None:
    settings = {"lab_dir": str(tmp_path)}
    assert refusals(settings, is_here=True) == {}
    for name in ("control", "ssh"):
        (tmp_path / name).mkdir()
    assert refusals(settings, is_here=True) == {}
    (tmp_path / "thesis.tex").touch()
    assert refusals(settings) == {}
    assert "it has thesis.tex and is no lab's" in refusals(settings, is_here=True)["lab_dir"]
    (tmp_path / mark).mkdir()
    assert refusals(settings, is_here=True) == {}


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "a/b", "-x"])
def test_a_labs_name_is_no_other_directory(name: str) -> None:
    assert "is not allowed; allowed: letters" in refusals({"lab_name": name})["lab_name"]
    assert refusals({"lab_name": "my-lab_2.x"}) == refusals({"lab_name": "{{ x }}"}) == {}
