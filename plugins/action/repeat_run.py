"""Repeats a run on the embedded lab that its playbook has made and holds."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from click import ClickException

from fpaas.commands import report
from fpaas.control import signals
from fpaas.control.kept_lab import CannotBeginError, KeptLab, KeptSettings
from fpaas.spec import RunSpec, SpecError
from fpaas.text import plain_output

ARGUMENTS: dict[str, dict[str, Any]] = {
    "plan": {"type": "path", "required": True},
    "times": {"type": "int", "required": True},
    "kept": {"type": "dict", "required": True},
    "control": {"type": "dict", "required": True},
    "results": {"type": "path", "required": True},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """See the module of this name."""

    TRANSFERS_FILES = False

    def run(self, tmp: object = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `runs`: each one's id, exit code of its report and what that printed."""
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENTS)
        result: dict[str, Any] = super().run(None, task_vars)
        written = io.StringIO()
        verdicts: list[str] = []
        results = Path(arguments["results"])
        settings = KeptSettings.read(arguments["kept"], results, arguments["control"])
        lab = KeptLab(
            settings, lambda bundle: verdicts.append(report.write_run(bundle)), show, is_held=True
        )
        runs = []
        try:
            first = RunSpec.load(Path(arguments["plan"]))
            for _ in range(arguments["times"]):
                run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{first.scenario.name}"
                show(f"{run_id}: on the lab that is kept up")
                with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
                    lab.play(replace(first, run_id=run_id))
                text = written.getvalue().strip("\n")
                rc = report.EXIT_BY_STATUS[verdicts[-1]]
                runs.append({"run_id": run_id, "rc": rc, "text": text})
                written.seek(0)
                written.truncate()
        except (CannotBeginError, SpecError, OSError, ClickException) as error:
            raise AnsibleActionFail(f"{error}\nLogs are in {settings.lab}/runs.") from error
        return {**result, "changed": True, "runs": runs}


def show(text: str) -> None:
    """Show text; Ctrl-C waits until that is done."""
    with signals.held_back():
        Display().display(plain_output.for_user(text, os.environ))
