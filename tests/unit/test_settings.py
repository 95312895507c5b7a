"""What the user has set exists, and the whole lab agrees about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fpaas.control import settings
from fpaas.spec import VARIABLES
from tests.support.checkout import CHECKOUT

KNOWN = settings.tunables(CHECKOUT)


def test_all_that_can_be_set_is_known() -> None:
    assert set(VARIABLES) <= KNOWN
    assert {"nats_port", "nats_max_pending", "run_id", "container_lab_name", "goals"} <= KNOWN
    assert not [name for name in KNOWN if name.startswith("_")]


@pytest.mark.parametrize(
    ("name", "code", "near"),
    [
        ("bench_consumer", "unknown", "bench_consumers"),
        ("bench_colour", "unknown", ""),
        ("nats_prot", "unknown", "nats_port"),
        ("relay_prt", "unknown", "relay_port"),
        ("lab_adress", "unknown", "lab_address"),
        ("run_lead", "unknown", "run_lead_s"),
        ("benhc_consumers", "misspelt", "bench_consumers"),
        ("ntas_port", "misspelt", "nats_port"),
        ("result_dir", "misspelt", "results_dir"),
        ("golas", "misspelt", "goals"),
    ],
)
def test_names_that_do_not_exist_are_refused(name: str, code: str, near: str) -> None:
    [problem] = settings.problems({"a": {name: 1}, "b": {name: 1}}, KNOWN)
    assert (problem.code, problem.name) == (code, name)
    assert f"did you mean {near}?" in problem.sentence if near else name in problem.sentence


@pytest.mark.parametrize(
    "name", ["ansible_user", "ansible_becom", "nat_gateway", "web_port", "groups", "molecule_file"]
)
def test_the_users_own_variables_are_none_of_ours(name: str) -> None:
    assert settings.problems({"a": {name: 1}}, KNOWN) == []


def test_what_is_one_for_the_whole_lab_cannot_differ() -> None:
    users = {"a": {"bench_consumers": 5, "nats_port": 1}, "b": {"nats_port": 2}, "c": {}}
    assert settings.problems(users, KNOWN) == []
    assert settings.spread(users, KNOWN, "b") == {"bench_consumers": 5}
    assert settings.spread(users, KNOWN, "a") == {}
    users["b"]["bench_consumers"] = 6
    [problem] = settings.problems(users, KNOWN)
    assert (problem.code, problem.name) == ("disagreement", "bench_consumers")


def test_settings_that_the_scenario_wins_over() -> None:
    users = {"bench_consumers": 5, "bench_seed": 2, "nats_port": 1, "mine": 1}
    effective = {"bench_consumers": 1000, "bench_seed": 2, "nats_port": 1, "mine": 2}
    [one] = settings.overridden(users, effective, KNOWN)
    assert (one.name, one.users, one.scenarios) == ("bench_consumers", 5, 1000)


@pytest.mark.parametrize(
    "path",
    [
        *sorted(CHECKOUT.glob("inventory/**/*.yml")),
        *sorted(CHECKOUT.glob("molecule/*/inventory/hosts.yml")),
        *sorted(CHECKOUT.glob("molecule/*/vars/*.yml")),
        CHECKOUT / ".config/molecule/config.yml",
    ],
    ids=lambda path: str(path.relative_to(CHECKOUT)),
)
def test_what_the_lab_comes_with_sets_what_there_is(path: Path) -> None:
    pattern = r"(?m)(?:^|[\s{,]|--extra-vars=)([a-z_]+)(?:: |:$|=)"
    names = re.findall(pattern, path.read_text())
    mine = {name: 0 for name in names if name.startswith(settings.PREFIXES)}
    assert settings.problems({"a": mine}, KNOWN) == []


def test_a_fault_of_the_scenario_is_named_as_it_was_written() -> None:
    """YAML 1.1 reads the key `on` as true."""
    users = [{"do": "kill", "on": "nats"}]
    scenarios: list[dict[object, str]] = [{"do": "kill", True: "nats"}]
    settings_of = {"bench_faults": users}
    assert settings.overridden(settings_of, {"bench_faults": scenarios}, KNOWN) == []
    scenarios[0]["do"] = "pause"
    [one] = settings.overridden(settings_of, {"bench_faults": scenarios}, KNOWN)
    assert one.scenarios == [{"do": "pause", "on": "nats"}]
