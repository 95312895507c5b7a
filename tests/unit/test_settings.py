"""What the user has set exists, and the whole lab agrees about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS

from fpaas.control import settings
from fpaas.control.setting_values import Vaulted
from fpaas.spec import VARIABLES
from tests.support.checkout import CHECKOUT

KNOWN = settings.tunables(CHECKOUT)


def problems(users: settings.Settings) -> list[settings.Problem]:
    return settings.problems(users, KNOWN, lambda kind, value: DEFAULT_TYPE_VALIDATORS[kind](value))


def test_all_that_can_be_set_is_known() -> None:
    assert set(VARIABLES) <= KNOWN.keys()
    some = {"nats_port", "nats_max_pending", "run_id", "container_lab_name", "goals"}
    assert some <= KNOWN.keys()
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
    [problem] = problems({"a": {name: 1}, "b": {name: 1}})
    assert (problem.code, problem.name) == (code, name)
    assert f"did you mean {near}?" in problem.sentence if near else name in problem.sentence


@pytest.mark.parametrize(
    "name", ["ansible_user", "ansible_becom", "nat_gateway", "web_port", "groups", "molecule_file"]
)
def test_the_users_own_variables_are_none_of_ours(name: str) -> None:
    assert problems({"a": {name: 1}}) == []


def test_what_is_one_for_the_whole_lab_cannot_differ() -> None:
    users = {"a": {"bench_consumers": 5, "nats_port": 1}, "b": {"nats_port": 2}, "c": {}}
    assert problems(users) == []
    assert settings.spread(users, KNOWN, "b") == {"bench_consumers": 5}
    assert settings.spread(users, KNOWN, "a") == {}
    users["b"]["bench_consumers"] = 6
    [problem] = problems(users)
    assert (problem.code, problem.name) == ("disagreement", "bench_consumers")


def test_settings_that_the_scenario_wins_over() -> None:
    users = {"bench_consumers": 5, "bench_seed": 2, "nats_port": 1, "mine": 1}
    effective = {"bench_consumers": 1000, "bench_seed": 2, "nats_port": 1, "mine": 2}
    [one] = settings.overridden(users, effective, KNOWN)
    assert (one.name, one.users, one.scenarios) == ("bench_consumers", 5, 1000)
    assert one.sentence == (
        "bench_consumers: the scenario's 1000 wins over the inventory's 5; -e wins over both"
    )


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
    mine = {name: "{{ x }}" for name in names if name.startswith(settings.PREFIXES)}
    assert problems({"a": mine}) == []


def test_a_fault_of_the_scenario_is_named_as_it_was_written() -> None:
    """YAML 1.1 reads the key `on` as true."""
    users = [{"do": "kill", "on": "nats"}]
    scenarios: list[dict[object, str]] = [{"do": "kill", True: "nats"}]
    settings_of = {"bench_faults": users}
    assert settings.overridden(settings_of, {"bench_faults": scenarios}, KNOWN) == []
    scenarios[0]["do"] = "pause"
    [one] = settings.overridden(settings_of, {"bench_faults": scenarios}, KNOWN)
    assert one.scenarios == [{"do": "pause", "on": "nats"}]


LIST = "a list; with -e, as JSON: -e '{\"name\": [\u2026]}'"
MAPPING = "a mapping; with -e, as JSON: -e '{\"name\": {\u2026}}'"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("lab_monitoring", "maybe", "true or false"),
        ("nats_tls", "perhaps", "true or false"),
        ("lab_service_manager", "foo", "supervisor, systemd"),
        ("nats_port", "abc", "a port, 1 to 65535"),
        ("nats_port", 0, "a port, 1 to 65535"),
        ("nats_port", "70000", "a port, 1 to 65535"),
        ("relay_metrics_port", 65_536, "a port, 1 to 65535"),
        ("lab_free_disk_mb", -5, "a whole number, 0 or more"),
        ("run_lead_s", "soon", "a number, 0 or more"),
        ("run_lead_s", -5, "a number, 0 or more"),
        ("results_dir", "", "an absolute path"),
        ("results_dir", "out", "an absolute path"),
        ("lab_dir", "relative/dir", "an absolute path"),
        ("goals", "fast", MAPPING),
        ("goals", '{"errors_max": 1}', MAPPING),
        ("lab_unit_leave_out", "PrivateUsers", LIST),
        ("cloud_ssh_from", "203.0.113.0/24", LIST),
        ("nats_cpu_max_cores", 0, "a number above 0, or null"),
        ("lab_consumers_hosts", "0", "a number above 0, or null"),
        ("container_lab_debian", 11, "12, 13"),
        ("run_progress_interval_s", 0, "a number above 0"),
        ("nats_max_connections", "0", "a number above 0"),
        ("nats_max_payload", "abc", "bytes, like 8MB"),
        ("nats_max_payload", 0, "bytes, like 8MB"),
        ("nats_max_pending", "64 MB", "bytes, like 8MB"),
        ("nats_max_pending", "1.5MB", "bytes, like 8MB"),
        ("nats_write_deadline", 10, "a time with its unit, like 10s or 500ms"),
        ("nats_write_deadline", "0s", "a time with its unit, like 10s or 500ms"),
        ("run_nats_server_oldest", "banana", "a version, like 2.10.0"),
        ("run_nats_server_oldest", 2.1, "a version, like 2.10.0"),
        ("lab_address", "", "any text but an empty one"),
        ("lab_user", " ", "any text but an empty one"),
        ("lab_unit_prefix", "", "any text but an empty one"),
        ("container_lab_name", "", "any text but an empty one"),
    ],
)
def test_values_of_another_type_are_refused(name: str, value: object, allowed: str) -> None:
    [problem] = problems({"a": {name: value}})
    assert (problem.code, problem.name) == ("not_allowed", name)
    assert problem.sentence == f"{name}: {value!r} is not allowed; allowed: {allowed}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lab_monitoring", "yes"),
        ("nats_port", "4333"),
        ("nats_port", "{{ 4000 + 1 }}"),
        ("run_lead_s", "1.5"),
        ("results_dir", "~/results"),
        ("lab_consumers_hosts", None),
        ("nats_cpu_max_cores", "0.5"),
        ("lab_unit_leave_out", ["PrivateUsers"]),
        ("capacity_least", None),
        ("lab_owner", None),
        ("bench_consumers", "10"),
        ("bench_faults", [{"do": "kill", "on": "nats", "at_s": "{{ 5 }}"}]),
        ("container_lab_debian", "13"),
        ("container_lab_cpus", None),
        ("container_lab_inventory", "molecule/default/inventory/hosts.yml"),
        ("machine_lab_inventory", "molecule/machines/inventory/hosts.yml"),
        ("machine_lab_clock_ahead_s", -1.7),
        ("nats_max_payload", 8_388_608),
        ("nats_max_pending", "64mib"),
        ("nats_write_deadline", "1m30.5s"),
        ("run_nats_server_oldest", "2.11.0"),
        ("lab_address", "10.0.0.1"),
        ("cloud_region", ""),
        ("grafana_source", ""),
        ("ansible_ssh_extra_args", ""),
    ],
)
def test_values_that_become_their_type_are_taken(name: str, value: object) -> None:
    assert problems({"a": {name: value}}) == []


def test_every_tunable_beside_the_load_and_ansibles_own_has_a_type() -> None:
    untyped = {name for name, option in KNOWN.items() if "type" not in option}
    assert [name for name in untyped if not name.startswith(("bench_", "ansible_"))] == []


@pytest.mark.parametrize(
    "name",
    [
        *("results_dir", "lab_dir", "lab_cache_dir", "goals", "scenario_goals", "nats_port"),
        # Of roles' defaults.
        *("run_progress_interval_s", "container_lab_subnet", "machine_lab_memory_mb"),
    ],
)
def test_null_does_not_hide_a_value_of_the_labs_own(name: str) -> None:
    [problem] = problems({"a": {name: None}})
    assert (problem.code, problem.name) == ("not_allowed", name)
    assert problem.sentence.startswith(f"{name}: null is not allowed; leave it out")


@pytest.mark.parametrize("value", ["ten", 0, None])
def test_the_load_is_checked_even_if_a_scenario_wins_over_it(value: object) -> None:
    [problem] = problems({"a": {"bench_consumers": value}})
    assert (problem.code, problem.name) == ("not_allowed", "bench_consumers")
    assert problem.sentence.startswith(f"bench_consumers: {value!r} is not allowed; allowed: ")


def test_what_a_vault_has_is_checked_and_not_shown() -> None:
    secret = Vaulted("hunter2")
    [problem] = problems({"a": {"nats_max_payload": secret}})
    assert problem.sentence == (
        "nats_max_payload: the vaulted value is not allowed; allowed: bytes, like 8MB"
    )
    [problem] = problems({"a": {"bench_consumers": secret}})
    assert "hunter2" not in problem.sentence
    [problem] = problems({"a": {"run_series": secret}, "b": {"run_series": "x"}})
    assert problem.code == "disagreement"
    assert "hunter2" not in problem.sentence
    assert problems({"a": {"bench_consumers": Vaulted("7")}}) == []


@pytest.mark.parametrize("users", [Vaulted("7"), [Vaulted("7")], {"a": Vaulted("7")}])
def test_what_a_vault_has_is_not_shown_where_the_scenario_wins(users: object) -> None:
    [one] = settings.overridden({"bench_consumers": users}, {"bench_consumers": 100}, KNOWN)
    assert one.sentence == (
        "bench_consumers: the scenario's 100 wins over the inventory's vaulted value; "
        "-e wins over both"
    )
