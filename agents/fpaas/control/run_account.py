"""The control node's account of a run: who began, who was collected, what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from fpaas.reason import Reason
from fpaas.records import files
from fpaas.records.control import ControlAccount, ControlProblem, Trouble
from fpaas.verdict import codes


def account(
    hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], run_id: str
) -> dict[str, Any]:
    """Sum up what tasks noted of each host.

    They note `run_armed_id` once its part has begun, `run_collected` once it was, or could not be,
    brought, and `run_problems` as control.json has them. A host without a note of `run_collected`
    was not reached. `sentences` tell who started the run what went wrong.
    """
    names = list(hosts)
    noted = {host: variables[host] for host in names}
    unreached = [host for host in names if "run_collected" not in noted[host]]
    problems = [one for host in names for one in noted[host].get("run_problems", [])]
    return {
        "began": all(noted[host].get("run_armed_id") == run_id for host in names),
        "collected": [host for host in names if noted[host].get("run_collected")],
        "problems": problems,
        "sentences": [_sentence(one) for one in problems],
        "unreached": unreached,
        "unreached_problems": [
            {"problem": Trouble.NOT_REACHED.value, "host": host} for host in unreached
        ],
    }


def sentences(problems: Iterable[ControlProblem]) -> list[str]:
    """Say what went wrong."""
    return [codes.sentence(problem.reason()) for problem in problems]


def _sentence(problem: Mapping[str, Any]) -> str:
    # Ansible's values are none that records know.
    parameters = {"problem": problem["problem"], **problem.get("parameters", {})}
    return codes.sentence(Reason("control_problem", problem["host"], parameters))


def record(known: str, event_count: int | None) -> str:
    """Encode control.json from a playbook's JSON, and how many lines the run's event log has.

    Raises ValueError that names what is not as the record has it.
    """
    content: dict[str, Any] = msgspec.json.decode(known, type=dict[str, Any])
    strange = sorted(content.keys() - {*ControlAccount.__struct_fields__})
    if strange:
        raise ValueError(f"there is no field {strange[0]}")
    account = msgspec.convert(content, ControlAccount)
    counted = msgspec.structs.replace(account, events=event_count)
    return files.encode(counted, indent=4).decode()
