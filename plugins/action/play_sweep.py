"""Plays a sweep, run by run, and goes on where it was ended.

`fpaas.control.sweep_player` decides what is played when; this checks, and plays runs: the first by
another ansible-playbook, those that need nothing else of the embedded lab on what that has
made (`fpaas.control.kept_lab`), all others by playbooks again. Ctrl-C reaches a run's playbook by
way of this worker's process group; if ours was killed, the worker notices and interrupts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from ansible import context
from ansible.constants import DEFAULT_LOCAL_TMP
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from click import ClickException
from msgspec import structs

from fpaas import spec
from fpaas.commands import plan, report
from fpaas.control import capacity_question, frontier_player, own_command, play_notes, signals
from fpaas.control.capacity_player import CapacityPlayer
from fpaas.control.frontier_player import FrontierPlayer
from fpaas.control.kept_lab import CannotBeginError, KeptLab, KeptSettings
from fpaas.control.progress import line
from fpaas.control.sweep_player import Player
from fpaas.records.sweep import Sweep, SweepPoint
from fpaas.sweep import grid
from fpaas.text import plain_output

LOOK_INTERVAL_S = 0.5
#: A run's own progress is shown this often.
SHOW_PROGRESS_EVERY_S = 60.0
RUN = "run.yml"
#: Not of the load, and no reason to keep figures apart.
NOT_COMPARED = ("bench_repeat",)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "grid": {"type": "raw"},
    "search": {"type": "dict"},
    "is_frontier": {"type": "bool", "default": False},
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
    "kept": {"type": "dict", "default": {}},
    "provisioned_by": {"type": "list", "elements": "str", "default": []},
    "collects": {"type": "bool", "required": True},
    "results": {"type": "path", "required": True},
    "playbooks": {"type": "path", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """`play_sweep: {grid or search, sweep_id, name, title, goal, variables, repeats, …}`."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Play what is missing; fails with what is wrong, or with the points that have no run."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        arguments = plain(arguments)
        result: dict[str, Any] = super().run(None, task_vars)
        try:
            prepared = self._prepare(arguments, task_vars or {})
            if self._task.check_mode:
                show(prepared.outline())
                return {**result, "changed": False}
            with self._runs:
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

    def _prepare(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> Player:
        """Check everything before anything is started."""
        if arguments["retries"] < 0:
            raise spec.SpecError(f"sweep_retries: {arguments['retries']} is not allowed; 0 or more")
        given = load_extra_vars(self._loader)
        search = arguments["search"]
        if search is None:
            of_grid = "frontier_grid" if arguments["is_frontier"] else "sweep_grid"
            points = grid.expand(arguments["grid"], arguments["known"], of_grid)
            refuse_given_twice(points[0], given)
        else:
            points = [{search["variable"]: None}]
        # The user's -e wins over this sweep's playbook.
        shared = {name: v for name, v in arguments["variables"].items() if name not in given}
        shared = {name: v for name, v in shared.items() if name not in points[0]}

        def templated(variables: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
            available = {**task_vars, **shared, **variables}
            templar = self._templar.copy_with_new_env(available_variables=available)
            return plain(templar.template(available[name]))

        def spec_at(point: grid.Point) -> spec.RunSpec:
            return check(templated(point, "run_variables"), arguments["topology"], point)

        question = None
        if search is not None:
            name = search["variable"]
            hosts = len(arguments["topology"]["hosts"]["consumers"])
            question = capacity_question.read(
                search,
                task_vars.get(name),
                lambda value: spec_at({name: value}),
                plan.limits_here,
                {"lab_consumers_hosts": hosts} if arguments["collects"] else None,
            )
            points = [{name: int(question.start) if question.is_integer else question.start}]
        specs = [spec_at(point) for point in points]
        axes = {name: list(dict.fromkeys(point[name] for point in points)) for name in points[0]}
        compared = {
            name: value
            for name, value in specs[0].variables.items()
            if name not in {*NOT_COMPARED, *points[0]}
            and all(s.variables[name] == value for s in specs)
        }
        compared["inventory"] = arguments["lab"]
        asked = axes
        if question is not None:
            # Its starting point is no part of its identity: that follows from the machine's state.
            asked = {name: v for name, v in structs.asdict(question).items() if name != "start"}
        sweep = Sweep(
            sweep_id=arguments["sweep_id"]
            or grid.identity(
                arguments["name"],
                [
                    asked,
                    *(compared, arguments["topology"]["hosts"]),
                ],
            ),
            name=arguments["name"],
            title=arguments["title"],
            grid=axes,
            repeats=spec.VARIABLES["bench_repeat"].read("bench_repeat", arguments["repeats"]),
            variables=compared,
            hosts=arguments["topology"]["hosts"],
            points=[SweepPoint(number, point) for number, point in enumerate(points, 1)],
            search=question,
        )
        if not plan.RUN_ID.fullmatch(sweep.sweep_id):
            raise spec.SpecError(
                f"sweep_id: {sweep.sweep_id!r} is not allowed; letters, digits, '.', '_' and '-'"
            )
        if arguments["is_frontier"]:
            frontier_player.prepare(sweep)
        windows = [(one.settled_unix_ns - one.t0_unix_ns) / spec.NS_PER_S for one in specs]
        by_playbook = RunPlaybook(
            Path(arguments["playbooks"]),
            task_vars["ansible_playbook_python"],
            shared,
            asked_passwords(self._play_context),
        )
        self._runs = Runs(by_playbook, templated, arguments)
        player = (
            FrontierPlayer if arguments["is_frontier"] else CapacityPlayer if search else Player
        )
        return player(
            sweep,
            windows,
            results=Path(arguments["results"]),
            goal=arguments["goal"],
            retries=arguments["retries"],
            collects=arguments["collects"],
            run_playbook=self._runs,
            show=show,
        )


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return the same without Ansible's own kinds of strings and numbers, which no record knows."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    for kind in (str, float, int):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


def refuse_given_twice(point: grid.Point, given: dict[str, Any]) -> None:
    """Refuse a variable that is swept and given with -e; raises SpecError that names it."""
    for name in point:
        if name in given:
            raise spec.SpecError(
                f"sweep_grid: {name} is swept, and given with -e as well "
                f"({grid.written(given[name])}); leave out one"
            )


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
        raise spec.SpecError(f"{said} (at the point {grid.label(point)})") from error


class RunPlaybook:
    """Starts an ansible-playbook with the options of ours, and waits for its end."""

    def __init__(
        self, playbooks: Path, python: str, shared: dict[str, Any], passwords: dict[str, str]
    ) -> None:
        self._playbooks = playbooks
        self._program = Path(python).with_name("ansible-playbook")
        self._shared = shared
        self._passwords = passwords
        self._control_pid = os.getppid()
        #: Another time that this sweep is played, the network may be another one.
        self._series = {"run_series": str(time.time_ns())}

    def __call__(self, playbook: str, variables: dict[str, Any], log: Path) -> int:
        """Run it, with what it prints added to a file; returns its exit code."""
        command = [
            str(self._program),
            str(self._playbooks / playbook),
            *("--extra-vars", json.dumps(self._shared)),
            *own_command.silent_options(sys.argv[1:], context.CLIARGS["args"]),
            *("--extra-vars", json.dumps(self._series | variables)),
        ]
        with tempfile.TemporaryDirectory(dir=DEFAULT_LOCAL_TMP) as private:
            for option, password in self._passwords.items():
                file = Path(private) / option.lstrip("-")
                file.touch(mode=0o600)
                file.write_text(password, encoding="utf-8")
                command += [option, str(file)]
            with log.open("a", encoding="utf-8") as output:
                process = subprocess.Popen(  # noqa: S603  (ours)
                    command,
                    env=play_notes.environment(os.environ, log),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            return self._follow(process, log)

    def _follow(self, process: subprocess.Popen[bytes], log: Path) -> int:
        show_at = time.monotonic() + SHOW_PROGRESS_EVERY_S
        while (ended_with := process.poll()) is None:
            time.sleep(LOOK_INTERVAL_S)
            if os.getppid() != self._control_pid:
                # Our ansible-playbook was killed: so is the run's, whose guard cleans up.
                process.send_signal(signal.SIGINT)
                os._exit(1)
            if time.monotonic() >= show_at:
                show_at += SHOW_PROGRESS_EVERY_S
                if progress := play_notes.last_progress(log):
                    show(f"  {line(progress)}")
        return ended_with


class Runs:
    """Plays runs by playbooks, or on the lab that one has made if that is all that they need.

    On hosts, they need a playbook each, which then does not prepare the hosts again, unless the run
    before did not pass: hosts may be the reason.

    `templated` returns a variable as a run's variables make it.
    """

    def __init__(
        self,
        by_playbook: RunPlaybook,
        templated: Callable[[Mapping[str, Any], str], Any],
        arguments: dict[str, Any],
    ) -> None:
        self._by_playbook = by_playbook
        self._templated = templated
        self._arguments = arguments
        self._lab: KeptLab | None = None
        #: The variables by which the last playbook provisioned the lab.
        self._made_by: dict[str, Any] | None = None

    def __call__(self, playbook: str, variables: dict[str, Any], log: Path) -> int:
        """Play it, with what it prints added to a file; returns the playbook's exit code, or 0."""
        made_by = self._lab_at(variables) if playbook == RUN else None
        is_made = made_by is not None and fits(self._made_by, made_by)
        is_kept = bool(self._arguments["kept"])
        if is_made and is_kept:
            try:
                self._play_kept(variables, log)
            except CannotBeginError as error:
                with log.open("a", encoding="utf-8") as output:
                    output.write(f"{error}\nThe lab that is kept up did not begin the run.\n")
            else:
                return 0
        self.release()
        prepared = {"run_hosts_are_prepared": True} if is_made and not is_kept else {}
        ended_with = self._by_playbook(playbook, variables | prepared, log)
        has_run = (Path(self._arguments["results"]) / variables["run_id"] / "run.json").exists()
        self._made_by = made_by if has_run and (is_kept or ended_with == 0) else None
        return ended_with

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let go of the lab; if we are interrupted, its guard does that, and collects."""
        if kind is None or issubclass(kind, Exception):
            self.release()

    def release(self) -> None:
        """Let go of a lab that was kept up."""
        if self._lab is not None:
            self._lab.release()
        self._lab = self._made_by = None

    def _lab_at(self, variables: dict[str, Any]) -> dict[str, Any] | None:
        """Return all that provisioning goes by; None if a run needs all of a playbook anyway."""
        names = self._arguments["provisioned_by"]
        made_by = {name: self._templated(variables, name) for name in names}
        # Only a playbook repairs what faults break, and has Prometheus of the embedded lab watch.
        is_watched = made_by["lab_monitoring"] and self._arguments["kept"]
        return None if is_watched or made_by["bench_faults"] else made_by

    def _play_kept(self, variables: dict[str, Any], log: Path) -> None:
        planned = plan.planned(
            self._templated(variables, "run_variables"),
            variables["run_id"],
            spec.Scenario(
                variables["scenario_name"],
                variables["scenario_title"],
                variables["scenario_goal"],
                plan.merged_goals(
                    [self._templated(variables, name) for name in ("scenario_goals", "goals")]
                ),
            ),
            plan.topology_of(self._arguments["topology"], "the inventory"),
        )
        if self._lab is None:
            control = self._templated(variables, "run_control")
            results = Path(self._arguments["results"])
            settings = KeptSettings.read(self._arguments["kept"], results, control)
            self._lab = KeptLab(settings, report.write_run, show)
        with (
            log.open("a", encoding="utf-8") as output,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            self._lab.play(planned)


def fits(made_by: dict[str, Any] | None, needed: dict[str, Any]) -> bool:
    """Whether a lab is as a run needs it; it may have been made for more open files."""
    if made_by is None:
        return False
    more = {"lab_open_files": needed["lab_open_files"]}
    return needed == made_by | more and int(made_by["lab_open_files"]) >= int(*more.values())


def asked_passwords(play_context: Any) -> dict[str, str]:  # noqa: ANN401
    """Return passwords that somebody typed, by the option that names a file for one."""
    given = {
        "--become-password-file": ("become_ask_pass", play_context.become_pass),
        "--connection-password-file": ("ask_pass", play_context.password),
    }
    return {
        option: password
        for option, (asked, password) in given.items()
        if context.CLIARGS.get(asked) and password
    }


def show(text: str, color: str | None = None) -> None:
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(plain_output.for_user(text, os.environ), color=color)
