"""What a reported bundle lacks of its evidence: without that, no verdict can be checked."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from fpaas import regular
from fpaas.bundle.loader import HOSTS_DIRECTORY, SPEC_FILE
from fpaas.errors import report_command
from fpaas.records import control, manifest

#: What was brought, or noted, of a run; a report writes all else again.
EVIDENCE = (SPEC_FILE, control.NAME, control.EVENTS, control.INVALID)


class _Manifest(msgspec.Struct):
    files: dict[str, msgspec.Raw]


_DECODER = msgspec.json.Decoder(_Manifest)


def sentence(directory: Path) -> str:
    """Say what is missing of a bundle; empty if nothing is. Looks at names only, so it is fast."""
    missing = _missing(directory)
    if not missing:
        return ""
    what = missing[0] if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} files more"
    return (
        f"lacks {what}: its verdict cannot be checked; copy the bundle again, or "
        f"{report_command(directory)} judges what is left"
    )


def _missing(directory: Path) -> list[str]:
    try:
        listed = _DECODER.decode(regular.read_bytes(directory / manifest.NAME)).files
    except (OSError, ValueError, RecursionError):
        # Whatever was in it, a run has hosts.
        return [] if (directory / HOSTS_DIRECTORY).is_dir() else [HOSTS_DIRECTORY]
    there: dict[str, set[str]] = {}
    missing = []
    for name in listed:
        if name in EVIDENCE or name.startswith(f"{HOSTS_DIRECTORY}/"):
            parent, _, last = name.rpartition("/")
            if parent not in there:
                there[parent] = _names(directory / parent)
            if last not in there[parent]:
                missing.append(name)
    return missing


def _names(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))  # noqa: PTH208  Path's makes an object of each
    except (OSError, ValueError):
        return set()
