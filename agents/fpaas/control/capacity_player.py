"""Plays a capacity search: each run's outcome decides on the next, until there is an answer."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from fpaas.control.sweep_player import Player
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import SweepPoint
from fpaas.search import played
from fpaas.search.capacity import Try
from fpaas.spec import SpecError
from fpaas.sweep import record
from fpaas.text import capacity_text

#: How much longer the measured window of the run is that must bear out the answer.
LONG_FACTOR = 4
#: Runs in a row that something else disturbed, after which it is no use to go on.
DISTURBED_MAX = 5


class CapacityPlayer(Player):
    """Plays a sweep whose points are chosen as it goes; its record has all that is needed."""

    def outline(self) -> str:
        """Say what would be played first."""
        question = played.question(self._sweep)
        ends = " to ".join(
            capacity_text.value(question, one) for one in (question.least, question.most)
        )
        start = capacity_text.value(question, question.start)
        return f"searches from {start}, within {ends}, into {self._directory}"

    def _resume(self) -> None:
        if (self._directory / sweep_record.NAME).exists():
            before = record.load(self._directory)
            if list(before.grid) != list(self._sweep.grid):
                raise SpecError(
                    f"sweep_id: {before.sweep_id} exists and searches for {', '.join(before.grid)};"
                    " choose another sweep_id"
                )
            if before.search is None:
                raise SpecError(
                    f"sweep_id: {before.sweep_id} exists and is a sweep over a grid; choose "
                    "another sweep_id"
                )
            # What the plan foresees of the machine as it is now does not begin it from elsewhere.
            assert self._sweep.search is not None, "it is a search"  # noqa: S101
            self._sweep.search = structs.replace(self._sweep.search, start=before.search.start)
            self._sweep.points.clear()
            self._sweep.grid[next(iter(before.grid))].clear()
            for point in before.points:
                self._point_at(float(next(iter(point.variables.values()))))
        super()._resume()

    def _play_all(self) -> None:
        self._show(f"capacity search {self._sweep.sweep_id}, into {self._directory}")
        disturbed = 0
        while isinstance(step := played.state(self._sweep), Try):
            number = 1 + sum(len(point.runs) for point in self._sweep.points)
            self._show(capacity_text.progress(self._sweep, step, number))
            point = self._point_at(step.value)
            repetition = len([run for run in point.runs if run.status != sweep_record.INTERRUPTED])
            run = self._play_run(point, repetition, is_long=step.is_long)
            disturbed = disturbed + 1 if run.disturbed_by else 0
            if disturbed == DISTURBED_MAX:
                raise SpecError(
                    f"{disturbed} runs in a row tell nothing of the lab, for something else kept "
                    f"its machine busy: {run.disturbed_by}. Once it is quieter, the same command "
                    "goes on."
                )
        self._sweep.repeats = max(len(point.trusted) for point in self._sweep.points) or 1

    def _variables(self, point: SweepPoint, *, is_long: bool) -> dict[str, Any]:
        variables = super()._variables(point, is_long=is_long)
        variables["scenario_title"] = self._sweep.title
        if is_long:
            variables["bench_measure_s"] = LONG_FACTOR * self._sweep.variables["bench_measure_s"]
        return variables

    def _point_at(self, value: float) -> SweepPoint:
        question = played.question(self._sweep)
        if (point := played.point_at(self._sweep, value)) is not None:
            return point
        number = int(value) if question.is_integer else value
        self._sweep.grid[question.variable].append(number)
        point = SweepPoint(len(self._sweep.points) + 1, {question.variable: number})
        self._sweep.points.append(point)
        return point

    def _finish(self) -> str:
        """Show the answer; returns it if it is none."""
        super()._finish()
        self._show("\n".join(capacity_text.lines(self._sweep)))
        has_answer = played.has_answer(self._sweep)
        return "" if has_answer else next(capacity_text.lines(self._sweep))
