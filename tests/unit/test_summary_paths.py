"""Figures that others look up in a summary by path are figures that a summary has."""

from __future__ import annotations

import re

import pytest

from fpaas.records import paths
from fpaas.records.summary import Summary
from fpaas.results import entry
from fpaas.summary import comparison
from fpaas.sweep import sweep_figures
from tests.support.checkout import CHECKOUT

PATHS = [
    *comparison.FIGURES,
    *(path for figure in sweep_figures.FIGURES for path in figure.paths),
    *(figure.path for figure in entry.KEY_FIGURES),
]
#: `pick(summary, "ledger", "owed")`, as reports and goals say it.
PICKED = re.compile(r'pick\((?:summary, )?((?:"[a-z0-9_]+"(?:, )?)+)\)')


@pytest.mark.parametrize("path", PATHS)
def test_a_registered_path_is_in_the_type(path: str) -> None:
    assert paths.is_of(Summary, path.split("."))


@pytest.mark.parametrize("folder", ["verdict", "report", "text"])
def test_whatever_is_picked_is_in_the_type(folder: str) -> None:
    found = [
        re.findall(r"[a-z0-9_]+", keys)
        for path in sorted((CHECKOUT / "agents/fpaas" / folder).glob("*.py"))
        for keys in PICKED.findall(path.read_text())
        if "summary" in path.read_text()
    ]
    wrong = [
        keys
        for keys in found
        if keys[0] in Summary.__struct_fields__ and not paths.is_of(Summary, keys)
    ]
    assert wrong == []


def test_a_misspelt_path_is_in_no_type() -> None:
    for path in ("ledger.ofered", "latency_ms.any.p98", "throughput.offered_per_s.p50", "clocks"):
        assert not paths.is_of(Summary, path.split("."))
    for path in ("plan.any", "clock.any.steps", "goals", "message_bytes_by_kind.any.mean"):
        assert paths.is_of(Summary, path.split("."))


def test_paths_are_followed_as_far_as_there_is_something() -> None:
    content = {"a": {"b": 1}, "c": None}
    assert paths.pick(content, "a", "b") == 1
    assert paths.pick(content, "a", "b", "c") is None
    assert paths.pick(content, "c", "d") is None
    assert paths.at(content, "a.b") == ({"b": 1}, 1)
    assert paths.at(content, "x.y") == (None, None)
