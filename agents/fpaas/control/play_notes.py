"""Notes of a playbook to the program that plays it: one JSON object a line.

The program names a file in its environment. Ansible's own output is for people.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fpaas.records import files
from fpaas.records.fields import Number

#: Has the file's path, in the environment of the playbook.
PATH_VARIABLE = "FPAAS_PLAY_NOTES"
#: Notes tasks that fail.
CALLBACK = "fpaas.bench_lab.play_notes"
CALLBACKS_VARIABLE = "ANSIBLE_CALLBACKS_ENABLED"
SUFFIX = ".notes.jsonl"


class RunProgress(msgspec.Struct, frozen=True, tag_field="kind", tag="run_progress"):
    """How far one host is with the run."""

    host: str
    #: Since T0; negative before it.
    elapsed_s: float
    total_s: float
    phase: str
    #: Figures that agents count, by agent.
    figures: dict[str, dict[str, Number]]


class TaskFailed(msgspec.Struct, frozen=True, tag_field="kind", tag="task_failed"):
    """A task that failed on a host, or for one."""

    host: str
    task: str
    message: str


PlayNote = RunProgress | TaskFailed


def environment(inherited: Mapping[str, str], log: Path) -> dict[str, str]:
    """Return a playbook's environment that has it write notes beside its log."""
    others = inherited.get(CALLBACKS_VARIABLE, "")
    enabled = [name for name in others.split(",") if name and name != CALLBACK]
    return {
        **inherited,
        PATH_VARIABLE: str(log.with_suffix(SUFFIX).absolute()),
        CALLBACKS_VARIABLE: ",".join([*enabled, CALLBACK]),
    }


def add(note: PlayNote) -> None:
    """Add a note, if somebody wants to have any; several processes may. Raises OSError."""
    path = os.environ.get(PATH_VARIABLE)
    if path:
        with Path(path).open("ab", buffering=0) as file:
            file.write(files.encode(note))


def read(log: Path) -> list[PlayNote]:
    """Return the notes beside a log; without any, its playbook has not come far enough."""
    try:
        return files.read_lines(log.with_suffix(SUFFIX), PlayNote).good  # type: ignore[arg-type]
    except OSError:
        return []


def last_progress(log: Path) -> RunProgress | None:
    """Return how far the run is, as the last host has noted."""
    found = [note for note in read(log) if isinstance(note, RunProgress)]
    return found[-1] if found else None


def last_failure(log: Path) -> str:
    """Return why a playbook failed; empty if none of its tasks did."""
    found = [note.message for note in read(log) if isinstance(note, TaskFailed)]
    return found[-1] if found else ""
