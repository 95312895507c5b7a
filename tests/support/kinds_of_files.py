"""Which kind of file one in a run directory is."""

from __future__ import annotations

from fnmatch import fnmatchcase

from fpaas.records.schemas import FILES


def name_of(file_name: str) -> str | None:
    """Return which kind a file in a run directory is; None if it has no schema."""
    return next((name for name, one in FILES.items() if fnmatchcase(file_name, one.pattern)), None)
