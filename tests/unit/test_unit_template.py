"""The unit that hosts with systemd get, as far as its variables decide."""

from __future__ import annotations

import json

import jinja2
import pytest

from tests.support.checkout import CHECKOUT

TEMPLATES = CHECKOUT / "roles/_service/templates"


def unit(**variables: object) -> list[str]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, autoescape=False
    )
    environment.filters["to_json"] = json.dumps
    said = {
        "ansible_managed": "",
        "lab_unit_prefix": "fpaas-",
        "lab_dir": "/lab",
        "lab_user": "fpaas",
        "lab_open_files": 4096,
        "_service_name": "nats",
        "_service_data_way": ["consumers", "nats"],
        "_service_command": ["nats-server"],
        "_service_environment": {},
        "_service_restart": "no",
        "_service_writable": ["/lab"],
        "_service_sees_processes": False,
        "_service_powerful": False,
        "_service_first": True,
        "_service_cpu_max_cores": None,
    }
    return environment.get_template("unit.service.j2").render(said | variables).splitlines()


@pytest.mark.parametrize(("cores", "quota"), [(0.5, "50%"), ("1.25", "125%"), (2, "200%")])
def test_cores_are_a_quota(cores: object, quota: str) -> None:
    assert f"CPUQuota={quota}" in unit(_service_cpu_max_cores=cores)


def test_without_a_limit_there_is_no_quota() -> None:
    assert not any(line.startswith("CPUQuota") for line in unit())
