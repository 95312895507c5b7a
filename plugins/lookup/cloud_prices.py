"""A cloud's current prices of servers."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

from fpaas.control import cloud_account

DOCUMENTATION = """
name: cloud_prices
short_description: Ask a cloud for its prices of now
description:
  - Hetzner answers, AWS is not asked.
options:
  _terms:
    description: C(hetzner) or C(aws).
    required: true
author:
  - FPaaS bench lab
"""
EXAMPLES = """
prices: "{{ query('fpaas.bench_lab.cloud_prices', 'hetzner') | first | default(estimates) }}"
"""
RETURN = """
_raw:
  description: C(currency), C(source) and C(regions), a price an hour of each size by region.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: object = None, **kwargs: Any) -> list[Any]:  # noqa: ANN401
        """Return the prices of each cloud of `terms` that says them."""
        del variables, kwargs
        asked = [cloud_account.hetzner_prices() for term in terms if term == "hetzner"]
        return [prices for prices in asked if prices]
