"""The examples in inventory/: groups and variables come out as the playbooks expect them."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT, SCRIPTS

INVENTORY = CHECKOUT / "inventory"
LOAD_GROUPS = {"relay", "nats", "shuffler", "consumers"}
HETZNER, AWS = "example.hcloud.yml", "example.aws_ec2.yml"
#: What the plugins know of two hosts, as they name it.
HETZNER_HOSTS: dict[str, dict[str, Any]] = {
    name: {
        "ansible_host": f"203.0.113.{number}",
        "hcloud_labels": {"fpaas": group},
        "hcloud_private_ipv4": f"10.0.0.{number}",
    }
    for number, (name, group) in enumerate({"nats-1": "nats", "load-1": "consumers"}.items(), 1)
}
AWS_HOSTS: dict[str, dict[str, Any]] = {
    "nats-1": {
        "tags": {"Name": "nats-1", "fpaas": "nats"},
        "private_ip_address": "10.0.0.1",
        "public_ip_address": "203.0.113.1",
    },
    "load-1": {
        "tags": {"Name": "load-1", "fpaas": "consumers"},
        "private_ip_address": "10.0.0.2",
        "public_ip_address": None,
    },
}


def inventory(*sources: Path) -> dict[str, Any]:
    done = subprocess.run(
        [SCRIPTS / "ansible-inventory", "--list", *(f"--inventory={source}" for source in sources)],
        cwd=CHECKOUT,
        env=os.environ | {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # How values that are not to be templated are written.
    unwrap = "__ansible_unsafe"
    listed: dict[str, Any] = json.loads(done.stdout, object_hook=lambda o: o.get(unwrap, o))
    return listed


def example(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((INVENTORY / name).read_text())
    return content


def constructed(name: str, hosts: dict[str, dict[str, Any]], directory: Path) -> dict[str, Any]:
    """Construct an inventory as the example says, of hosts that no cloud was asked for."""
    rules = {key: example(name)[key] for key in ("strict", "keyed_groups", "compose")}
    found = directory / "found.json"
    found.write_text(json.dumps({"all": {"hosts": hosts}}))
    rest = directory / "constructed.yml"
    rest.write_text(yaml.safe_dump({"plugin": "ansible.builtin.constructed", **rules}))
    return inventory(found, rest)


@functools.cache
def options_of(plugin: str) -> dict[str, Any]:
    done = subprocess.run(
        [SCRIPTS / "ansible-doc", "-t", "inventory", "--json", plugin],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    options: dict[str, Any] = json.loads(done.stdout)[plugin]["doc"]["options"]
    return options


def test_vms_have_every_part() -> None:
    listed = inventory(INVENTORY / "vms.example.yml")
    assert set(listed) - {"all", "_meta"} == LOAD_GROUPS
    assert listed["consumers"]["hosts"] == ["consumers-1", "consumers-2"]
    for host, variables in listed["_meta"]["hostvars"].items():
        assert {"ansible_host", "ansible_user", "lab_address"} <= set(variables), host


@pytest.mark.parametrize("name", [HETZNER, AWS])
def test_plugins_know_the_options(name: str) -> None:
    content = example(name)
    options = options_of(content.pop("plugin"))
    for option, value in content.items():
        assert option in options
        kind = {list: "list", dict: "dict", bool: "bool", str: "str"}[type(value)]
        assert options[option].get("type", "str") == kind, option


@pytest.mark.parametrize("name", [HETZNER, AWS])
def test_plugins_take_the_files_for_theirs(name: str) -> None:
    assert name.endswith(example(name)["plugin"].rpartition(".")[2] + ".yml")


def test_servers_at_hetzner(tmp_path: Path) -> None:
    listed = constructed(HETZNER, HETZNER_HOSTS, tmp_path)
    assert listed["nats"]["hosts"] == ["nats-1"]
    assert listed["consumers"]["hosts"] == ["load-1"]
    variables = listed["_meta"]["hostvars"]["load-1"]
    assert variables["ansible_host"] == "203.0.113.2"
    assert variables["lab_address"] == "10.0.0.2"
    assert variables["ansible_user"] == "root"


def test_instances_at_aws(tmp_path: Path) -> None:
    listed = constructed(AWS, AWS_HOSTS, tmp_path)
    assert listed["nats"]["hosts"] == ["nats-1"]
    assert listed["consumers"]["hosts"] == ["load-1"]
    hosts = listed["_meta"]["hostvars"]
    assert hosts["nats-1"]["ansible_host"] == "203.0.113.1"
    assert hosts["load-1"]["ansible_host"] == "10.0.0.2"
    assert hosts["load-1"]["lab_address"] == "10.0.0.2"
    assert hosts["nats-1"]["ansible_user"] == "admin"


@pytest.mark.parametrize(
    ("playbook", "hosts", "message"),
    [
        ("scenario-1.yml", {}, "groups consumers, nats, relay, shuffler: no host"),
        (
            "site.yml",
            {"relay": ["a"], "nats": ["a"], "shuffler": ["a"]},
            "group consumers: no host",
        ),
        (
            "site.yml",
            {"nats": ["a", "b"], "shuffler": ["a"], "consumers": ["a"]},
            "2 hosts are not allowed (a, b); allowed: 1, a single server, or 3",
        ),
    ],
)
def test_inventory_that_is_no_lab_is_refused(
    tmp_path: Path, playbook: str, hosts: dict[str, list[str]], message: str
) -> None:
    # 192.0.2.1 is of a network that is reserved for documentation: nobody is asked anything.
    groups = {
        group: {"hosts": {name: {"ansible_host": "192.0.2.1"} for name in names}}
        for group, names in {"others": ["web-1"], **hosts}.items()
    }
    done = play(tmp_path, groups, playbook)
    assert done.returncode == 2, done.stdout
    assert message in done.stdout + done.stderr


def play(
    directory: Path, groups: dict[str, Any], playbook: str, *options: str
) -> subprocess.CompletedProcess[str]:
    source = directory / "lab.yml"
    source.write_text(yaml.safe_dump({"all": {"children": groups}}))
    return subprocess.run(
        [SCRIPTS / "ansible-playbook", "-i", source, CHECKOUT / "playbooks" / playbook, *options],
        cwd=CHECKOUT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("playbook", "option", "message"),
    [
        # Ansible skips plays without hosts, and tasks without a tag, and is content.
        ("scenario-1.yml", "--limit=web-1", "leaves out b, a, c: a run needs all hosts"),
        ("sweep.yml", "--limit=c", "leaves out b, a: a run needs all hosts"),
        ("teardown.yml", "--limit=web-1", "leaves out b, a, c: nothing would be done"),
        ("site.yml", "--tags=nats", "--tags: nats: no task of the lab has such a tag"),
        ("site.yml", "--skip-tags=all", "--skip-tags: all: skips all tasks of the lab"),
    ],
)
def test_playbooks_that_would_leave_something_out_are_refused(
    tmp_path: Path, playbook: str, option: str, message: str
) -> None:
    groups = {
        group: {"hosts": {name: {"ansible_host": "192.0.2.1"}}}
        for group, name in [
            *[("others", "web-1"), ("relay", "b"), ("nats", "a")],
            *[("shuffler", "a"), ("consumers", "c")],
        ]
    }
    done = play(tmp_path, groups, playbook, option)
    assert done.returncode == 2, done.stdout
    assert message in done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted((CHECKOUT / "playbooks").glob("*.yml")), ids=str)
def test_what_runs_once_runs_once_whatever_strategy_a_user_prefers(path: Path) -> None:
    for one in yaml.safe_load(path.read_text()):
        # With `free`, each host would make the lab's secrets, or play the sweep.
        if "nats" in one.get("hosts", "") and path.name != "watch.yml":
            assert one["strategy"] == "ansible.builtin.linear", one["name"]
