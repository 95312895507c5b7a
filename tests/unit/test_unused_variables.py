"""Files of variables that no group or host of an inventory has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.control import unused_variables
from tests.support.checkout import CHECKOUT

GROUPS = {"all": ["nats-1.lab", "load"], "nats": ["nats-1.lab"], "consumers": ["load"]}


def notes(directory: Path, *names: str, also: str = "") -> list[str]:
    inventory = directory / "lab.yml"
    inventory.write_text("")
    (directory / "other.yml").write_text(also)
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    said = unused_variables.notes(GROUPS, [str(inventory), "host,"], directory / "checkout")
    return [note.removeprefix(f"{directory}/") for note in said]


@pytest.mark.parametrize(
    "name",
    [
        "group_vars/all.yml",
        "group_vars/consumers",
        "group_vars/nats.json",
        "host_vars/nats-1.lab",
        "host_vars/nats-1.lab.yml",
        # Ansible reads none of these.
        "group_vars/.consumer.yml.swp",
        "group_vars/consumer.yml~",
    ],
)
def test_what_has_an_effect_is_not_named(tmp_path: Path, name: str) -> None:
    assert notes(tmp_path, name) == []


def test_what_is_named_after_nobody_is_said_and_what_may_have_been_meant(tmp_path: Path) -> None:
    group, host = notes(tmp_path, "group_vars/consumer.yml", "host_vars/xyz")
    assert group == (
        "group_vars/consumer.yml: has no effect: the inventory has no group consumer; "
        "did you mean consumers?"
    )
    assert host == "host_vars/xyz: has no effect: the inventory has no host xyz"


def test_what_another_inventory_of_the_directory_has_is_its_own_business(tmp_path: Path) -> None:
    assert notes(tmp_path, "group_vars/consumer.yml", also="  consumer:\n    hosts:\n") == []


def test_nothing_is_said_of_what_is_the_labs_own() -> None:
    inventory = CHECKOUT / "inventory" / "localhost.yml"
    assert list(unused_variables.notes({"all": ["localhost"]}, [str(inventory)], CHECKOUT)) == []


def test_what_is_put_beside_the_labs_own_values_is_said_to_be_never_read(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    own = ("all.yml", "consumers.yml")
    group, host, playbooks = notes(
        tmp_path,
        *(f"checkout/group_vars/{name}" for name in own),
        "checkout/host_vars/load.yml",
        "checkout/playbooks/group_vars/al.yml",
    )
    assert group.startswith("checkout/group_vars/consumers.yml: has no effect: put it into")
    assert host.startswith("checkout/host_vars/load.yml: has no effect: put it into host_vars")
    assert playbooks.endswith("the inventory has no group al; did you mean all?")
