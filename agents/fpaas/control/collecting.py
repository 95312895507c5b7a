"""Brings what a host's agents left of a run into its bundle, and notes there what is known here."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fpaas import common_time
from fpaas.control import run_account
from fpaas.probe import seal
from fpaas.records import control
from fpaas.records.control import ControlProblem
from fpaas.records.events import RUN_COLLECTED, EventLog
from fpaas.spec import RunSpec, SpecError


@contextlib.contextmanager
def noted(bundle: Path, host: str) -> Iterator[None]:
    """Note in a bundle's events that a host's part is brought; it has no end if it could not be."""
    bundle.mkdir(parents=True, exist_ok=True)
    with EventLog(bundle / control.EVENTS) as log:
        begun = log.begin(RUN_COLLECTED, common_time.now_ns(), {"host": host})
        yield
        log.end(begun, common_time.now_ns(), {"host": host})


def count_events(event_log: Path) -> int | None:
    """Count the lines of a run's event log; None if it cannot be read, as its reader will say."""
    try:
        return event_log.read_bytes().count(b"\n")
    except OSError:
        return None


def copy(directory: Path, bundle: Path, host: str, nats_server: Path) -> None:
    """Seal a run's directory on this machine, and copy it into its bundle.

    Raises OSError, BadInput if there is no such directory, RunInvalid if it cannot be sealed.
    """
    with noted(bundle, host):
        # Everything is sealed, even if run.json is damaged. Its time is the run's.
        with contextlib.suppress(SpecError):
            common_time.shift(RunSpec.load(directory / "run.json").clock_shift_ns(host))
        try:
            seal.seal(directory, host, nats_server)
        finally:
            common_time.shift(0)
        try:
            shutil.copytree(directory, bundle / "hosts" / host, symlinks=True, dirs_exist_ok=True)
        except shutil.Error as error:
            # If several could not be copied, one says enough.
            raise OSError(str(error.args[0][0][2])) from error


def put_at_head(bundle: Path, host: str) -> None:
    """Have the spec as executed, as a host has it, at the head of its bundle."""
    head = bundle / "run.json"
    head.unlink(missing_ok=True)
    head.hardlink_to(bundle / "hosts" / host / "run.json")


def account(
    bundle: Path, known: Mapping[str, Any], run_id: str, problems: Sequence[ControlProblem]
) -> None:
    """Write control.json; `known` is what all runs of a playbook have in it."""
    content = {**known, "run_id": run_id, "problems": msgspec.to_builtins(problems)}
    event_count = count_events(bundle / control.EVENTS)
    path = bundle / control.NAME
    path.write_text(run_account.record(json.dumps(content), event_count), encoding="utf-8")
    path.chmod(0o644)


def point_latest(results: Path, run_id: str) -> None:
    """Have `results/latest` point to a run."""
    fresh = results / ".latest.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(run_id)
    fresh.replace(results / "latest")
