"""What inventory is refused, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.control.inventory_checks import problems, several_here

GOOD = {"relay": ["r"], "nats": ["n"], "shuffler": ["s"], "consumers": ["c1", "c2"]}
NEEDED = ("nats", "shuffler", "consumers")


@pytest.mark.parametrize("groups", [GOOD, GOOD | {"relay": []}, GOOD | {"nats": ["a", "b", "c"]}])
def test_labs_are_let_through(groups: dict[str, list[str]]) -> None:
    assert list(problems(groups, NEEDED, ["/x/inventory/lab.yml"], Path("/x"))) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nats": []}, "Inventory lab.yml: group nats: no host."),
        ({"nats": ["a", "b"]}, "group nats: 2 hosts are not allowed (a, b); allowed: 1"),
        ({"relay": ["nats 1"]}, 'host "nats 1": is not allowed'),
        ({"relay": ["a\n"]}, 'host "a\\n": is not allowed'),
        ({"relay": ["a" * 64]}, "is not allowed"),
        ({"relay": ["One"], "shuffler": ["one"]}, "differ in capitals only"),
    ],
)
def test_others_are_refused(change: dict[str, list[str]], said: str) -> None:
    (problem,) = problems(GOOD | change, NEEDED, ["/x/inventory/lab.yml"], Path("/x"))
    assert said in problem


def test_what_is_no_lab_at_all_lacks_all_of_it() -> None:
    (problem,) = problems({"all": ["h"]}, NEEDED, ["hosts"], Path("/x"))
    assert "groups consumers, nats, relay, shuffler: no host" in problem


def test_an_inventory_beside_group_vars_is_refused() -> None:
    (problem,) = problems(GOOD, NEEDED, ["/x/lab.yml"], Path("/x"))
    assert "is beside the lab's group_vars" in problem


def test_nothing_is_needed_of_what_is_torn_down() -> None:
    assert list(problems({"nats": ["n"]}, (), ["/y/lab.yml"], Path("/x"))) == []


def test_this_machine_is_one_host_of_a_lab() -> None:
    assert not [*several_here({"a": "local", "b": "ssh", "c": ""})]
    [problem] = several_here({"a": "local", "b": "ssh", "c": "local"})
    assert "hosts a, c: all are this machine" in problem
