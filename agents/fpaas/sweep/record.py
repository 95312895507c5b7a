"""Reads and writes `sweep.json`, and goes on with a sweep that was ended before.

It is written before and after every run, as a whole, so that a sweep that was killed at any moment
goes on from it. Only a run whose playbook came to its end is judged; one that did not was
interrupted, and counts for nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fpaas.errors import BadInput
from fpaas.records import files
from fpaas.records.files import UnreadableError
from fpaas.records.sweep import INTERRUPTED, NAME, SCHEMA, Sweep, SweepPoint
from fpaas.spec import SpecError
from fpaas.sweep.grid import label, written


def write(sweep: Sweep, directory: Path) -> None:
    """Replace sweep.json as a whole. Raises OSError."""
    files.write(directory / NAME, sweep, indent=2)


def load(directory: Path) -> Sweep:
    """Read sweep.json. Raises BadInput that names the file and what is wrong with it."""
    path = directory / NAME
    try:
        sweep = files.read(path, Sweep)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except UnreadableError as error:
        raise BadInput(f"{path}: {error}") from error
    if sweep.schema != SCHEMA:
        raise BadInput(f"{path}: schema {sweep.schema}, expected {SCHEMA}")
    wrong = _wrong(sweep)
    if wrong:
        raise BadInput(f"{path}: is not a sweep.json: {wrong}")
    return sweep


def _wrong(sweep: Sweep) -> str | None:
    """Say what no type can: a grid without values, points beside it or out of order."""
    if not sweep.grid or not all(sweep.grid.values()):
        return "the grid is empty, or has a variable without values"
    for number, point in enumerate(sweep.points, 1):
        if point.number != number:
            return f"points are numbered from 1, and {number} is missing"
        if not _is_on(sweep.grid, point):
            return f"point {point.number} is not on the grid"
    return None


def _is_on(grid: dict[str, list[Any]], point: SweepPoint) -> bool:
    return list(point.variables) == list(grid) and all(
        value in grid[name] for name, value in point.variables.items()
    )


def _in_order(point: SweepPoint) -> str:
    """Name a point whatever the order in which the grid has its variables."""
    return label(dict(sorted(point.variables.items())))


def resume(before: Sweep, now: Sweep) -> Sweep:
    """Go on with a sweep: its runs, and the points that the grid has gained.

    A grid may only grow. Raises SpecError that names what changed otherwise: figures of different
    conditions do not belong into one report.
    """
    name = f"sweep_id: {before.sweep_id} exists"
    conditions = {f"inventory group {group}": hosts for group, hosts in before.hosts.items()}
    conditions |= before.variables
    conditions_now = {f"inventory group {group}": hosts for group, hosts in now.hosts.items()}
    conditions_now |= now.variables
    # Values that are shared no longer, or only now, follow from a swept variable.
    for key in sorted(conditions.keys() & conditions_now.keys()):
        if conditions[key] != conditions_now[key]:
            raise SpecError(
                f"{name} with another {key}: {written(conditions[key])}, now "
                f"{written(conditions_now[key])}; choose another sweep_id"
            )
    wanted = {_in_order(point): point for point in now.points}
    had = {_in_order(point): point for point in before.points}
    gone = [text for text in had if text not in wanted]
    if gone:
        raise SpecError(
            f"{name} with points that this sweep_grid lacks: {'; '.join(gone[:3])}"
            f"{' …' if len(gone) > 3 else ''}. A grid may grow, it may not lose points or change "
            "its variables; choose another sweep_id"
        )
    for text, point in wanted.items():
        if text in had:
            point.runs = had[text].runs
    for point in now.points:
        for run in point.runs:
            run.status = run.status or INTERRUPTED
    now.repeats = max(now.repeats, before.repeats)
    return now
