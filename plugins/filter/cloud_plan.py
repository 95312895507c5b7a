"""The plan of a lab in a cloud, for templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from fpaas.control import cloud_lab

DOCUMENTATION = """
name: cloud_plan
short_description: Plan a lab in a cloud, and say what it costs
description:
  - Refuses what cannot be, such as names that are somebody else's.
positional: _input, sizes
options:
  _input:
    description: How many hosts of each part.
    type: dict
    required: true
  sizes:
    description: The size of each part's hosts.
    type: dict
    required: true
  name:
    description: The lab's name.
    type: str
    required: true
  provider:
    description: C(hetzner) or C(aws).
    type: str
    required: true
  region:
    description: The cloud's name of a place.
    type: str
    required: true
  prices:
    description: C(currency), C(source) and C(regions), a price an hour of each size by region.
    type: dict
    required: true
  things:
    description: What is there, from C(fpaas.bench_lab.cloud_things).
    type: list
    elements: dict
    required: true
  lifetime_h:
    description: Hours that the lab may live.
    type: float
    required: true
  now_s:
    description: Now, in seconds since 1970.
    type: int
    required: true
"""
EXAMPLES = """
plan: "{{ cloud_count | fpaas.bench_lab.cloud_plan(cloud_sizes, name='fpaas', … ) }}"
"""
RETURN = """
_value:
  description: >-
    C(hosts) (C(name), C(part) and C(size) of each), C(ends) (s since 1970), C(exists) (whether
    something of it is there) and C(text), all of it for people.
  type: dict
"""


def plan(counts: Mapping[str, Any], sizes: Mapping[str, str], **rest: Any) -> dict[str, Any]:  # noqa: ANN401
    """See DOCUMENTATION."""
    try:
        return cloud_lab.plan(
            counts,
            sizes,
            **{**rest, "lifetime_h": float(rest["lifetime_h"]), "now_s": int(rest["now_s"])},
        )
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"cloud_plan": plan}
