"""Plays runs on hosts that a playbook has prepared, by few calls to each, to all at once.

A task of Ansible costs a process for each host, and waits for the slowest; a run that is made of
tasks costs more than its agents take to come up. What a run must not inherit is new for each: NATS
with its stream, memory and counters, the agents, and their directory. If we are killed, hosts go on
with the run, and it can be collected later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from fpaas import common_time
from fpaas.control import collecting, fetching, following
from fpaas.control.host_part import HostPart
from fpaas.control.hosts_beginning import Beginning, CannotBeginError, LeadTimes
from fpaas.control.hosts_network import Network
from fpaas.control.lab_host import (
    Answers,
    Calls,
    Host,
    HostError,
    HostSilentError,
    checked,
    everywhere,
)
from fpaas.control.progress import Progress
from fpaas.records import control
from fpaas.records.control import ControlProblem, Trouble
from fpaas.records.events import AGENTS_STOPPED, EventLog
from fpaas.spec import RunSpec

STOP = "Stop the agents"
#: Values in files of credentials.
QUOTED = re.compile('"(.+)"')
FETCH = "Seal the host's part, and fetch it"


@dataclass(frozen=True)
class HostsSettings:
    """The lab's settings, as playbooks have them; `control` is the beginning of control.json."""

    parts: Mapping[str, HostPart]
    results: Path
    lead: LeadTimes
    network: Network
    grace_s: float
    free_disk_mb: float
    control: Mapping[str, Any]

    @classmethod
    def read(
        cls, parts: Mapping[str, Any], lab: Mapping[str, Any], control: Mapping[str, Any]
    ) -> Self:
        """Read what `roles/run` has of hosts and lab; Ansible's own strings become plain."""
        plain = json.loads(json.dumps(lab))
        return cls(
            parts=msgspec.convert(json.loads(json.dumps(parts)), dict[str, HostPart]),
            results=Path(plain["results"]),
            lead=msgspec.convert(plain["lead"], LeadTimes),
            network=msgspec.convert(plain["network"], Network),
            grace_s=float(plain["grace_s"]),
            free_disk_mb=float(plain["free_disk_mb"]),
            control=json.loads(json.dumps(control)),
        )


@dataclass(frozen=True)
class View:
    """What users see: lines, and each host's progress (its second argument: whether it draws).

    Hosts are followed by threads; what these show waits for `flush`, which is called by none.
    """

    show: Callable[[str], None]
    follow: Callable[[Progress, bool], following.Shown]
    flush: Callable[[], None]


class HostsLab:
    """Hosts that play one run after the other.

    `report` writes a bundle's report, and `prepare_report` loads what that takes, while hosts
    measure.
    """

    def __init__(
        self,
        settings: HostsSettings,
        hosts: Mapping[str, Host],
        view: View,
        report: Callable[[Path], object],
        prepare_report: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._hosts = hosts
        self._view = view
        self._report = report
        self._prepare_report = prepare_report
        self._beginning = Beginning(
            settings.parts, hosts, settings.lead, settings.network, view.show
        )

    def play(self, planned: RunSpec, *, is_checked: bool) -> None:
        """Play one run up to its report. Raises CannotBeginError, and what `report` raises.

        Hosts that no playbook has checked for this run (`is_checked`) are asked whether they are
        free.
        """
        own = self._settings
        bundle = own.results / planned.run_id
        try:
            armed = self._beginning.begin(
                planned, bundle, free_mb=0.0 if is_checked else own.free_disk_mb
            )
        except CannotBeginError:
            self._give_up(planned, removes=not is_checked)
            raise
        problems = self._follow(armed, bundle)
        self._keep_metrics(armed.run_id)
        stopped = self._stop(bundle)
        reached = {name: host for name, host in self._hosts.items() if name in stopped.of}
        brought = everywhere(reached, lambda name, host: self._bring(armed, bundle, name, host))
        tidying = Calls(
            reached,
            lambda name, host: self._tidy(armed, name, host, is_here=name in brought.of),
        )
        problems += self._missing(armed, stopped, brought)
        for name in list(brought.of)[:1]:
            collecting.put_at_head(bundle, name)
        collecting.account(bundle, own.control, armed.run_id, problems)
        try:
            self._report(bundle)
        finally:
            for name, error in tidying.wait().errors.items():
                self._view.show(f"{name}: was not tidied up: {error}")
        collecting.point_latest(own.results, armed.run_id)

    def _give_up(self, planned: RunSpec, *, removes: bool) -> None:
        """Leave nothing running; a directory that a playbook is to make again is removed."""

        def end(name: str, host: Host) -> None:
            part = self._settings.parts[name]
            checked(host, part.stop())
            if removes:
                fetching.remove(host, part.directory(planned.run_id), part.archive(planned.run_id))

        everywhere(self._hosts, end)

    def _follow(self, armed: RunSpec, bundle: Path) -> list[ControlProblem]:
        first = next(iter(self._hosts))

        def follow(name: str, host: Host) -> list[ControlProblem]:
            part = self._settings.parts[name]
            followed = Progress(armed, name, part.agents_of(armed, name), self._settings.grace_s)
            shown = self._view.follow(followed, name == first)
            with EventLog(bundle / control.EVENTS) as log:
                directory = part.directory(armed.run_id)
                return following.follow(followed, host, directory, shown, log)

        calls = Calls(self._hosts, follow)
        self._prepare_report()
        answers = calls.wait(self._view.flush)
        found = [one for name in self._hosts for one in answers.of.get(name, [])]
        return found + [_failed(name, "Follow the run", e) for name, e in answers.errors.items()]

    def _keep_metrics(self, run_id: str) -> None:
        """Have metrics kept. A run does not need them: errors are said, and fail nothing."""
        watching = {n: h for n, h in self._hosts.items() if self._settings.parts[n].keep_options}

        def keep(name: str, host: Host) -> None:
            part = self._settings.parts[name]
            checked(host, part.keep_metrics(run_id), login_in(part.keep_login))

        for name, error in everywhere(watching, keep).errors.items():
            self._view.show(f"{name}: metrics were not kept: {error}")

    def _stop(self, bundle: Path) -> Answers[str]:
        """Stop what may be left of the agents; hosts that answer are those that were reached."""

        def stop(name: str, host: Host) -> str:
            ended = host.call(self._settings.parts[name].stop())
            return ended.said if ended.code else ""

        stopped = everywhere(self._hosts, stop)
        now = common_time.now_ns()
        with EventLog(bundle / control.EVENTS) as log:
            log.begin(AGENTS_STOPPED, now, {}, end_unix_ns=now)
        return stopped

    def _bring(self, armed: RunSpec, bundle: Path, name: str, host: Host) -> bool:
        part = self._settings.parts[name]
        directory, archive = part.directory(armed.run_id), part.archive(armed.run_id)
        with collecting.noted(bundle, name):
            seal = part.seal(armed, name)
            return fetching.bring(host, seal, directory, archive, bundle / "hosts" / name)

    def _tidy(self, armed: RunSpec, name: str, host: Host, *, is_here: bool) -> None:
        part = self._settings.parts[name]
        if is_here:
            fetching.remove(host, part.directory(armed.run_id), part.archive(armed.run_id))
        checked(host, part.free())

    def _missing(
        self, armed: RunSpec, stopped: Answers[str], brought: Answers[bool]
    ) -> list[ControlProblem]:
        """Say whose agents could not be stopped, and whose part is not there."""
        found = [_failed(name, STOP, said) for name, said in stopped.of.items() if said]
        for name, error in (stopped.errors | brought.errors).items():
            if isinstance(error, HostSilentError):
                found.append(ControlProblem(problem=Trouble.NOT_REACHED, host=name))
            else:
                directory = self._settings.parts[name].directory(armed.run_id)
                said = {"task": FETCH, "message": str(error), "directory": directory}
                found.append(
                    ControlProblem(problem=Trouble.NOT_BROUGHT, host=name, parameters=dict(said))
                )
        return found


def login_in(path: str) -> str:
    """Return the user and the password that a file of credentials has; empty if none is named."""
    if not path:
        return ""
    try:
        return " ".join(QUOTED.findall(Path(path).expanduser().read_text(encoding="utf-8")))
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error


def _failed(host: str, task: str, error: object) -> ControlProblem:
    parameters: dict[str, Any] = {"task": task, "message": str(error)}
    return ControlProblem(problem=Trouble.TASK_FAILED, host=host, parameters=parameters)
