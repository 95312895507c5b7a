"""ARCHITECTURE.md has every module, in the entry of its folder, and the floors as they are held."""

from __future__ import annotations

import ast
import itertools
import re
import tomllib

import pytest

from tests.support.checkout import CHECKOUT

PACKAGE = CHECKOUT / "agents" / "fpaas"
TEXT = (CHECKOUT / "ARCHITECTURE.md").read_text()
#: Of these, the names of commands and of kinds of files say enough.
NOT_LISTED = {"commands", "records"}
FOLDERS = sorted(
    one.name for one in PACKAGE.iterdir() if (one / "__init__.py").exists() and one.is_dir()
)


def entries() -> dict[str, str]:
    """Return the list's text by folder; modules of the package itself are entries, too."""
    [listed] = re.findall(r"Module list: begin -->(.*)<!-- Module list: end", TEXT, re.DOTALL)
    found: dict[str, str] = {}
    for heads, text in re.findall(r"^    (\S.*?)   +(\S.*(?:\n {23}.*)*)", listed, re.MULTILINE):
        for head in heads.split():
            found[head.rstrip("/").removesuffix(".py")] = text
    return found


@pytest.mark.parametrize("folder", sorted(set(FOLDERS) - NOT_LISTED))
def test_every_module_is_in_the_entry_of_its_folder(folder: str) -> None:
    words = set(re.findall(r"\w+", entries()[folder]))
    groups = set(re.findall(r"\*(_\w+)", entries()[folder]))
    modules = {path.stem for path in (PACKAGE / folder).glob("*.py")} - {"__init__"}
    missing = {one for one in modules - words if not any(one.endswith(end) for end in groups)}
    assert missing == set()


#: Whoever imports one of these, or calls what is called like one of those, does I/O.
IO_MODULES = {"asyncio", "nats", "psutil", "select", "shutil", "socket", "subprocess", "tempfile"}
IO_CALLS = {
    *("exists", "glob", "is_dir", "is_file", "iterdir", "mkdir", "stat", "unlink"),
    *("read_bytes", "read_text", "write_bytes", "write_text"),
    *("monotonic", "monotonic_ns", "now_ns", "now_s", "process_time", "sleep", "time", "time_ns"),
}


def io_of(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & IO_MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").split(".")[0]} & IO_MODULES
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            found |= {called} & IO_CALLS
            # Others open things, too, but with no mode and no encoding.
            written = [*node.args, *(keyword.value for keyword in node.keywords)]
            if called == "open" and any(isinstance(one, ast.Constant) for one in written):
                found.add(called)
    return found


@pytest.mark.parametrize("folder", sorted(set(FOLDERS) - NOT_LISTED))
def test_only_modules_behind_the_bar_do_io(folder: str) -> None:
    without_remarks = re.sub(r"\([^)]*\)", "", entries()[folder])
    _, _, behind = without_remarks.partition("|")
    doing_io = {
        path.stem for path in (PACKAGE / folder).glob("*.py") if io_of(path.read_text()) != set()
    }
    assert doing_io <= set(re.findall(r"\w+", behind))


def test_folders_and_modules_of_the_package_are_there_and_no_others() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert set(entries()) == set(FOLDERS) | modules


def test_the_floors_are_those_that_imports_are_held_to() -> None:
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    held = [re.findall(r"\w+", layer) for layer in contracts["contracts"][0]["layers"]]
    order = {name: floor for floor, names in enumerate(held) for name in names}
    floors = [line.split(", ") for line in re.findall(r"<b>(.*?)</b>", TEXT)]
    for upper, lower in itertools.pairwise(floors):
        assert max(order[name] for name in upper) < min(order[name] for name in lower)
    assert {name for floor in floors for name in floor} == set(order)
