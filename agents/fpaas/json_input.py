"""JSON from outside, read so that whatever is wrong with it is a ValueError.

Python's reader raises RecursionError if the nesting is very deep, and takes NaN, Infinity,
numbers that are infinite as floats and halves of characters; code that goes on with those fails
later, in any way.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from fpaas import regular

#: No document of ours, and none that NATS sends, comes near.
DEPTH_MAX = 100
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str | bytes) -> Any:  # noqa: ANN401
    """Decode a JSON document. Raises ValueError that says what is wrong."""
    try:
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEPTH_MAX} deep") from None
    level = [content]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            break
    else:
        raise ValueError(f"it is nested more than {DEPTH_MAX} deep")
    if _HALF_CHARACTER.search(text if isinstance(text, str) else text.decode("latin-1")):
        # Two halves are a whole one.
        json.dumps(content, ensure_ascii=False).encode()
    return content


def object_of(text: str | bytes, source: str) -> dict[str, Any]:
    """Decode a JSON object. Raises ValueError that names the source and what is wrong."""
    try:
        content = loads(text)
    except ValueError as error:
        raise ValueError(f"{source}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{source}: is not a JSON object")  # noqa: TRY004  of the text, not ours
    return content


def read_part(path: Path, expected: str) -> dict[str, Any]:
    """Read a JSON object of a directory that is to be `expected`, and has regular files only.

    Raises ValueError that names the file and what was expected.
    """
    try:
        regular.check(path)
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read: {error.strerror}; expected {expected}"
        ) from error
    return read_object(path)


def read_object(path: Path) -> dict[str, Any]:
    """Read what has a JSON object: a file, or a pipe. Raises ValueError that names it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not JSON: {error}") from error
    return object_of(text, str(path))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits:.20} is too large a number")
    return number
