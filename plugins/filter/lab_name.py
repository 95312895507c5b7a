"""The lab's name, for templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fpaas.control import labs

DOCUMENTATION = """
name: lab_name
short_description: Name the lab of an inventory
description:
  - The inventory file's name, and a digest of where its sources really are.
  - Two inventories with the same file name are two labs.
positional: _input
options:
  _input:
    description: The inventory's sources, as in C(ansible_inventory_sources).
    type: list
    elements: str
    required: true
"""
EXAMPLES = """
name: "{{ ansible_inventory_sources | fpaas.bench_lab.lab_name }}"
"""
RETURN = """
_value:
  description: A name that does for a directory.
  type: str
"""


def name(sources: Sequence[str]) -> str:
    """See DOCUMENTATION."""
    return labs.name(list(map(str, sources)))


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return them."""
        return {"lab_name": name}
