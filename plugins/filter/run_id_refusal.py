"""Whether a run can have an id, for templates."""

from __future__ import annotations

from collections.abc import Callable

from fpaas.control import given_run_id

DOCUMENTATION = """
name: run_id_refusal
short_description: Say why a new run cannot have the id that the user gave
description:
  - An id has to be of the form C(<UTC time>-<name>), and new.
positional: _input, taken, runs
options:
  _input:
    description: The id.
    type: str
    required: true
  taken:
    description: Ids of runs that exist.
    type: list
    elements: str
    required: true
  runs:
    description: How many runs are to be played.
    type: int
    required: true
"""
EXAMPLES = """
why: "{{ run_id | fpaas.bench_lab.run_id_refusal(['20260102T030405Z-scenario-1'], 1) }}"
"""
RETURN = """
_value:
  description: A sentence with what to do; empty if nothing is wrong.
  type: str
"""


def refusal(run_id: object, taken: list[str], runs: int) -> str:
    """See DOCUMENTATION."""
    return given_run_id.refusal(str(run_id), taken, runs)


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return them."""
        return {"run_id_refusal": refusal}
