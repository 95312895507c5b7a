"""group_vars/all.yml says every tunable once, in step with what the code reads."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jinja2.nativetypes import NativeEnvironment

from fpaas import spec
from fpaas.control import inventory_checks

CHECKOUT = Path(__file__).resolve().parents[2]
ALL = CHECKOUT / "group_vars" / "all.yml"


def variables() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(ALL.read_text())
    return content


def test_names_are_those_that_the_code_reads() -> None:
    bench = [name for name in variables() if name.startswith("bench_")]
    assert bench == list(spec.VARIABLES)


@pytest.mark.parametrize("name", list(spec.VARIABLES))
def test_defaults_are_the_codes(name: str) -> None:
    value = variables()[name]
    if isinstance(value, str):
        value = NativeEnvironment().from_string(value).render(variables())
    assert value == spec.VARIABLES[name].default


def test_deduplication_follows_a_shortened_max_age() -> None:
    value = variables()["bench_stream_duplicate_window_s"]
    shortened = {**variables(), "bench_stream_max_age_s": "60"}
    rendered: object = NativeEnvironment().from_string(value).render(shortened)
    assert rendered == 60


@pytest.mark.parametrize("name", inventory_checks.LOCAL_CONNECTIONS)
def test_this_machine_is_the_embedded_lab_by_both_names_of_its_connection(name: str) -> None:
    known = {"inventory_hostname": "h", "hostvars": {"h": {"ansible_connection": name}}}
    value = NativeEnvironment().from_string(variables()["lab_service_manager"])
    assert value.render(known) == "supervisor"


def test_every_variable_has_a_comment() -> None:
    for line in ALL.read_text().splitlines():
        if re.match(r"\w+:", line):
            assert " # " in line, line


def test_both_ansible_cfg_say_the_same() -> None:
    def settings(path: Path) -> dict[str, dict[str, str]]:
        parser = configparser.ConfigParser()
        parser.read(path)
        return {name: dict(parser[name]) for name in parser.sections()}

    root, playbooks = (
        settings(CHECKOUT / "ansible.cfg"),
        settings(CHECKOUT / "playbooks/ansible.cfg"),
    )
    for name in ("inventory", "collections_path", "home", "local_tmp"):
        root["defaults"][name] = f"../{root['defaults'][name]}"
    assert root == playbooks
    # Otherwise every playbook succeeds, on no host at all, if the inventory cannot be read.
    assert root["inventory"]["any_unparsed_is_failed"] == "True"


def test_values_are_the_weakest_of_all() -> None:
    assert (CHECKOUT / "roles/_defaults/defaults/main.yml").samefile(ALL)
    # Beside playbooks they would win over what an inventory file says.
    assert not (CHECKOUT / "playbooks" / "group_vars").exists()
    for role in (CHECKOUT / "roles").iterdir():
        if role.name != "_defaults" and role.is_dir():
            meta = yaml.safe_load((role / "meta" / "main.yml").read_text())
            assert {"role": "fpaas.bench_lab._defaults"} in meta["dependencies"], role.name


def test_the_collection_is_the_checkout() -> None:
    linked = CHECKOUT / "playbooks/collections/ansible_collections/fpaas/bench_lab"
    assert linked.samefile(CHECKOUT)


@pytest.mark.parametrize(
    ("number", "consumers", "poll_interval_s", "batch_size"),
    [(1, 100, 60, 100), (2, 100, 10, 50), (3, 1000, 60, 100), (4, 50, 120, 500), (5, 200, 5, 20)],
)
def test_scenarios(number: int, consumers: int, poll_interval_s: int, batch_size: int) -> None:
    [play] = yaml.safe_load((CHECKOUT / f"playbooks/scenario-{number}.yml").read_text())
    bench = {name: value for name, value in play["vars"].items() if name.startswith("bench_")}
    assert bench == {
        "bench_consumers": consumers,
        "bench_poll_interval_s": poll_interval_s,
        "bench_batch_size": batch_size,
    }
    assert play["vars"]["scenario_name"] == f"scenario-{number}"
    assert play["vars"]["scenario_goal"]
