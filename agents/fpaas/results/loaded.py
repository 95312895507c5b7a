"""A reported run for notebooks: `fpaas.load("results/<run-id>")`."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpaas import json_input, regular
from fpaas.errors import report_command
from fpaas.results.figure_columns import Column, columns


@dataclass(frozen=True)
class LoadedRun:
    """A run and its results: `summary` is summary.json, `run` the spec as executed."""

    directory: Path
    # A notebook shows what its last line is: these would fill pages.
    summary: dict[str, Any] = field(repr=False)
    run: dict[str, Any] = field(repr=False)

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
            regular.check(path)
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            if not rows:
                raise ValueError("it is empty")
            return columns(rows[0], rows[1:])
        except FileNotFoundError:
            there = ", ".join(self.tables) or f"none; {report_command(self.directory)} writes them"
            raise ValueError(f"{path}: does not exist; tables: {there}") from None
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, csv.Error) as error:
            again = f"{report_command(self.directory)} writes it again"
            raise ValueError(f"{path}: is not a table of figures: {error}; {again}") from error


def load(directory: str | Path) -> LoadedRun:
    """Read a reported run. Raises ValueError that names the file and what to do."""
    where = Path(directory)
    summary, run = (
        json_input.read_part(where / name, "the directory of a reported run, results/<run-id>")
        for name in ("summary.json", "run.json")
    )
    return LoadedRun(where, summary, run)
