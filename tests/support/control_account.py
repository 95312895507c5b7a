"""What a control node without trouble adds to a bundle."""

from __future__ import annotations

from pathlib import Path

from fpaas.records import control, files
from fpaas.records.control import ControlAccount


def write(bundle: Path) -> None:
    """Write control.json without problems, and an event log without events."""
    files.write(bundle / control.NAME, ControlAccount(problems=[], events=0))
    (bundle / control.EVENTS).touch()
