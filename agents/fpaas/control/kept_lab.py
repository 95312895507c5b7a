"""Plays runs on the embedded lab while it is kept up, without a playbook for each.

A playbook has provisioned and checked the lab. From then on the guard holds it for us, so that
nobody else uses it, and if we are killed, ends and collects the run. What a run must not
inherit is new for each: NATS with its stream, memory and counters, the agents, and their
directory. Kept are what all runs share: the configuration, and a Python that has loaded what plans
and reports. Hosts with systemd have `hosts_lab` instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fpaas import common_time
from fpaas.agent import run_loop
from fpaas.control import agents_up, arming, collecting, guard, lab_lock, lab_processes
from fpaas.control.progress import Progress, line
from fpaas.errors import BadInput, RunInvalid
from fpaas.jetstream import stream
from fpaas.records import control
from fpaas.records.control import ControlProblem
from fpaas.records.events import AGENTS_STOPPED, RUN_ARMED, TROUBLE_NOTED, EventLog
from fpaas.records.events import Value as EventValue
from fpaas.spec import RunSpec

LOOK_INTERVAL_S = 0.5
#: Agents are about to end: who waits for that waits no longer than it takes.
LOOK_AT_END_INTERVAL_S = 0.05
SHOW_EVERY_S = 60.0
RUN_FILE = "run.json"


class CannotBeginError(Exception):
    """A run did not get as far as its T0; says why. Nothing of it is left running."""


@dataclass(frozen=True)
class Commands:
    """How `roles/_service` does it: hold the lab, start supervisor and what comes first, agents."""

    hold: list[str]
    up: list[str]
    start: list[str]


@dataclass(frozen=True)
class KeptSettings:
    """The lab's settings, as its playbooks have them; `control` is the beginning of control.json.

    `agents` are those of `host`, the lab's only one.
    """

    lab: Path
    results: Path
    commands: Commands
    host: str
    agents: list[str]
    nats_server: Path
    nats_environment: dict[str, str]
    lead_s: float
    lead_s_per_1000_consumers: float
    start_patience_s: float
    grace_s: float
    free_disk_mb: float
    control: Mapping[str, Any]

    @classmethod
    def read(cls, kept: Mapping[str, Any], results: Path, control: Mapping[str, Any]) -> Self:
        """Read `run_kept` and `run_control` of `roles/run`; Ansible's own strings become plain."""
        plain = json.loads(json.dumps(kept))
        return cls(
            results=results,
            control=json.loads(json.dumps(control)),
            lab=Path(plain.pop("lab")),
            nats_server=Path(plain.pop("nats_server")),
            commands=Commands(**plain.pop("commands")),
            **plain,
        )


class KeptLab:
    """A lab that stays ours from its first run to `release`; it may be ours before (`is_held`).

    `report` writes a bundle's report; `show` shows a line to the user.
    """

    def __init__(
        self,
        settings: KeptSettings,
        report: Callable[[Path], object],
        show: Callable[[str], None],
        *,
        is_held: bool = False,
    ) -> None:
        self._settings = settings
        self._report = report
        self._show = show
        self._control_pid = os.getppid()
        self._is_held = is_held

    def release(self) -> None:
        """Let go of the lab, with nothing of it left running."""
        if self._is_held:
            lab_processes.sweep(self._settings.lab)
            lab_lock.Lab(self._settings.lab).release()
            self._is_held = False

    def play(self, planned: RunSpec) -> None:
        """Play one run up to its report. Raises CannotBeginError, and what `report` raises."""
        own = self._settings
        directory, bundle = self._directory(planned), own.results / planned.run_id
        try:
            self._check_room()
            self._hold()
            armed = self.begin(planned)
        except (OSError, CannotBeginError) as error:
            self._clear()
            shutil.rmtree(directory, ignore_errors=True)
            raise CannotBeginError(str(error)) from error
        # If we are interrupted, the guard does the rest, and collects what was measured.
        try:
            self._measure(armed, directory, bundle)
        except Exception:
            self._clear()
            raise
        self._clear()

    def begin(self, planned: RunSpec) -> RunSpec:
        """Start all that a run needs, and give it its T0.

        Raises CannotBeginError; what was started goes on, so that it can be asked why.
        """
        directory = self._directory(planned)
        try:
            self._lay_out(planned, directory)
            self._start()
            armed = self._arm(planned, directory)
        except (OSError, RunInvalid, BadInput, agents_up.NotUpError) as error:
            raise CannotBeginError(str(error)) from error
        bundle = self._settings.results / planned.run_id
        bundle.mkdir(parents=True, exist_ok=True)
        with EventLog(bundle / control.EVENTS) as log:
            _note(log, RUN_ARMED, {})
        return armed

    def _directory(self, run: RunSpec) -> Path:
        return self._settings.lab / "runs" / run.run_id

    def _measure(self, armed: RunSpec, directory: Path, bundle: Path) -> None:
        """Follow a run that was armed, and collect and report it."""
        own = self._settings
        with EventLog(bundle / control.EVENTS) as log:
            problems = self._follow(armed, directory)
            for problem in problems:
                noted = {"host": own.host, "problem": problem.problem.value, **problem.parameters}
                _note(log, TROUBLE_NOTED, noted)
            lab_processes.sweep(own.lab)
            _note(log, AGENTS_STOPPED, {})
        collecting.copy(directory, bundle, own.host, own.nats_server)
        collecting.put_at_head(bundle, own.host)
        collecting.account(bundle, own.control, armed.run_id, problems)
        self._report(bundle)
        collecting.point_latest(own.results, armed.run_id)

    # -- up to T0 ----------------------------------------------------------------------------------

    def _check_room(self) -> None:
        for directory in (self._settings.lab, self._settings.results):
            free_mb = shutil.disk_usage(directory).free / 1e6
            if free_mb < self._settings.free_disk_mb:
                raise OSError(f"{directory}: {free_mb:.0f} MB are free")

    def _hold(self) -> None:
        if not self._is_held:
            self._run(self._settings.commands.hold)
            self._is_held = True

    def _lay_out(self, planned: RunSpec, directory: Path) -> None:
        """Make the run's directory, where services write to."""
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        _write(directory / RUN_FILE, planned.to_json())
        link = self._settings.lab / guard.CURRENT
        fresh = link.with_name(f"{guard.CURRENT}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"runs/{planned.run_id}")
        fresh.replace(link)

    def _start(self) -> None:
        self._run(self._settings.commands.up)

    def _arm(self, planned: RunSpec, directory: Path) -> RunSpec:
        """Start the agents, make the stream while they come up, and set T0 once all are there."""
        own = self._settings
        command = [*own.commands.start, *own.agents]
        starting = subprocess.Popen(  # noqa: S603  (the lab's own)
            command,
            cwd=own.lab,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with _environment(own.nats_environment):
            try:
                left = run_loop(_provision(planned))
            finally:
                said, _ = starting.communicate()
        if starting.returncode:
            raise OSError(said.strip() or f"{command[0]} ended with {starting.returncode}")
        if left:
            self._show(f"removes what an earlier run left: {left}")
        up = agents_up.wait(
            lambda: self._statuses(directory), own.agents, own.start_patience_s, str(directory)
        )
        armed = arming.arm(
            planned,
            common_time.now_ns(),
            own.lead_s,
            own.lead_s_per_1000_consumers,
            {} if up.clock is None else {own.host: up.clock},
            connect_s=up.connect_s,
        )
        _write(directory / RUN_FILE, armed.to_json())
        return armed

    def _run(self, command: list[str]) -> None:
        self._end_with_playbook()
        ended = subprocess.run(  # noqa: S603  (the lab's own)
            command,
            cwd=self._settings.lab,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            said = (ended.stderr or ended.stdout).strip()
            raise OSError(said or f"{command[0]} ended with {ended.returncode}")

    # -- up to its end -----------------------------------------------------------------------------

    def _follow(self, armed: RunSpec, directory: Path) -> list[ControlProblem]:
        own = self._settings
        progress = Progress(armed, own.host, own.agents, own.grace_s)
        show_at = time.monotonic() + SHOW_EVERY_S
        while True:
            gone = [pid for pid in progress.pids if not Path(f"/proc/{pid}").exists()]
            progress.update(self._statuses(directory), gone)
            now_unix_ns = common_time.now_ns() + armed.control_clock_shift_ns
            if progress.finished(now_unix_ns):
                return progress.problems(now_unix_ns)
            if time.monotonic() >= show_at:
                show_at += SHOW_EVERY_S
                self._show(f"  {line(progress.at(now_unix_ns))}")
            at_end = now_unix_ns >= armed.end_unix_ns
            time.sleep(LOOK_AT_END_INTERVAL_S if at_end else LOOK_INTERVAL_S)

    def _end_with_playbook(self) -> None:
        """End if our ansible-playbook was killed: its guard ends the run, and collects it."""
        if os.getppid() != self._control_pid:
            os._exit(1)

    def _statuses(self, directory: Path) -> list[str]:
        self._end_with_playbook()
        lines = []
        for path in directory.glob("*.status.json"):
            with contextlib.suppress(OSError):
                lines.append(path.read_text(encoding="utf-8", errors="replace"))
        return lines

    # -- from then on ------------------------------------------------------------------------------

    def _clear(self) -> None:
        """Leave nothing of a run: no process, no run that is on, no raw files that were brought."""
        own = self._settings
        lab_processes.sweep(own.lab)
        (own.lab / guard.CURRENT).unlink(missing_ok=True)
        guard.prune(own.lab, own.results)


async def _provision(planned: RunSpec) -> str | None:
    """Recreate the stream and its consumers; returns what an earlier run had left of them."""
    async with stream.jetstream(planned.nats_url) as context:
        left = await stream.described(context, planned)
        await stream.provision(context, planned)
        return left


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have variables in this process's environment for a while: how programs log in to NATS."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _note(log: EventLog, kind: str, parameters: dict[str, EventValue]) -> None:
    now = common_time.now_ns()
    log.begin(kind, now, parameters, end_unix_ns=now)


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole: agents look at it all the time."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)
