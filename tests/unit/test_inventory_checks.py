"""What inventory is refused, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas.control.inventory_checks import (
    left_out,
    problems,
    several_here,
    tags_that_skip,
    too_few_consumers_hosts,
)

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


def test_an_inventory_that_is_a_directory_or_a_list_is_beside_nothing(tmp_path: Path) -> None:
    (tmp_path / "my-lab").mkdir()
    for source in (str(tmp_path / "my-lab"), f"{tmp_path}/host1,", "host1,"):
        assert not list(problems(GOOD, NEEDED, [source], tmp_path))
    assert list(problems(GOOD, NEEDED, [str(tmp_path)], tmp_path))


def test_a_part_of_a_lab_plays_no_run_but_can_be_installed() -> None:
    [problem] = left_out(GOOD | {"monitoring": ["m"]}, ["c1", "web-1"], is_whole=True)
    assert "--limit: leaves out r, n, s, c2, m: a run needs all hosts" in problem
    assert not [*left_out(GOOD, ["c1", "web-1"], is_whole=False)]
    assert not [*left_out(GOOD, ["c1", "c2", "n", "r", "s"], is_whole=True)]


def test_nothing_of_a_lab_is_refused_by_all_playbooks() -> None:
    [problem] = left_out(GOOD, ["web-1"], is_whole=False)
    assert "leaves out r, n, s, c1, c2: nothing would be done" in problem
    assert not [*left_out({}, ["localhost"], is_whole=False)]


def test_tags_that_would_leave_nothing_to_do() -> None:
    [problem] = tags_that_skip(["nats", "x"], [], set())
    assert "--tags: nats, x: no task of the lab has such a tag" in problem
    for tags in (["all"], ["untagged"], ["mine", "x"]):
        assert not [*tags_that_skip(tags, [], {"mine"})]


def test_tags_that_would_skip_all_there_is_to_do() -> None:
    for skipped in (["all"], ["x", "untagged"]):
        [problem] = tags_that_skip(["all"], skipped, set())
        assert f"--skip-tags: {', '.join(skipped)}: skips all tasks of the lab" in problem
    assert [*tags_that_skip(["all"], ["all"], {"mine"})]
    # Tasks that have a tag of who imports them are not untagged.
    assert not [*tags_that_skip(["all"], ["untagged"], {"mine"})]
    assert not [*tags_that_skip(["all"], ["nats"], set())]


def test_nothing_is_needed_of_what_is_torn_down() -> None:
    assert list(problems({"nats": ["n"]}, (), ["/y/lab.yml"], Path("/x"))) == []


def test_this_machine_is_one_host_of_a_lab() -> None:
    assert not [*several_here({"a": "local", "b": "ssh", "c": ""})]
    [problem] = several_here({"a": "local", "b": "ssh", "c": "local"})
    assert "hosts a, c: all are this machine" in problem


@pytest.mark.parametrize("wanted", [3, "3"])
def test_hosts_that_are_not_there_cannot_take_part(wanted: object) -> None:
    [problem] = too_few_consumers_hosts(GOOD, wanted)
    assert problem == "lab_consumers_hosts: 3: the inventory's group consumers has 2"


@pytest.mark.parametrize("wanted", [None, 1, "2", "{{ 5 }}"])
def test_hosts_that_are_there_can(wanted: object) -> None:
    assert not [*too_few_consumers_hosts(GOOD, wanted)]
