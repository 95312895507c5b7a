"""Figures that others look up in a summary by path are figures that a summary has."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable
from typing import Any, get_args, get_origin

import msgspec
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


def is_of(kind: Any, keys: Iterable[str]) -> bool:  # noqa: ANN401
    """Whether a record can have something at a path; in a mapping, any key can be there."""
    kinds = [kind]
    for key in keys:
        kinds = [inner for one in kinds for inner in _inside(one, key)]
    return bool(kinds)


def _inside(kind: Any, key: str) -> list[Any]:  # noqa: ANN401
    """Return what can be under a key of a type, its alternatives apart."""
    origin = get_origin(kind)
    if origin is typing.Annotated:
        return _inside(get_args(kind)[0], key)
    if origin in (typing.Union, types.UnionType):
        return [inner for one in get_args(kind) for inner in _inside(one, key)]
    if origin is dict:
        return [get_args(kind)[1]]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return [hints[key]] if key in hints else []
    return []


@pytest.mark.parametrize("path", PATHS)
def test_a_registered_path_is_in_the_type(path: str) -> None:
    assert is_of(Summary, path.split("."))


@pytest.mark.parametrize("folder", ["verdict", "report", "text"])
def test_whatever_is_picked_is_in_the_type(folder: str) -> None:
    found = [
        re.findall(r"[a-z0-9_]+", keys)
        for path in sorted((CHECKOUT / "agents/fpaas" / folder).glob("*.py"))
        for keys in PICKED.findall(path.read_text())
        if "summary" in path.read_text()
    ]
    wrong = [
        keys for keys in found if keys[0] in Summary.__struct_fields__ and not is_of(Summary, keys)
    ]
    assert wrong == []


def test_a_misspelt_path_is_in_no_type() -> None:
    for path in ("ledger.ofered", "latency_ms.any.p98", "throughput.offered_per_s.p50", "clocks"):
        assert not is_of(Summary, path.split("."))
    for path in ("plan.any", "clock.any.steps", "goals", "message_bytes_by_kind.any.mean"):
        assert is_of(Summary, path.split("."))


def test_paths_are_followed_as_far_as_there_is_something() -> None:
    content = {"a": {"b": 1}, "c": None}
    assert paths.pick(content, "a", "b") == 1
    assert paths.pick(content, "a", "b", "c") is None
    assert paths.pick(content, "c", "d") is None
    assert paths.at(content, "a.b") == ({"b": 1}, 1)
    assert paths.at(content, "x.y") == (None, None)
