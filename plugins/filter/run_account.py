"""The control node's account of a run's hosts, for templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fpaas.control import run_account

DOCUMENTATION = """
name: run_account
short_description: Sum up who began a run, who was collected, and what went wrong
description:
  - >-
    From what tasks noted of each host as C(run_up), C(run_armed_id), C(run_collected) and
    C(run_problems).
positional: _input, hostvars, run_id
options:
  _input:
    description: Names of the run's hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Variables of each host by its name.
    type: dict
    required: true
  run_id:
    description: The run.
    type: str
    required: true
"""
EXAMPLES = """
account: "{{ ansible_play_hosts_all | fpaas.bench_lab.run_account(hostvars, run_id) }}"
"""
RETURN = """
_value:
  description: >-
    C(is_up), whether all hosts' agents are; C(clocks), what their clocks are off; C(connect_s) and
    C(call_s), how long connecting, and a call, takes at most; C(began), whether all hosts did;
    C(collected) and C(unreached), names; C(problems) and C(unreached_problems) as in control.json;
    C(sentences), the former in words.
  type: dict
"""


def account(hosts: Iterable[str], hostvars: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """See DOCUMENTATION."""
    return run_account.account(hosts, hostvars, run_id)


class FilterModule:
    """Filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them."""
        return {"run_account": account}
