"""Plays single runs of a sweep: by playbooks, or on what one of these has made."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from ansible import context
from ansible.constants import DEFAULT_LOCAL_TMP
from ansible.utils.display import Display
from ansible_collections.fpaas.bench_lab.plugins.action import play_runs

from fpaas import spec
from fpaas.commands import plan, report
from fpaas.control import hosts_beginning, kept_lab, own_command, play_notes, signals
from fpaas.control.hosts_lab import HostsLab, HostsSettings
from fpaas.control.kept_lab import KeptLab, KeptSettings
from fpaas.control.lab_host import Host
from fpaas.control.progress import line
from fpaas.text import plain_output
from fpaas.verdict import verdict

LOOK_INTERVAL_S = 0.5
#: A run's own progress is shown this often.
SHOW_PROGRESS_EVERY_S = 60.0
RUN = "run.yml"
CANNOT_BEGIN = (kept_lab.CannotBeginError, hosts_beginning.CannotBeginError)


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
        self.series = {"run_series": str(time.time_ns())}

    def __call__(self, playbook: str, variables: dict[str, Any], log: Path) -> int:
        """Run it, with what it prints added to a file; returns its exit code."""
        command = [
            str(self._program),
            str(self._playbooks / playbook),
            *("--extra-vars", json.dumps(self._shared)),
            *own_command.silent_options(sys.argv[1:], context.CLIARGS["args"]),
            *("--extra-vars", json.dumps(self.series | variables)),
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

    If a run on hosts did not pass, a playbook plays the next: hosts may be the reason.

    `templated` returns a variable as a run's variables make it, `connect` ways to hosts.
    """

    def __init__(
        self,
        by_playbook: RunPlaybook,
        templated: Callable[[Mapping[str, Any], str], Any],
        connect: Callable[[Iterable[str]], dict[str, Host]],
        arguments: dict[str, Any],
    ) -> None:
        self._by_playbook = by_playbook
        self._templated = templated
        self._connect = connect
        self._arguments = arguments
        self._lab: KeptLab | None = None
        #: The variables by which the last playbook provisioned the lab.
        self._made_by: dict[str, Any] | None = None

    def __call__(self, playbook: str, variables: dict[str, Any], log: Path) -> int:
        """Play it, with what it prints added to a file; returns the playbook's exit code, or 0."""
        made_by = self._lab_at(variables) if playbook == RUN else None
        is_made = made_by is not None and fits(self._made_by, made_by)
        is_kept = bool(self._arguments["kept"])
        play = self._play_kept if is_kept else self._play_on_hosts
        # What hosts play was noted for this playbook's own variables.
        if is_made and (is_kept or made_by == self._lab_at({})):
            try:
                play(variables, log)
            except CANNOT_BEGIN as error:
                with log.open("a", encoding="utf-8") as output:
                    output.write(f"{error}\nThe lab that is kept up did not begin the run.\n")
                is_made = False
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
        is_watched = made_by["lab_monitoring"] and (
            self._arguments["kept"] or made_by["bench_keep_metrics"]
        )
        return None if is_watched or made_by["bench_faults"] else made_by

    def _play_kept(self, variables: dict[str, Any], log: Path) -> None:
        planned = self._planned(variables)
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

    def _play_on_hosts(self, variables: dict[str, Any], log: Path) -> None:
        planned = self._planned(variables)
        in_series = {**variables, **self._by_playbook.series}
        settings = HostsSettings.read(
            self._arguments["parts"],
            self._templated(in_series, "run_on_hosts"),
            self._templated(variables, "run_control"),
        )
        with log.open("a", encoding="utf-8") as output:

            def write_report(bundle: Path) -> None:
                with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                    if report.write_run(bundle) != verdict.PASS:
                        self._made_by = None

            view = play_runs.view(SHOW_PROGRESS_EVERY_S)
            hosts = self._connect(settings.parts)
            lab = HostsLab(settings, hosts, view, write_report, play_runs.load_report)
            lab.play(planned, is_checked=False)

    def _planned(self, variables: dict[str, Any]) -> spec.RunSpec:
        return plan.planned(
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


def fits(made_by: dict[str, Any] | None, needed: dict[str, Any]) -> bool:
    """Whether a lab is as a run needs it; it may have been made for more open files."""
    if made_by is None:
        return False
    more = {"lab_open_files": needed["lab_open_files"]}
    return needed == made_by | more and int(made_by["lab_open_files"]) >= int(*more.values())


def show(text: str, color: str | None = None) -> None:
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(plain_output.for_user(text, os.environ), color=color)
