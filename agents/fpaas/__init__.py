"""FPaaS bench lab: the one package that runs on hosts and on the control node."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fpaas.results.loaded import LoadedRun


def load(directory: str | Path) -> LoadedRun:
    """Read a reported run, for notebooks and scripts. Raises ValueError that says what to do."""
    # Agents import this package, and need nothing of it.
    from fpaas.results import loaded  # noqa: PLC0415

    return loaded.load(directory)
