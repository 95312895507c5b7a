"""Several small files are put in place at once, and only if they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.plugin_modules import load

action = load("action/place_files.py")
MODULE = CHECKOUT / "plugins/modules/place_files.py"
FILES = {"secret": "é\n", "plain": "no newline at its end"}


def place(directory: Path, **options: str | bool) -> list[str]:
    """Play the module as Ansible does on a host; names of files that it changed."""
    wanted = {"directory": str(directory), "files": FILES, "mode": "0640"}
    call = {"ANSIBLE_MODULE_ARGS": wanted | options}
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps(call),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, result
    assert result["changed"] == bool(result["names"])
    names: list[str] = result["names"]
    return sorted(names)


def test_files_are_placed_once(tmp_path: Path) -> None:
    assert place(tmp_path) == ["plain", "secret"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == FILES
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    assert place(tmp_path) == []


def test_what_differs_is_mended(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "plain").chmod(0o666)
    assert place(tmp_path) == ["plain"]
    (tmp_path / "secret").write_text("changed")
    assert place(tmp_path) == ["secret"]
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "secret").read_text() == FILES["secret"]


def test_check_mode_tells_and_changes_nothing(tmp_path: Path) -> None:
    assert place(tmp_path, _ansible_check_mode=True) == ["plain", "secret"]
    assert list(tmp_path.iterdir()) == []
    # Whom a converge would make is not there yet.
    there = tmp_path / "secret"
    there.write_text("old")
    assert "secret" in place(tmp_path, _ansible_check_mode=True, owner="nobody-yet")
    assert there.read_text() == "old"


def finds_all_in_place(directory: Path, **options: str) -> bool:
    """Ask as the action does, which then leaves the module out."""
    wanted = {"directory": str(directory), "files": FILES, "mode": "0640"}
    arguments = {"owner": None, "group": None, **wanted, **options}
    asked = ["sh", "-c", action.question(arguments)]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return said.returncode == 0 and said.stdout.split() == action.answer(arguments)


def test_the_module_is_left_out_where_all_is_in_place(tmp_path: Path) -> None:
    directory = tmp_path / "a dir's"
    directory.mkdir()
    assert not finds_all_in_place(directory)
    place(directory)
    assert finds_all_in_place(directory)
    path = directory / "secret"
    assert finds_all_in_place(directory, owner=path.owner(), group=path.group())
    assert not finds_all_in_place(directory, owner="nobody-yet")
    assert not finds_all_in_place(directory, group="nobody-yet")


@pytest.mark.parametrize("damage", ["mode", "content", "missing", "a directory"])
def test_whatever_differs_is_the_modules(tmp_path: Path, damage: str) -> None:
    place(tmp_path)
    path = tmp_path / "plain"
    if damage == "mode":
        path.chmod(0o644)
    elif damage == "content":
        path.write_text(FILES["plain"] + "\n")
    else:
        path.unlink()
    if damage == "a directory":
        path.mkdir(mode=0o640)
    assert not finds_all_in_place(tmp_path)
