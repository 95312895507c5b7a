"""Molecule's labs stand beside each other and beside the user's."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT

SCENARIOS = sorted(path.parent for path in CHECKOUT.glob("molecule/*/molecule.yml"))
INVENTORIES = [CHECKOUT / "inventory/containers.yml"] + [
    scenario / "inventory/hosts.yml" for scenario in SCENARIOS
]


def containers(inventory: Path) -> dict[str, Any]:
    content = yaml.safe_load(inventory.read_text())
    group: dict[str, Any] = content["all"]["children"]["containers"]
    return group


def test_labs_have_names_and_subnets_of_their_own() -> None:
    settings = [containers(inventory)["vars"] for inventory in INVENTORIES]
    for variable in ("container_lab_name", "container_lab_subnet"):
        assert len({each[variable] for each in settings}) == len(INVENTORIES)


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.parent.parent.name)
def test_hosts_are_in_their_subnet(inventory: Path) -> None:
    group = containers(inventory)
    subnet = ipaddress.ip_network(group["vars"]["container_lab_subnet"])
    addresses = [ipaddress.ip_address(host["ansible_host"]) for host in group["hosts"].values()]
    assert len(set(addresses)) == len(addresses)
    assert all(address in subnet for address in addresses)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_lab_is_named_as_molecules_settings_expect(scenario: Path) -> None:
    name = containers(scenario / "inventory/hosts.yml")["vars"]["container_lab_name"]
    assert name == f"fpaas-molecule-{scenario.name}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_variables_are_the_playbooks(scenario: Path) -> None:
    assert (scenario / "group_vars").samefile(CHECKOUT / "group_vars")
    assert (scenario / "inventory/group_vars").samefile(CHECKOUT / "inventory/group_vars")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_scenario_leaves_nothing(scenario: Path) -> None:
    settings = yaml.safe_load((scenario / "molecule.yml").read_text())
    sequence = settings["scenario"]["test_sequence"]
    assert sequence[0] == sequence[-1] == "destroy"
