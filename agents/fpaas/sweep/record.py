"""sweep.json: what a sweep is to play, which runs it has played, and what came out.

It is written before and after every run, as a whole, so that a sweep that was killed at any moment
goes on from it. Only a run whose playbook came to its end is judged; one that did not was
interrupted, and counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fpaas import json_input
from fpaas.errors import BadInput
from fpaas.spec import SpecError
from fpaas.sweep.grid import Point, label, written

SCHEMA = 1
NAME = "sweep.json"

#: Of a run: its verdict, or how it came to have none.
PASS, FAIL, INVALID = "pass", "fail", "invalid"
INTERRUPTED = "interrupted"  # the sweep ended before it did
NO_RUN = "no run"  # the playbook refused, or the run never began
FINISHED = (PASS, FAIL)


@dataclass
class PlayedRun:
    """One attempt at a point; `status` None while it is on."""

    run_id: str
    repetition: int
    status: str | None = None
    reason: str = ""
    took_s: float | None = None
    #: What limited it, as its report says.
    limited_by: str = ""
    #: In a capacity search, the run that is to bear out what shorter ones say.
    is_long: bool = False
    #: Which goal could not be missed, because polls take less than is owed by the parameters alone.
    overload: str = ""
    #: What kept a host busy beside the lab, if that is all that made the run invalid.
    disturbed_by: str = ""
    #: Which stretch its figures are of, if not its own.
    trimmed: str = ""


@dataclass
class SweepPoint:
    """One point: its variables and all attempts. `figures` are written by the report."""

    number: int
    variables: Point
    runs: list[PlayedRun] = field(default_factory=list)
    figures: dict[str, Any] | None = None

    def finished(self, repetition: int) -> bool:
        """Whether a repetition has a run that can be trusted."""
        return any(r.repetition == repetition and r.status in FINISHED for r in self.runs)

    def was_tried(self, repetition: int) -> bool:
        """Whether a run of a repetition came to its end, whatever its verdict."""
        return any(
            r.repetition == repetition and r.status not in (None, INTERRUPTED) for r in self.runs
        )

    @property
    def trusted(self) -> list[PlayedRun]:
        """Runs whose figures hold."""
        return [run for run in self.runs if run.status in FINISHED]

    @property
    def status(self) -> str:
        """`done` (a run that can be trusted), `invalid` (only others), or `missing`."""
        if self.trusted:
            return "done"
        ended = [run for run in self.runs if run.status in (INVALID, NO_RUN)]
        return "invalid" if ended else "missing"


@dataclass
class Sweep:
    """A sweep; `variables` are those that all points share, `hosts` the inventory's groups.

    Of a capacity search, `search` is its question (fields of `search.capacity.Question`), and
    points are added as they are tried.
    """

    sweep_id: str
    name: str
    title: str
    grid: dict[str, list[Any]]
    repeats: int
    variables: dict[str, Any]
    hosts: dict[str, list[str]]
    points: list[SweepPoint]
    scaling: list[dict[str, Any]] = field(default_factory=list)
    search: dict[str, Any] | None = None
    schema: int = SCHEMA

    def missing(self) -> Iterator[tuple[int, SweepPoint]]:
        """Iterate over (repetition, point) without a run that can be trusted, in playing order.

        All points are played once before any is played again: what drifts with time then spreads
        over all of them. What was tried in vain comes last, not to keep the others waiting.
        """
        lacking = [
            (repetition, point)
            for repetition in range(self.repeats)
            for point in self.points
            if not point.finished(repetition)
        ]
        yield from sorted(lacking, key=lambda one: one[1].was_tried(one[0]))

    @property
    def incomplete(self) -> list[SweepPoint]:
        """Points that lack a run that can be trusted, or one of its repetitions."""
        lacking = {point.number for _, point in self.missing()}
        return [point for point in self.points if point.number in lacking]

    def write(self, directory: Path) -> None:
        """Replace sweep.json as a whole."""
        temporary = directory / f"{NAME}.tmp"
        temporary.write_text(
            json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        temporary.replace(directory / NAME)


def load(directory: Path) -> Sweep:
    """Read sweep.json. Raises BadInput that names the file and what is wrong with it."""
    path = directory / NAME
    try:
        content = json_input.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON: {error}") from error
    try:
        if content["schema"] != SCHEMA:
            raise BadInput(f"{path}: schema {content['schema']}, expected {SCHEMA}")
        points = [
            SweepPoint(**{**point, "runs": [PlayedRun(**run) for run in point["runs"]]})
            for point in content.pop("points")
        ]
        sweep = Sweep(**content, points=points)
        _check(sweep)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: is no sweep.json: {error}") from error
    return sweep


def _check(sweep: Sweep) -> None:
    """Raise TypeError where something is not of its kind, or a point is not on the grid."""
    _check_lists("grid", sweep.grid)
    _check_lists("hosts", sweep.hosts)
    if not sweep.grid or not all(sweep.grid.values()):
        raise TypeError("grid has a variable without values, or none")
    if not all(isinstance(one, str) for names in sweep.hosts.values() for one in names):
        raise TypeError("hosts are no names")
    if not isinstance(sweep.variables, dict):
        raise TypeError("variables is no object")
    if not isinstance(sweep.repeats, int) or sweep.repeats < 1:
        raise TypeError("repeats is no number of runs")
    for number, point in enumerate(sweep.points, 1):
        if point.number != number:
            raise TypeError(f"points are numbered from 1, and {number} is missing")
        _check_point(point, sweep.grid)


def _check_lists(name: str, content: object) -> None:
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise TypeError(f"{name} is no object of lists")


def _check_point(point: SweepPoint, grid: dict[str, list[Any]]) -> None:
    if list(point.variables) != list(grid) or not all(
        value in grid[name] for name, value in point.variables.items()
    ):
        raise TypeError(f"point {point.number} is not on the grid")
    kinds = {"run_id": str, "repetition": int, "status": str | None, "reason": str}
    for run in point.runs:
        for name, kind in kinds.items():
            if not isinstance(getattr(run, name), kind):
                raise TypeError(f"point {point.number}: a run has no {name}")


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
    # What is shared no longer, or only now, follows from a variable that is swept.
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
