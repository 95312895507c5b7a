"""The control node's account of a run, as its file, for templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

from fpaas.control import collecting, run_account

DOCUMENTATION = """
name: control_record
short_description: Encode what the control node knows of a run as control.json
description:
  - Refuses what C(fpaas schema control) does not know, or has otherwise.
options:
  _input:
    description: The record's fields, as JSON.
    type: str
    required: true
  event_log:
    description: The run's event log on the control node. The record counts its lines.
    type: path
    required: true
"""
EXAMPLES = """
content: "{{ run_control | to_json | fpaas.bench_lab.control_record(run_event_log) }}"
"""
RETURN = """
_value:
  description: The file's content.
  type: str
"""


def record(known: str, event_log: str) -> str:
    """See DOCUMENTATION."""
    try:
        return run_account.record(known, collecting.count_events(Path(event_log)))
    except ValueError as error:
        raise AnsibleFilterError(f"control.json: {error}") from error


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"control_record": record}
