"""Where the lab's sources are on the control node, and where it may write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: lab_place
short_description: Say where the lab's sources are on the control node, or where it may write
description:
  - C(sources) is the directory of this collection, links followed; in a checkout, the checkout.
  - C(work) is the same in a checkout. For an installed collection it is the directory that the user
    plays from, for what is installed is no place for results.
options:
  _terms:
    description: C(sources) or C(work).
    required: true
author:
  - FPaaS bench lab
"""
EXAMPLES = """
results_dir: "{{ lookup('fpaas.bench_lab.lab_place', 'work') }}/results"
"""
RETURN = """
_raw:
  description: The directories, absolute.
  type: list
  elements: str
"""

COLLECTION = Path(__file__).resolve().parents[2]


def place(term: str, collection: Path, here: Path) -> Path:
    """See DOCUMENTATION; `here` is the directory that the user plays from."""
    if term == "sources":
        return collection
    if term == "work":
        # Only `ansible-galaxy collection install` writes it.
        return here if (collection / "MANIFEST.json").exists() else collection
    raise ValueError(f"{term!r} is not allowed; allowed: sources, work")


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: object = None, **kwargs: Any) -> list[str]:  # noqa: ANN401
        """Return a directory for each term."""
        del variables, kwargs
        return [str(place(term, COLLECTION, Path.cwd())) for term in terms]
