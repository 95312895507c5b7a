"""Takes what services said during a run out of systemd's journal, into the run's directory."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from fpaas.errors import RunInvalid

#: How a run's name begins: when it was planned.
RUN_ID_TIME = "%Y%m%dT%H%M%SZ"
RUN_ID_TIME_LENGTH = 16


def since(run_id: str, ahead_s: float = 0.0) -> str:
    """Return when a run was planned, as journalctl takes it; "" if its name does not say.

    `ahead_s` is how far this host's clock is ahead of the control node's, which names runs.

    >>> since("20260102T030405Z-scenario-1")
    '@1767323045'
    """
    try:
        planned = datetime.strptime(run_id[:RUN_ID_TIME_LENGTH], RUN_ID_TIME).replace(tzinfo=UTC)
    except ValueError:
        return ""
    return f"@{planned.timestamp() + ahead_s:.0f}"


def save(directory: Path, name: str, unit: str, ahead_s: float) -> None:
    """Write a unit's messages since the run was planned to `<name>.log`; `ahead_s` as in `since`.

    Raises RunInvalid that names the file if it cannot be written; a journal that cannot be read
    says so in the file.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--no-hostname", "--unit", unit]
    command += ["--output", "short-iso-precise"]
    begin = since(directory.name, ahead_s)
    if begin:
        command += ["--since", begin]
    path = directory / f"{name}.log"
    try:
        with path.open("wb") as file:
            subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    except OSError as error:
        raise RunInvalid(f"{path}: cannot be written: {error}") from error
