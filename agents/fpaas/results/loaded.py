"""A reported run for notebooks: `fpaas.load("results/<run-id>")`."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpaas.results.figure_columns import Column, columns


@dataclass(frozen=True)
class LoadedRun:
    """What a run came to. `summary` is summary.json, `run` the spec as executed."""

    directory: Path
    summary: dict[str, Any]
    run: dict[str, Any]

    @property
    def tables(self) -> list[str]:
        """Names of its tables of figures."""
        return sorted(path.stem for path in (self.directory / "figures").glob("*.csv"))

    def table(self, name: str) -> dict[str, Column]:
        """Return a table's columns by name, as pandas and polars take them.

        Numbers are floats, None if nothing was measured. Raises ValueError.
        """
        path = self.directory / "figures" / f"{name}.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                heads, *rows = csv.reader(file)
            return columns(heads, rows)
        except FileNotFoundError:
            there = ", ".join(self.tables) or f"none; `fpaas report {self.directory}` writes them"
            raise ValueError(f"{path}: does not exist; tables: {there}") from None
        except ValueError as error:
            raise ValueError(f"{path}: is not a table of figures: {error}") from error


def load(directory: str | Path) -> LoadedRun:
    """Read a reported run. Raises ValueError that names the file and what to do."""
    where = Path(directory)
    return LoadedRun(where, _object(where, "summary.json"), _object(where, "run.json"))


def _object(where: Path, name: str) -> dict[str, Any]:
    path = where / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; expected the directory of a reported run, results/<run-id>"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is not a JSON object")  # noqa: TRY004  of the file, not of ours
    return content
