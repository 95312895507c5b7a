"""Plays a capacity search: each run's outcome decides on the next, until there is an answer."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from fpaas.control import settling
from fpaas.control.sweep_player import Player
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import PlayedRun, SweepPoint
from fpaas.report import sweep_report
from fpaas.search import played
from fpaas.search.capacity import HOLDS, Try
from fpaas.spec import SpecError
from fpaas.sweep import record
from fpaas.text import capacity_text

#: How much longer the window of the run is that must confirm the answer.
LONG_FACTOR = 4
#: Runs in a row that something else disturbed, after which it is no use to go on.
DISTURBED_MAX = 5


class Searcher(Player):
    """Plays a sweep whose points are chosen as it goes; its record has all that is needed."""

    #: Runs in a row that were disturbed.
    _disturbed = 0

    def _try(self, point: SweepPoint, *, is_long: bool = False) -> None:
        """Play a point once more. Raises SpecError if it is no use to go on."""
        repetition = len([run for run in point.runs if run.status != sweep_record.INTERRUPTED])
        warmup_s, measure_s = self._window(is_long=is_long)
        run = self._play_run(point, repetition, is_long=is_long)
        self._judge_settling(run, warmup_s, measure_s)
        if run.status == sweep_record.NO_RUN:
            self._check_lab(run)
        self._disturbed = self._disturbed + 1 if run.disturbed_by else 0
        if self._disturbed == DISTURBED_MAX:
            raise SpecError(
                f"{self._disturbed} runs in a row say nothing about the lab, because something "
                f"else kept its machine busy: {run.disturbed_by}. Once it is quieter, the same "
                "command continues."
            )

    def _check_lab(self, refused: PlayedRun) -> None:
        """See whether it was the load that could not be run, by one that could be before.

        Raises SpecError if the lab runs that no longer either; neither run counts then.
        """
        before = [point for point in self._sweep.points if point.trusted]
        if not before:
            return
        self._show(
            "  the lab could not run this; checking whether it still runs what it ran before:"
        )
        again = self._play_run(before[0], len(before[0].runs))
        if again.status == sweep_record.NO_RUN:
            for run in (refused, again):
                run.status = sweep_record.INTERRUPTED
            record.write(self._sweep, self._directory)
            raise SpecError(
                f"the lab can no longer run what it ran before: {again.reason}\nOnce the cause is "
                "gone, the same command continues."
            )

    def _judge_settling(self, run: PlayedRun, warmup_s: float, measure_s: float) -> None:
        """Have a run not count whose load had not settled; those after it are longer then."""
        holds = played.verdict_of(run) == HOLDS
        is_longest = measure_s >= LONG_FACTOR * self._sweep.variables["bench_measure_s"]
        if run.status not in sweep_record.FINISHED or (is_longest and holds):
            return
        bundle = sweep_report.bundle_of(self._directory, run.run_id)
        found = settling.unsettled(bundle, warmup_s, measure_s, holds=holds)
        if found is None or (found.after_s or 0.0) > self._sweep.variables["bench_measure_s"]:
            return
        run.unsettled, run.settled_after_s = found.what, found.after_s
        record.write(self._sweep, self._directory)
        self._show(f"  does not count: {capacity_text.unsettled(run)}")

    def _window(self, *, is_long: bool) -> tuple[float, float]:
        """Return the seconds of warm-up and measuring that runs need, by those before them."""
        shared = self._sweep.variables
        told = [run for point in self._sweep.points for run in point.runs if run.unsettled]
        late = [run.settled_after_s for run in told if run.settled_after_s is not None]
        too_short = len(told) - len(late)
        stretch = LONG_FACTOR if is_long else min(LONG_FACTOR, 2**too_short)
        return max([shared["bench_warmup_s"], *late]), stretch * shared["bench_measure_s"]

    def _variables(self, point: SweepPoint, *, is_long: bool) -> dict[str, Any]:
        variables = super()._variables(point, is_long=is_long)
        variables["scenario_title"] = self._sweep.title
        warmup_s, measure_s = self._window(is_long=is_long)
        return variables | {"bench_warmup_s": warmup_s, "bench_measure_s": measure_s}

    def _run_number(self) -> int:
        return 1 + sum(len(point.runs) for point in self._sweep.points)


class CapacityPlayer(Searcher):
    """Searches for the heaviest load that holds."""

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
            # Where it begins does not depend on what the plan foresees for the machine as it is
            # now.
            assert self._sweep.search is not None, "it is a search"  # noqa: S101
            self._sweep.search = structs.replace(self._sweep.search, start=before.search.start)
            self._sweep.points.clear()
            self._sweep.grid[next(iter(before.grid))].clear()
            for point in before.points:
                self._point_at(float(next(iter(point.variables.values()))))
        super()._resume()

    def _play_all(self) -> None:
        self._show(f"capacity search {self._sweep.sweep_id}, into {self._directory}")
        while isinstance(step := played.state(self._sweep), Try):
            self._show(capacity_text.progress(self._sweep, step, self._run_number()))
            self._try(self._point_at(step.value), is_long=step.is_long)
        self._sweep.repeats = max(len(point.trusted) for point in self._sweep.points) or 1

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
