"""Plays a sweep, run by run, and goes on where it was ended.

`fpaas.control.sweep_player` decides what is played when; this checks, and plays runs: the first by
another ansible-playbook, those that need nothing else of the embedded lab on what that has
made (`fpaas.control.kept_lab`), all others by playbooks again. Ctrl-C reaches a run's playbook by
way of this worker's process group; if ours was killed, the worker notices and interrupts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.fpaas.bench_lab.plugins.plugin_utils import lab_hosts
from ansible_collections.fpaas.bench_lab.plugins.plugin_utils.sweep_runs import (
    RunPlaybook,
    Runs,
    show,
)
from click import ClickException
from msgspec import structs

from fpaas import spec
from fpaas.commands import plan
from fpaas.control import (
    capacity_question,
    frontier_player,
)
from fpaas.control.capacity_player import CapacityPlayer
from fpaas.control.frontier_player import FrontierPlayer
from fpaas.control.sweep_player import Player
from fpaas.records.sweep import Sweep, SweepPoint
from fpaas.sweep import grid

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
    "parts": {"type": "dict", "default": {}},
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
        self._runs = Runs(
            by_playbook,
            templated,
            lambda names: lab_hosts.connect(self, task_vars, names),
            arguments,
        )
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
