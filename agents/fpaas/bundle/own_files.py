"""Which files make a bundle, so that nothing else is written over them."""

from __future__ import annotations

from pathlib import Path

from fpaas.bundle.lacking import EVIDENCE
from fpaas.bundle.loader import HOSTS_DIRECTORY
from fpaas.records import manifest

#: What is at its top: what was brought into it, and what a report writes.
NAMES = frozenset(
    {*EVIDENCE, HOSTS_DIRECTORY, "figures", "report.html", "summary.json", manifest.NAME}
)


def has(run_dir: Path, path: Path) -> bool:
    """Whether a path is one of a bundle's own, by whatever way it is named."""
    inside, root = path.resolve(), run_dir.resolve()
    return inside.is_relative_to(root) and (
        inside == root or inside.relative_to(root).parts[0] in NAMES
    )
