"""Writes docs/bundle-fields.md from the records' types: `python -m tools.bundle_fields`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fpaas.records import schemas

PAGE = Path(__file__).resolve().parents[1] / "docs" / "bundle-fields.md"
HEAD = """# Fields of a bundle's files

<!-- Made by `make readmes` from agents/fpaas/records; a test holds them in step. -->

Every field that is in a bundle, by file. [Files of a bundle](bundle-files.md) says what the files
are for; `fpaas schema <name>` prints JSON Schema. For a `.jsonl` file, the fields are those of each
line. `[]` stands for each of a list, `<…>` for each key of a mapping. Bundles of earlier versions
may lack fields."""


def page() -> str:
    """Return the page's text."""
    parts = [HEAD]
    for name, file in schemas.FILES.items():
        rows = [f"| `{path}` | {kind} | {meaning} |" for path, kind, meaning in fields(name)]
        parts += [
            f"## `{shown(file.pattern)}`",
            f"`fpaas schema {name}`. {_said(file.record)}",
            "\n".join(["| field | type | meaning |", "|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def shown(pattern: str) -> str:
    """Write the name of a kind of file for people."""
    return pattern.replace("[0-9]*", "W").replace("*", "<agent>")


def fields(name: str) -> list[tuple[str, str, str]]:
    """Return (path, type, meaning) of each field of a kind of file, those of records in it too."""
    schema = schemas.of(name)
    return list(_fields(_target(schema, schema), schema, ""))


def _fields(
    node: dict[str, Any], schema: dict[str, Any], path: str
) -> Iterator[tuple[str, str, str]]:
    for name, field in node.get("properties", {}).items():
        kind, inner, below = _kind(field, schema, f"{path}{name}")
        yield f"{path}{name}", kind, _escaped(field.get("description", ""))
        for one in inner:
            yield from _fields(one, schema, f"{below}.")


def _kind(
    field: dict[str, Any], schema: dict[str, Any], path: str
) -> tuple[str, list[dict[str, Any]], str]:
    """Return a field's type in words, the records in it, and their path."""
    if "anyOf" in field:
        kinds = [_kind(one, schema, path) for one in field["anyOf"]]
        words = list(dict.fromkeys(word for word, _, _ in kinds))
        if "number" in words and "integer" in words:
            words.remove("integer")
        return " or ".join(words), [one for _, found, _ in kinds for one in found], kinds[0][2]
    target = _target(field, schema)
    if "enum" in target:
        words = ["null" if value is None else f"`{value}`" for value in target["enum"]]
        return ", ".join(words), [], path
    if "$ref" in field:
        return "object", [target], path
    for word, key, step in (("list", "items", "[]"), ("mapping", "additionalProperties", ".<…>")):
        if isinstance(field.get(key), dict):
            _, inner, below = _kind(field[key], schema, f"{path}{step}")
            return word, inner, below
    return str(field.get("type", "any")), [], path


def _target(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: dict[str, Any] = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _said(record: type) -> str:
    """Return a record's docstring as one paragraph; what follows its first line is of a program."""
    said = inspect.getdoc(record) or ""
    return _escaped(re.sub(r"\s+", " ", said.split("\n\nTo add a key")[0]))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
