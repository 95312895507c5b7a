"""Figures of summary.json by their path: reports of older versions, too, whatever they lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def pick(content: Any, *keys: str) -> Any:  # noqa: ANN401
    """Follow keys into nested objects; None if one is missing."""
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
