"""A grid of variables → the points of a sweep, checked before anything is started. Pure."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
from collections.abc import Collection, Mapping
from typing import Any

from fpaas import json_input
from fpaas.spec import VARIABLES, SpecError

Point = dict[str, Any]

#: More runs than anybody waits for: a mistake in the grid.
POINTS_MAX = 1_000
#: Variables that a sweep sets by itself.
NOT_SWEPT = {
    "bench_repeat": "give it beside the grid, with -e: every point is run that many times",
    "results_dir": "all points of a sweep are in one directory",
    "lab_dir": "all points of a sweep are played in one lab",
    "lab_control_dir": "all points of a sweep are played in one lab",
    "lab_checkout_dir": "it follows from where the playbooks are",
}


def expand(grid: Any, known: Collection[str], name: str = "sweep_grid") -> list[Point]:  # noqa: ANN401
    """Return the points of `{variable: [value, …], …}`; the first variable changes fastest.

    `known` are the names of variables that are no bench_* ones; the values of those are taken as
    they are. Raises SpecError that names what is wrong with the grid, whose own `name` that is.
    """
    try:
        return _expand(grid, known)
    except SpecError as error:
        raise SpecError(f"{name}: {error}") from None


def _expand(grid: Any, known: Collection[str]) -> list[Point]:  # noqa: ANN401
    if isinstance(grid, str):
        try:
            grid = json_input.loads(grid)
        except ValueError:
            raise SpecError(f"{grid!r} is not JSON; {_EXPECTED}") from None
    if not isinstance(grid, Mapping) or not grid:
        raise SpecError(f"{_shown(grid)} is not allowed; {_EXPECTED}")
    axes = {str(name): _axis(str(name), values, known) for name, values in grid.items()}
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > POINTS_MAX:
        raise SpecError(f"has {count} points; allowed: at most {POINTS_MAX}")
    # The first axis changes fastest, so that a curve over it is complete early.
    rows = itertools.product(*reversed(axes.values()))
    return [dict(zip(axes, reversed(row), strict=True)) for row in rows]


_EXPECTED = 'expected an object of lists, e.g. -e \'{"sweep_grid": {"bench_consumers": [10, 50]}}\''


def _axis(name: str, values: Any, known: Collection[str]) -> list[Any]:  # noqa: ANN401
    if name in NOT_SWEPT:
        raise SpecError(f"{name} cannot be swept: {NOT_SWEPT[name]}")
    if name not in VARIABLES and name not in known:
        everything = [*VARIABLES, *known]
        near = difflib.get_close_matches(name, everything, n=1)
        hint = f"did you mean {near[0]}?" if near else "known: " + ", ".join(sorted(everything))
        raise SpecError(f"{name}: there is no such variable; {hint}")
    if not isinstance(values, list):
        raise SpecError(f"{name}: {_shown(values)} is not allowed; expected a list")
    if not values:
        raise SpecError(f"{name}: has no value; expected one at least")
    axis: list[Any] = []
    for value in values:
        read = value
        if name in VARIABLES:
            read = VARIABLES[name].read(name, value)
        elif isinstance(value, Mapping | list) or value is None:
            raise SpecError(f"{name}: {_shown(value)} is not allowed; expected a single value")
        if read in axis:
            raise SpecError(f"{name}: {written(read)} is there twice; leave out one")
        axis.append(read)
    return axis


def _shown(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, default=str)


def written(value: Any) -> str:  # noqa: ANN401
    """Write a value as a user would: 5 rather than 5.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def label(point: Point) -> str:
    """Write a point as `bench_consumers=100 bench_poll_interval_s=5`."""
    return " ".join(f"{name}={written(value)}" for name, value in point.items())


def identity(name: str, content: object) -> str:
    """Name a sweep after what it plays, so that the same command finds it again.

    >>> identity("sweep", {"a": 1})
    'sweep-015abd7f'
    """
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return f"{name}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"
