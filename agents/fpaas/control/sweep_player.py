"""Plays a sweep, run by run, and goes on where it was ended before.

How a playbook is run and a line is shown is given to it; `plugins/action/play_sweep.py`
does both with Ansible.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from click import ClickException

from fpaas.control import play_notes
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import PlayedRun, Sweep, SweepPoint
from fpaas.report import results_page, sweep_report
from fpaas.spec import SpecError
from fpaas.sweep import grid, record
from fpaas.text import expected, sweep_text

#: How long a run takes beyond its window, until one of this sweep has shown it.
OVERHEAD_S = 30.0
COLOURS = {sweep_record.PASS: "green", sweep_record.FAIL: "red"}

#: (playbook, variables, file for what it prints) → exit code.
RunPlaybook = Callable[[str, dict[str, Any], Path], int]
#: (text, colour or None).
Show = Callable[[str, str | None], None]


class Player:
    """Plays a checked sweep into `results/sweeps/<sweep-id>`.

    `windows_s` is how long each point's run takes by its variables; `retries` how often it is
    played again when its run is invalid. If a lab `collects`, its hosts go on with a run whose
    playbook was ended, and its results can be brought later.
    """

    def __init__(
        self,
        sweep: Sweep,
        windows_s: list[float],
        *,
        results: Path,
        goal: str,
        retries: int,
        collects: bool,
        run_playbook: RunPlaybook,
        show: Show,
    ) -> None:
        self._sweep = sweep
        self._windows_s = dict(zip((p.number for p in sweep.points), windows_s, strict=True))
        self._directory = results / sweep_report.DIRECTORY / sweep.sweep_id
        self._goal = goal
        self._retries = retries
        self._collects = collects
        self._run_playbook = run_playbook
        self._show_line = show
        self._any_run = False

    def outline(self) -> str:
        """Say what would be played."""
        took = self._left(list(self._sweep.missing()))
        lines = [f"{len(self._sweep.points)} points, about {took}, into {self._directory}:"]
        lines += [f"  {p.number}: {grid.label(p.variables)}" for p in self._sweep.points]
        return "\n".join(lines)

    def play(self) -> str:
        """Play what is missing; returns what to say of points without a run, empty if none."""
        (self._directory / "logs").mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._resume()
            self._play_all()
            return self._finish()

    def _play_all(self) -> None:
        sweep = self._sweep
        done = sum(point.status == "done" for point in sweep.points)
        if done:
            self._show(f"{done} of {len(sweep.points)} points are done already")
        todo = list(sweep.missing())
        self._show(
            f"sweep {sweep.sweep_id}: {len(sweep.points)} points, about {self._left(todo)} "
            f"left, into {self._directory}"
        )
        for position in range(len(todo)):
            self._play_next(todo[position:])

    def _lock(self) -> TextIO:
        """Hold the sweep's directory; released with the file, or the process."""
        lock = (self._directory / ".lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise SpecError(
                f"sweep_id: {self._sweep.sweep_id} is being played by another ansible-playbook"
            ) from None
        return lock

    def _resume(self) -> None:
        if (self._directory / sweep_record.NAME).exists():
            before = record.load(self._directory)
            for run in (run for point in before.points for run in point.runs):
                if run.status is None:
                    self._settle(run)
            self._sweep = record.resume(before, self._sweep)
            sweep_report.read_runs(self._sweep, self._directory)
        record.write(self._sweep, self._directory)

    def _settle(self, run: PlayedRun) -> None:
        """Find out what became of a run whose sweep was ended while it was on."""
        bundle = sweep_report.bundle_of(self._directory, run.run_id)
        if self._collects and not (bundle / "summary.json").exists():
            self._show(f"collects {run.run_id}, which its hosts have continued")
            self._run_playbook("collect.yml", {"run_id": run.run_id}, self._log(run.run_id))
        try:
            sweep_report.judge(run, sweep_report.summary_of(bundle))
        except ClickException:
            run.status = sweep_record.INTERRUPTED
        if run.status not in sweep_record.FINISHED:
            run.status, run.reason = sweep_record.INTERRUPTED, "the sweep ended before this run did"

    # -- one point ---------------------------------------------------------------------------------

    def _play_next(self, todo: list[tuple[int, SweepPoint]]) -> None:
        """Play the first point left to do, more than once if its run is invalid."""
        sweep = self._sweep
        repetition, point = todo[0]
        for attempt in range(1 + self._retries):
            again = ", once more" if attempt else ""
            self._show(sweep_text.progress(sweep, point, repetition, self._left(todo)) + again)
            run = self._play_run(point, repetition)
            if run.status in sweep_record.FINISHED:
                return

    def _play_run(self, point: SweepPoint, repetition: int, *, is_long: bool = False) -> PlayedRun:
        """Play one run and show how it ended. Raises SpecError if the lab cannot run at all."""
        sweep, directory = self._sweep, self._directory
        # With the sweep's own name: another lab's sweep may begin a run in the same second.
        run = PlayedRun(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{sweep.sweep_id}", repetition)
        run.is_long = is_long
        point.runs.append(run)
        record.write(sweep, directory)
        variables = {"run_id": run.run_id, **self._variables(point, is_long=is_long)}
        began = time.monotonic()
        ended_with = self._run_playbook("run.yml", variables, self._log(run.run_id))
        run.took_s = round(time.monotonic() - began, 1)
        try:
            bundle = sweep_report.bundle_of(directory, run.run_id)
            sweep_report.judge(run, sweep_report.summary_of(bundle))
            self._any_run = True
        except ClickException as error:
            run.status = sweep_record.NO_RUN
            run.reason = play_notes.last_failure(self._log(run.run_id)) or (
                f"ansible-playbook ended with {ended_with}; {error.message}"
            )
        values = sweep_report.read_runs(sweep, directory)
        sweep_report.write(sweep, directory, values)
        color = {sweep_record.PASS: "green", sweep_record.FAIL: "red"}.get(
            str(run.status), "yellow"
        )
        self._show(f"  {run.run_id}: {sweep_text.outcome(run, point)}", color)
        if run.status == sweep_record.NO_RUN and not self._any_run:
            # Whatever refuses the first run would refuse all.
            raise SpecError(
                f"{grid.label(point.variables)}: could not be run: {run.reason}\n"
                "Once the cause is gone, the same command continues. The log is "
                f"{self._log(run.run_id)}"
            )
        return run

    def _variables(self, point: SweepPoint, *, is_long: bool) -> dict[str, Any]:
        """Return what a run's playbook is told beside what the whole sweep is."""
        del is_long
        sweep = self._sweep
        return {
            **point.variables,
            "bench_repeat": 1,
            "scenario_name": sweep.name,
            "scenario_title": f"{sweep.title}, point {point.number} of {len(sweep.points)}",
            "scenario_goal": f"{self._goal}: {grid.label(point.variables)}",
        }

    def _log(self, run_id: str) -> Path:
        return self._directory / "logs" / f"{run_id}.log"

    # -- all of it ---------------------------------------------------------------------------------

    def _left(self, todo: list[tuple[int, SweepPoint]]) -> str:
        """Estimate the time left, from how long this sweep's runs took beyond their windows."""
        overheads = [
            max(0.0, run.took_s - self._windows_s[point.number])
            for point in self._sweep.points
            for run in point.runs
            if run.took_s is not None and run.status != sweep_record.NO_RUN
        ]
        overhead_s = sum(overheads) / len(overheads) if overheads else OVERHEAD_S
        return sweep_text.duration(sum(self._windows_s[p.number] + overhead_s for _, p in todo))

    def _finish(self) -> str:
        sweep, directory = self._sweep, self._directory
        values = sweep_report.read_runs(sweep, directory)
        growths, expectations = sweep_report.write(sweep, directory, values)
        results_page.renew(directory.resolve().parent.parent)
        self._show("\n" + "\n".join(sweep_text.lines(sweep, growths)))
        if expectations:
            self._show("\n" + expected.text(expectations))
        self._show(f"\nreport      {directory / 'report.html'}\n")
        return "\n".join(
            f"{grid.label(point.variables)}: {sweep_text.state(point, sweep.repeats)}"
            for point in sweep.incomplete
        )

    def _show(self, text: str, color: str | None = None) -> None:
        self._show_line(text, color)
