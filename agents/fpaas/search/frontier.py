"""Which load of a grid over two variables to try next, and where its frontier runs. Pure.

A load that holds vouches for every lighter one, and one that does not rules out every heavier one.
So what holds is bounded by a staircase. Walking along it from the corner where one variable is
heaviest and the other lightest (saddleback search, Gries's name for it) takes no more points than
the grid has columns and rows, less one. A run that does not hold is repeated before it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fpaas.search.capacity import RUNS_MAX, StoppedBy, is_holding, whose_limit

#: (value of the first variable, value of the second).
Load = tuple[float, float]
Verdicts = Mapping[Load, Sequence[str]]


@dataclass(frozen=True)
class Grid:
    """Both variables' values, the lightest first."""

    columns: tuple[float, ...]
    rows: tuple[float, ...]

    @property
    def points_max(self) -> int:
        """How many points the frontier takes at most."""
        return len(self.columns) + len(self.rows) - 1


@dataclass(frozen=True)
class Row:
    """The frontier at one value of the second variable; None of the first: no value of the grid."""

    value: float
    holds_at: float | None
    stopped_at: float | None
    stopped_by: StoppedBy


def decide(grid: Grid, verdicts: Verdicts) -> Load | list[Row]:
    """Return the load to try next, or the frontier row by row."""
    found: list[Row] = []
    column, stopped_by = len(grid.columns) - 1, StoppedBy.RANGE
    for row in grid.rows:
        while column >= 0:
            load = (grid.columns[column], row)
            runs = verdicts.get(load, ())
            holds = is_holding(runs)
            if holds is None and len(runs) < RUNS_MAX:
                return load
            if holds:
                break
            stopped_by = StoppedBy.NOISE if holds is None else whose_limit(runs)
            column -= 1
        above = grid.columns[column + 1 :]
        found.append(
            Row(
                row,
                grid.columns[column] if column >= 0 else None,
                above[0] if above else None,
                stopped_by,
            )
        )
    return found
