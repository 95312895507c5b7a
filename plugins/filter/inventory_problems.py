"""Says why an inventory is none of a lab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fpaas.control import inventory_checks

DOCUMENTATION = """
name: inventory_problems
short_description: Why an inventory is none of a lab
positional: _input, needed, sources, checkout
description:
  - Judges names and numbers of hosts, before any of them is asked anything.
options:
  _input:
    description: The hosts of each group.
    type: dict
    required: true
  needed:
    description: Groups that must have hosts.
    type: list
    elements: str
    required: true
  sources:
    description: The inventory's files.
    type: list
    elements: str
    required: true
  checkout:
    description: Where the collection is.
    type: path
    required: true
"""
EXAMPLES = """
- name: Refuse what is not a lab
  ansible.builtin.fail:
    msg: "{{ problems | join(' ') }}"
  when: problems
  vars:
    problems: "{{ groups | fpaas.bench_lab.inventory_problems(['nats'], sources, checkout) }}"
"""
RETURN = """
_value:
  description: Sentences; none if nothing is wrong.
  type: list
  elements: str
"""


def inventory_problems(
    groups: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    sources: Sequence[str],
    checkout: str,
) -> list[str]:
    """Return what is wrong, as sentences."""
    return list(inventory_checks.problems(groups, needed, sources, Path(checkout)))


class FilterModule:
    """See Ansible."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return this filter."""
        return {"inventory_problems": inventory_problems}
