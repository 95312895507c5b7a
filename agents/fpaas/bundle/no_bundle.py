"""Tells directories that cannot be read as a bundle from those that can, before anything is."""

from __future__ import annotations

from pathlib import Path

from fpaas import regular
from fpaas.records import seal
from fpaas.spec import SpecError


def refuse(directory: Path) -> None:
    """Refuse a host's part of a run, and what holds anything but files and directories.

    As a bundle a part lacks everything, and a report would be sealed and collected with it.
    Raises spec.SpecError.
    """
    if (directory / seal.NAME).exists() or any(directory.glob("*.status.json")):
        raise SpecError(
            f"{directory}: is one host's part of a run, not a bundle; give results/<run-id>. While "
            "the run is on, `fpaas watch` shows it"
        )
    for path in sorted(directory.rglob("*")):
        if not _is_readable(path):
            raise SpecError(f"{path}: is no regular file; remove it, or replace it by the run's")


def _is_readable(path: Path) -> bool:
    try:
        return regular.is_readable(path.stat().st_mode)
    except OSError:
        return True  # whoever reads it will say why it cannot be
