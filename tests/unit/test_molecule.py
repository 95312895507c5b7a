"""Molecule's labs stand beside each other and beside the user's."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT

SCENARIOS = sorted(path.parent for path in CHECKOUT.glob("molecule/*/molecule.yml"))
INVENTORIES = [CHECKOUT / "inventory/containers.yml", CHECKOUT / "inventory/vms.yml"] + [
    scenario / "inventory/hosts.yml" for scenario in SCENARIOS
]


def hosts(inventory: Path) -> dict[str, Any]:
    content = yaml.safe_load(inventory.read_text())["all"]["children"]
    group: dict[str, Any] = content.get("containers") or content["machines"]
    return group


def setting(inventory: Path, name: str) -> str:
    settings = hosts(inventory)["vars"]
    value: str = settings.get(f"container_lab_{name}") or settings[f"machine_lab_{name}"]
    return value


def test_labs_have_names_and_subnets_of_their_own() -> None:
    for name in ("name", "subnet"):
        assert len({setting(inventory, name) for inventory in INVENTORIES}) == len(INVENTORIES)


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.parent.parent.name)
def test_hosts_are_in_their_subnet(inventory: Path) -> None:
    subnet = ipaddress.ip_network(setting(inventory, "subnet"))
    addresses = [
        ipaddress.ip_address(host["ansible_host"]) for host in hosts(inventory)["hosts"].values()
    ]
    assert len(set(addresses)) == len(addresses)
    assert all(address in subnet for address in addresses)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_lab_is_named_as_molecules_settings_expect(scenario: Path) -> None:
    assert setting(scenario / "inventory/hosts.yml", "name") == f"fpaas-molecule-{scenario.name}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_variables_are_the_playbooks(scenario: Path) -> None:
    assert (scenario / "group_vars").samefile(CHECKOUT / "group_vars")
    assert (scenario / "inventory/group_vars").samefile(CHECKOUT / "inventory/group_vars")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.name)
def test_scenario_leaves_nothing(scenario: Path) -> None:
    settings = yaml.safe_load((scenario / "molecule.yml").read_text())
    sequence = settings["scenario"]["test_sequence"]
    assert sequence[0] == sequence[-1] == "destroy"
