"""Plays a run, and repeats it, on hosts that a playbook has prepared."""

from __future__ import annotations

import contextlib
import io
import queue
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.fpaas.bench_lab.plugins.action import watch_run
from ansible_collections.fpaas.bench_lab.plugins.plugin_utils import lab_hosts
from click import ClickException

from fpaas.control import own_command
from fpaas.control.hosts_beginning import CannotBeginError
from fpaas.control.hosts_lab import HostsLab, HostsSettings, View
from fpaas.control.progress import Progress
from fpaas.errors import EXIT_DONE, EXIT_RUN_INVALID, EXIT_VERDICT_FAILED
from fpaas.spec import RunSpec, SpecError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "plan": {"type": "path", "required": True},
    "times": {"type": "int", "default": 1},
    "hosts": {"type": "dict", "required": True},
    "lab": {"type": "dict", "required": True},
    "control": {"type": "dict", "required": True},
    "collect": {"type": "path", "required": True},
    "missing": {"type": "list", "elements": "str", "default": []},
    "show_every_s": {"type": "float", "default": 5.0},
}
#: Of reports that tell a verdict; others tell why there is none.
WITH_VERDICT = (EXIT_DONE, EXIT_VERDICT_FAILED, EXIT_RUN_INVALID)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = True

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `runs`: each one's id, exit code of its report and what that printed."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        if arguments["missing"]:
            names = ", ".join(arguments["missing"])
            raise AnsibleActionFail(f"{names}: could not be prepared, so the run does not begin")
        settings = HostsSettings.read(arguments["hosts"], arguments["lab"], arguments["control"])
        reports: list[dict[str, Any]] = []
        lab = HostsLab(
            settings,
            lab_hosts.connect(self, task_vars or {}, settings.parts),
            view(arguments["show_every_s"]),
            lambda bundle: reports.append(reported(bundle, arguments["collect"])),
            load_report,
        )
        run_id = ""
        try:
            first = RunSpec.load(Path(arguments["plan"]))
            for number in range(arguments["times"]):
                run_id = first.run_id
                if number:
                    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{first.scenario.name}"
                    watch_run.show(f"{run_id}: on the hosts as they are")
                lab.play(replace(first, run_id=run_id), is_checked=number == 0)
        except (CannotBeginError, SpecError) as error:
            raise AnsibleActionFail(str(error)) from error
        except (OSError, ValueError) as error:
            bundle = settings.results / run_id
            raise AnsibleActionFail(no_report(bundle, str(error), arguments["collect"])) from error
        return {**result, "changed": True, "runs": reports}


def view(show_every_s: float) -> View:
    """Return what shows lines, and progress.

    Threads never show anything: interrupted while it holds the lock of Ansible's queue, one would
    leave ansible-playbook waiting for ever.
    """
    waiting: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()

    def flush() -> None:
        while not waiting.empty():
            text, options = waiting.get()
            watch_run.show(text, **options)

    def later(text: str, **options: Any) -> None:  # noqa: ANN401
        waiting.put((text, options))

    def follow(followed: Progress, draws: bool) -> watch_run.Shown:  # noqa: FBT001
        return watch_run.Shown(followed, show_every_s, draws=draws, display=later)

    return View(watch_run.show, follow, flush)


def load_report() -> Callable[[Path], str]:
    """Load what writes reports. It takes a while, and nothing else is to do while hosts measure."""
    from fpaas.commands import report  # noqa: PLC0415
    from fpaas.report import figure_files, page, results_page  # noqa: F401, PLC0415

    return report.write_run


def reported(bundle: Path, collect: str) -> dict[str, Any]:
    """Write a report; returns its exit code and text. Fails if there is none.

    `collect` is the playbook that brings and reports a run again.
    """
    printed, complaints = io.StringIO(), io.StringIO()
    write = load_report()
    from fpaas.commands.report import EXIT_BY_STATUS  # noqa: PLC0415

    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaints):
        try:
            code = EXIT_BY_STATUS[write(bundle)]
        except ClickException as error:
            code = error.exit_code
            complaints.write(error.format_message())
            if code not in WITH_VERDICT or not printed.getvalue():
                raise AnsibleActionFail(no_report(bundle, str(error), collect)) from error
    return {
        "run_id": bundle.name,
        "rc": code,
        "text": printed.getvalue().strip("\n"),
        "complaint": complaints.getvalue().strip(),
    }


def no_report(bundle: Path, error: str, collect: str) -> str:
    """Say why there is no report, and how to have one."""
    program = str(Path(sys.argv[0]).absolute())
    command = own_command.command(
        program, collect, sys.argv[1:], context.CLIARGS["args"], {"run_id": bundle.name}
    )
    return (
        f"{bundle.name}: {error}\nThere is no report. What was measured, and the logs, are in "
        f"{bundle};\nonce the cause is gone:\n{command}"
    )
