# ruff: noqa: INP001  (Ansible loads it by its path)
"""Plays a sweep: an ansible-playbook of its own for every run, and goes on where one was ended.

A run is what it is without a sweep: its own preflight, NATS started anew, its own guard. Ctrl-C
reaches the run's playbook by way of this worker's process group; where ours was killed, the worker
notices and interrupts it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from click import ClickException

from fpaas import spec
from fpaas.commands import plan
from fpaas.control import signals
from fpaas.sweep import expected, grid, record, sweep_report, sweep_text
from fpaas.sweep.record import PlayedRun, Sweep, SweepPoint

LOOK_INTERVAL_S = 0.5
#: What a run takes beyond its window, until one of this sweep has shown it.
OVERHEAD_S = 30.0
#: A line of a run's own progress is passed on this often.
SHOW_PROGRESS_EVERY_S = 60.0
PROGRESS = re.compile(r"^\S+: +-?\d+ s of \d+ s \| ")
#: How Ansible begins the reason of a task that failed.
ERROR = re.compile(r"^\[ERROR\]: (?:Task failed: )?(?:Action failed: )?(?P<reason>.+)")
#: Not of the load, and no reason to keep figures apart.
NOT_COMPARED = ("bench_repeat",)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`play_sweep: {grid, sweep_id, name, title, goal, variables, repeats, retries, …}`."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Play what is missing; fails with what is wrong, or with the points that have no run."""
        del tmp
        _, arguments = self.validate_argument_spec(
            {
                "grid": {"type": "raw", "required": True},
                "sweep_id": {"type": "str", "default": ""},
                "name": {"type": "str", "required": True},
                "title": {"type": "str", "required": True},
                "goal": {"type": "str", "required": True},
                "variables": {"type": "dict", "default": {}},
                "repeats": {"type": "raw", "required": True},
                "retries": {"type": "int", "required": True},
                "topology": {"type": "dict", "required": True},
                "lab": {"type": "str", "required": True},
                "known": {"type": "list", "elements": "str", "required": True},
                "collects": {"type": "bool", "required": True},
                "results": {"type": "path", "required": True},
                "playbooks": {"type": "path", "required": True},
            }
        )
        result: dict[str, Any] = super().run(None, task_vars)
        try:
            prepared = self._prepare(arguments, task_vars or {})
            if self._task.check_mode:
                show(prepared.outline())
                return {**result, "changed": False}
            missing = prepared.play()
        except spec.SpecError as error:
            raise AnsibleActionFail(str(error)) from error
        except ClickException as error:
            raise AnsibleActionFail(error.message) from error
        except OSError as error:
            where = error.filename or arguments["results"]
            raise AnsibleActionFail(f"{where}: cannot be written: {error.strerror}") from error
        if missing:
            return {**result, "failed": True, "msg": missing}
        return {**result, "changed": True}

    def _prepare(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> Playing:
        """Check everything before anything is started."""
        if arguments["retries"] < 0:
            raise spec.SpecError(f"sweep_retries: {arguments['retries']} is not allowed; 0 or more")
        given = load_extra_vars(self._loader)
        points = grid.expand(arguments["grid"], arguments["known"])
        for name in points[0]:
            if name in given:
                raise spec.SpecError(
                    f"sweep_grid: {name} is swept, and given with -e as well "
                    f"({grid.written(given[name])}); leave out one"
                )
        # What the user says with -e wins over what the playbook of this sweep says.
        shared = {name: v for name, v in arguments["variables"].items() if name not in given}
        shared = {name: v for name, v in shared.items() if name not in points[0]}
        specs = []
        for point in points:
            available = {**task_vars, **shared, **point}
            templar = self._templar.copy_with_new_env(available_variables=available)
            variables = templar.template(task_vars["run_variables"])
            specs.append(check(variables, arguments["topology"], point))
        axes = {name: list(dict.fromkeys(point[name] for point in points)) for name in points[0]}
        compared = {
            name: value
            for name, value in specs[0].variables.items()
            if name not in {*NOT_COMPARED, *points[0]}
            and all(s.variables[name] == value for s in specs)
        }
        compared["inventory"] = arguments["lab"]
        sweep = Sweep(
            sweep_id=arguments["sweep_id"]
            or grid.identity(arguments["name"], [axes, compared, arguments["topology"]["hosts"]]),
            name=arguments["name"],
            title=arguments["title"],
            grid=axes,
            repeats=spec.VARIABLES["bench_repeat"].read("bench_repeat", arguments["repeats"]),
            variables=compared,
            hosts=arguments["topology"]["hosts"],
            points=[SweepPoint(number, point) for number, point in enumerate(points, 1)],
        )
        if not plan.RUN_ID.fullmatch(sweep.sweep_id):
            raise spec.SpecError(
                f"sweep_id: {sweep.sweep_id!r} is not allowed; letters, digits, '.', '_' and '-'"
            )
        windows = [(one.settled_unix_ns - one.t0_unix_ns) / spec.NS_PER_S for one in specs]
        return Playing(sweep, windows, shared, arguments, task_vars["ansible_playbook_python"])


def check(variables: dict[str, Any], topology: dict[str, Any], point: grid.Point) -> spec.RunSpec:
    """Check one point's variables as `fpaas plan` does; raises SpecError that names the point."""
    try:
        checked = spec.read_variables(variables)
        first_seq, _ = plan.check_source(checked)
        where = plan.topology_of(topology, "the inventory")
        scenario = spec.Scenario("sweep", "", "")
        return spec.build(
            checked, run_id="sweep", scenario=scenario, topology=where, first_seq=first_seq
        )
    except (spec.SpecError, ClickException) as error:
        said = error.message if isinstance(error, ClickException) else str(error)
        if not any(name in said for name in point):
            raise spec.SpecError(said) from error
        raise spec.SpecError(f"sweep_grid: at {grid.label(point)}: {said}") from error


class Playing:
    """A checked sweep, being played."""

    def __init__(
        self,
        sweep: Sweep,
        windows_s: list[float],
        shared: dict[str, Any],
        arguments: dict[str, Any],
        python: str,
    ) -> None:
        self._sweep = sweep
        self._windows_s = dict(zip((p.number for p in sweep.points), windows_s, strict=True))
        self._shared = shared
        self._arguments = arguments
        self._program = Path(python).with_name("ansible-playbook")
        self._results = Path(arguments["results"])
        self._directory = self._results / sweep_report.DIRECTORY / sweep.sweep_id
        self._control_pid = os.getppid()
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
            sweep = self._sweep
            done = sum(point.status == "done" for point in sweep.points)
            if done:
                show(f"{done} of {len(sweep.points)} points are done already")
            todo = list(sweep.missing())
            show(
                f"sweep {sweep.sweep_id}: {len(sweep.points)} points, about {self._left(todo)} "
                f"left, into {self._directory}"
            )
            for position in range(len(todo)):
                self._play_next(todo[position:])
            return self._finish()

    def _lock(self) -> Any:  # noqa: ANN401
        """Hold the sweep's directory; released with the file, or the process."""
        lock = (self._directory / ".lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise spec.SpecError(
                f"sweep_id: {self._sweep.sweep_id} is being played by another ansible-playbook"
            ) from None
        return lock

    def _resume(self) -> None:
        if (self._directory / record.NAME).exists():
            before = record.load(self._directory)
            for run in (run for point in before.points for run in point.runs):
                if run.status is None:
                    self._settle(run)
            self._sweep = record.resume(before, self._sweep)
            sweep_report.read_runs(self._sweep, self._directory)
        self._sweep.write(self._directory)

    def _settle(self, run: PlayedRun) -> None:
        """Find out what became of a run whose sweep was ended while it was on."""
        bundle = sweep_report.bundle_of(self._directory, run.run_id)
        if self._arguments["collects"] and not (bundle / "summary.json").exists():
            show(f"collects {run.run_id}, which its hosts went on with")
            self._run_playbook("collect.yml", {"run_id": run.run_id}, run.run_id)
        try:
            sweep_report.judge(run, sweep_report.summary_of(bundle))
        except ClickException:
            run.status = record.INTERRUPTED
        if run.status not in record.FINISHED:
            run.status, run.reason = record.INTERRUPTED, "the sweep ended before it did"

    # -- one point ---------------------------------------------------------------------------------

    def _play_next(self, todo: list[tuple[int, SweepPoint]]) -> None:
        """Play the first of what is to do, more than once where its run is invalid."""
        sweep = self._sweep
        repetition, point = todo[0]
        for attempt in range(1 + self._arguments["retries"]):
            again = ", once more" if attempt else ""
            show(sweep_text.progress(sweep, point, repetition, self._left(todo)) + again)
            run = self._play_run(point, repetition)
            what = sweep_text.outcome(run, point)
            color = {record.PASS: "green", record.FAIL: "red"}.get(str(run.status), "yellow")
            show(f"  {run.run_id}: {what}", color=color)
            if run.status in record.FINISHED:
                return
            if run.status == record.NO_RUN and not self._any_run:
                # What refuses the first run would refuse all.
                raise spec.SpecError(
                    f"{grid.label(point.variables)}: could not be run: {run.reason}\n"
                    "Once the cause is gone, the same command goes on. The log is "
                    f"{self._log(run.run_id)}"
                )

    def _play_run(self, point: SweepPoint, repetition: int) -> PlayedRun:
        sweep, directory = self._sweep, self._directory
        run = PlayedRun(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{sweep.name}", repetition)
        point.runs.append(run)
        sweep.write(directory)
        variables = {
            **point.variables,
            "bench_repeat": 1,
            "run_id": run.run_id,
            "scenario_name": sweep.name,
            "scenario_title": f"{sweep.title}, point {point.number} of {len(sweep.points)}",
            "scenario_goal": f"{self._arguments['goal']}: {grid.label(point.variables)}",
        }
        began = time.monotonic()
        ended_with = self._run_playbook("run.yml", variables, run.run_id)
        run.took_s = round(time.monotonic() - began, 1)
        try:
            bundle = sweep_report.bundle_of(directory, run.run_id)
            sweep_report.judge(run, sweep_report.summary_of(bundle))
            self._any_run = True
        except ClickException as error:
            run.status = record.NO_RUN
            run.reason = last_error(self._log(run.run_id)) or (
                f"ansible-playbook ended with {ended_with}; {error.message}"
            )
        values = sweep_report.read_runs(sweep, directory)
        sweep_report.write(sweep, directory, values)
        return run

    def _log(self, run_id: str) -> Path:
        return self._directory / "logs" / f"{run_id}.log"

    def _run_playbook(self, playbook: str, variables: dict[str, Any], run_id: str) -> int:
        command = [
            str(self._program),
            str(Path(self._arguments["playbooks"]) / playbook),
            *("--extra-vars", json.dumps(self._shared)),
            *own_options(),
            *("--extra-vars", json.dumps(variables)),
        ]
        with self._log(run_id).open("a", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603  (ours)
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        return self._follow(process, self._log(run_id))

    def _follow(self, process: subprocess.Popen[bytes], log: Path) -> int:
        shown_at = time.monotonic()
        with log.open(encoding="utf-8", errors="replace") as written:
            while (ended_with := process.poll()) is None:
                time.sleep(LOOK_INTERVAL_S)
                if os.getppid() != self._control_pid:
                    # Our ansible-playbook was killed: so is the run's, whose guard cleans up.
                    process.send_signal(signal.SIGINT)
                    os._exit(1)
                lines = [line for line in written if PROGRESS.match(line)]
                if lines and time.monotonic() - shown_at >= SHOW_PROGRESS_EVERY_S:
                    shown_at = time.monotonic()
                    show(f"  {lines[-1].strip()}")
        return ended_with

    # -- all of it ---------------------------------------------------------------------------------

    def _left(self, todo: list[tuple[int, SweepPoint]]) -> str:
        """Estimate what is left, by what runs of this sweep have taken beyond their windows."""
        overheads = [
            run.took_s - self._windows_s[point.number]
            for point in self._sweep.points
            for run in point.runs
            if run.took_s is not None and run.status != record.NO_RUN
        ]
        overhead_s = sum(overheads) / len(overheads) if overheads else OVERHEAD_S
        return sweep_text.duration(sum(self._windows_s[p.number] + overhead_s for _, p in todo))

    def _finish(self) -> str:
        sweep, directory = self._sweep, self._directory
        values = sweep_report.read_runs(sweep, directory)
        growths, expectations = sweep_report.write(sweep, directory, values)
        show("\n" + "\n".join(sweep_text.lines(sweep, growths)))
        if expectations:
            show("\n" + expected.text(expectations))
        show(f"\nreport      {directory / 'report.html'}\n")
        return "\n".join(
            f"{grid.label(point.variables)}: {sweep_text.state(point, sweep.repeats)}"
            for point in sweep.incomplete
        )


def own_options() -> Iterator[str]:
    """Iterate over what this ansible-playbook was given beside its playbooks."""
    playbooks = set(context.CLIARGS["args"])
    return (argument for argument in sys.argv[1:] if argument not in playbooks)


def last_error(log: Path) -> str:
    """Return why a playbook failed, by its output; empty where it does not say."""
    reasons = [
        found["reason"]
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if (found := ERROR.match(line))
    ]
    return reasons[-1] if reasons else ""


def show(text: str, color: str | None = None) -> None:
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(text, color=color)
