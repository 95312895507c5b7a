"""Figures of summary.json by their path: reports of older versions, too, whatever they lack."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

import msgspec


def pick(content: Any, *keys: str) -> Any:  # noqa: ANN401
    """Follow keys into nested objects; None where one is missing."""
    for key in keys:
        if not isinstance(content, Mapping):
            return None
        content = content.get(key)
    return content


def at(content: Any, path: str) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the object that a dotted path ends in, and what is there; None each if missing."""
    *parents, name = path.split(".")
    holder = pick(content, *parents)
    return holder, pick(holder, name)


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
