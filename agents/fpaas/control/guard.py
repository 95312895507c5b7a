"""Keeps the embedded lab from outliving the playbook that runs it.

The playbook's own clean-up does not run when it is killed or interrupted. So a process in a
separate session holds the lab while a playbook runs. When the playbook has gone, it stops the
agents, has their measurements collected, and ends whatever is left.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil

from fpaas.control.lab_lock import LAB_BUSY_S, Holder, write_holder
from fpaas.control.lab_processes import end_agents, runs, sweep
from fpaas.records import files, seal
from fpaas.records.files import UnreadableError
from fpaas.records.seal import Seal
from fpaas.spec import RunSpec, SpecError

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.5
COLLECT_S = 60.0
COLLECT_LOG = "collect.log"
#: In the lab: what the guard does.
LOG = "guard.log"
#: In the lab: a link to the directory of the run that is on.
CURRENT = "current"


class Teller:
    """Tells the user who interrupted a playbook, at its terminal, what becomes of its run.

    `terminal` is open for writing; None if there was none.
    """

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal

    def waiting(self, lab: Path) -> None:
        """Say that the lab is still being cleaned up, so this playbook waits."""
        self._say(
            f"{lab}: still being cleaned up after an interrupted run. This waits for it, up to "
            f"{LAB_BUSY_S:.0f} s ({lab / LOG})."
        )

    def collecting(self, bundle: Path, guard_log: Path) -> None:
        """Say that there will be a report."""
        self._say(
            f"The playbook has gone. The guard ends its run and reports it in {bundle}, which "
            f"takes up to a minute ({guard_log})."
        )

    def collected(self, bundle: Path) -> None:
        """Say that there is one, or that there is none."""
        report = bundle / "report.html"
        missing = f"There is no report; {bundle / COLLECT_LOG} says why."
        self._say(f"The report is ready: {report}" if report.exists() else missing)

    def _say(self, text: str) -> None:
        if self._terminal is not None:
            # The terminal may have been closed.
            with contextlib.suppress(OSError):
                os.write(self._terminal, f"\r\n{text}\r\n".encode())


def watch(
    lab: Path, playbook: psutil.Process, results: Path, collect: list[str], teller: Teller
) -> None:
    """Wait until the playbook has gone, then clean up after it.

    `collect` is a command that collects and reports a run; the run's id is added to it.
    """
    while runs(playbook):
        time.sleep(WATCH_INTERVAL_S)
    log.warning("ansible-playbook (pid %d) is gone: ending its run", playbook.pid)
    run_id = current_run(lab)
    if run_id is not None:
        teller.collecting(results / run_id, lab / LOG)
    for agent in end_agents(lab):
        log.info("ended %s", agent)
    if run_id is not None:
        _collect(results / run_id, [*collect, "--extra-vars", json.dumps({"run_id": run_id})])
        teller.collected(results / run_id)
    # A task that the playbook left behind may have started something since.
    for _ in range(2):
        for process in sweep(lab):
            log.info("ended %s", process)
    log.info("nothing of the lab is left running")


def prune(lab: Path, results: Path) -> None:
    """Remove runs' directories that were brought into a bundle, all of it, and reported."""
    for run in (lab / "runs").glob("*"):
        bundle = results / run.name
        if (bundle / "summary.json").exists() and is_brought(run, bundle):
            shutil.rmtree(run, ignore_errors=True)


def is_brought(run: Path, bundle: Path) -> bool:
    """Whether all that a run's seal names is in its bundle: a full disk may have cut it short."""
    try:
        sealed = files.read(run / seal.NAME, Seal)
        part = bundle / "hosts" / sealed.host
        return all(
            (part / name).stat().st_size == entry.bytes for name, entry in sealed.files.items()
        )
    except (OSError, UnreadableError):
        return False


def current_run(lab: Path) -> str | None:
    """Return the id of the run that is on: armed, and not yet reported."""
    link = lab / CURRENT
    try:
        return link.readlink().name if RunSpec.load(link / "run.json").is_armed else None
    except (OSError, SpecError):
        return None


def _collect(bundle: Path, command: list[str]) -> None:
    log.info("collecting into %s", bundle)
    with _logged_failure():
        bundle.mkdir(parents=True, exist_ok=True)
        with (bundle / COLLECT_LOG).open("a", encoding="utf-8") as output:
            result = subprocess.run(  # noqa: S603  (our playbook's)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=COLLECT_S,
                check=False,
            )
        log.info("collecting ended with %d", result.returncode)


@contextlib.contextmanager
def _logged_failure() -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError):
        log.exception("collecting failed")


def detach(lock: TextIO, playbook: psutil.Process, log_path: Path) -> bool:
    """Fork a process with its own session and log that holds the lab; return whether this is it."""
    pid = os.fork()
    if pid:
        write_holder(lock, Holder.now(pid, playbook))
        return False
    os.setsid()
    with log_path.open("a", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 0)
    return True
