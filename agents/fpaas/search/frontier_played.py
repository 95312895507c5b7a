"""A frontier's search as its sweep's record has it. Pure."""

from __future__ import annotations

from collections import defaultdict

from fpaas.records.sweep import Sweep, SweepPoint
from fpaas.search import played
from fpaas.search.frontier import Grid, Load, Row, decide


def grid(sweep: Sweep) -> Grid:
    """Return the grid, the lightest loads first."""
    assert sweep.frontier is not None, "another sweep has no frontier"  # noqa: S101
    columns, rows = sweep.frontier.values()
    return Grid(tuple(columns), tuple(rows))


def variables(sweep: Sweep) -> tuple[str, str]:
    """Return the names of both variables."""
    assert sweep.frontier is not None, "another sweep has no frontier"  # noqa: S101
    first, second = sweep.frontier
    return first, second


def load_of(sweep: Sweep, point: SweepPoint) -> Load:
    """Return a point's values of both variables."""
    first, second = variables(sweep)
    return float(point.variables[first]), float(point.variables[second])


def state(sweep: Sweep) -> Load | list[Row]:
    """Return what is to be played next, or the frontier."""
    verdicts: dict[Load, list[str]] = defaultdict(list)
    for point in sweep.points:
        said = [played.verdict_of(run) for run in point.runs]
        verdicts[load_of(sweep, point)] += [one for one in said if one is not None]
    return decide(grid(sweep), verdicts)
