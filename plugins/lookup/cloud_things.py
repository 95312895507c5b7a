"""Everything of labs in a cloud's account."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from fpaas.control import cloud_account

DOCUMENTATION = """
name: cloud_things
short_description: Ask a cloud what there is of labs in an account, and what else has such names
description:
  - Reads the account's credentials where the cloud's own tools do, C(HCLOUD_TOKEN), C(AWS_PROFILE)
    or its like.
options:
  _terms:
    description: C(hetzner) or C(aws).
    required: true
  region:
    description: At AWS, the region to ask in.
    type: str
    default: ""
  everywhere:
    description: Whether to ask in all other regions, too.
    type: bool
    default: false
author:
  - FPaaS bench lab
"""
EXAMPLES = """
found: "{{ query('fpaas.bench_lab.cloud_things', 'aws', region='eu-central-1') }}"
"""
RETURN = """
_raw:
  description:
    - C(kind), C(id), C(name), C(title) (both), C(region), C(lab), C(ends) (s since 1970, of the
      whole lab), C(part), C(size), C(address), C(private_address), C(vpc) and C(cidr) of each.
  type: list
  elements: dict
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """See DOCUMENTATION."""

    def run(
        self,
        terms: list[str],
        variables: object = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> list[dict[str, Any]]:
        """Return all that there is at each cloud of `terms`."""
        self.set_options(var_options=variables, direct=kwargs)
        region, everywhere = str(self.get_option("region")), bool(self.get_option("everywhere"))
        try:
            return [
                thing
                for term in terms
                for thing in cloud_account.things(str(term), region, everywhere)
            ]
        except cloud_account.CloudError as error:
            raise AnsibleLookupError(str(error)) from error
