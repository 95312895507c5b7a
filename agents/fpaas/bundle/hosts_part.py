"""Tells what one host's agents write from a bundle, which has such parts below `hosts`."""

from __future__ import annotations

from pathlib import Path

from fpaas.records import seal
from fpaas.spec import SpecError


def refuse(directory: Path) -> None:
    """Refuse a host's part of a run: as a bundle it lacks everything, and a report would be sealed.

    Raises spec.SpecError.
    """
    if (directory / seal.NAME).exists() or any(directory.glob("*.status.json")):
        raise SpecError(
            f"{directory}: is one host's part of a run, not a bundle; give results/<run-id>. While "
            "the run is on, `fpaas watch` shows it"
        )
