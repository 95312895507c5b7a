"""Why a cloud refused, for templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fpaas.control import cloud_lab

DOCUMENTATION = """
name: cloud_refusal
short_description: Say in plain words why a cloud made no more
description:
  - Quotas are named as such, and what to do about them.
positional: _input, provider
options:
  _input:
    description: The failed task's result, as in C(ansible_failed_result).
    type: dict
    required: true
  provider:
    description: C(hetzner) or C(aws).
    type: str
    required: true
"""
EXAMPLES = """
why: "{{ ansible_failed_result | fpaas.bench_lab.cloud_refusal('aws') }}"
"""
RETURN = """
_value:
  description: Sentences, with what to do.
  type: str
"""


def refusal(result: Mapping[str, Any], provider: str) -> str:
    """See DOCUMENTATION."""
    results = [one for one in result.get("results", [result]) if one.get("failed")]
    said = dict.fromkeys(str(one.get("msg", "it did not say why")) for one in results or [result])
    return cloud_lab.refusal("; ".join(said), provider)


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return them."""
        return {"cloud_refusal": refusal}
