"""Whatever a user sets takes effect, in order of strength; what would have none is refused."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.integration

LOCAL = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}
PARTS = ("relay", "nats", "shuffler", "consumers")
#: Where a user may set something, the weakest first: inventory file, files beside it, command line.
PLACES = (
    "file: all",
    "file: group",
    "group_vars/all.yml",
    "group_vars/nats.yml",
    "file: host",
    "host_vars/h1.yml",
    "-e",
)
#: A value for each tunable that is tried, made of a place's number.
TUNABLES = ("nats_port", "bench_measure_s", "bench_consumers", "run_grace_s", "nats_max_pending")


class Lab:
    """An inventory of one or two local hosts, and playbooks that only look at it."""

    def __init__(self, directory: Path, hosts: tuple[str, ...] = ("h1",)) -> None:
        self.directory = directory
        self.inventory = directory / "my-lab.yml"
        self.hosts = hosts
        self.settings: dict[str, dict[str, Any]] = {}
        self.scenario: dict[str, Any] = {}

    def write(self) -> None:
        here = self.settings
        first = {**LOCAL, **here.get("file: host", {})}
        hosts = {host: first if host == "h1" else LOCAL for host in self.hosts}
        children = {part: {"hosts": dict.fromkeys(self.hosts)} for part in PARTS}
        if len(self.hosts) > 1:
            children["nats"] = {"hosts": {"h1": None}}
        children["nats"] = {**children["nats"], "vars": here.get("file: group", {})}
        everything = {"hosts": hosts, "children": children, "vars": here.get("file: all", {})}
        self.inventory.write_text(yaml.safe_dump({"all": everything}))
        for place, variables in here.items():
            if "/" in place:
                path = self.directory / place
                path.parent.mkdir(exist_ok=True)
                path.write_text(yaml.safe_dump(variables))
        wanted = "{{ dict(names | zip(query('ansible.builtin.vars', *names))) | to_json }}"
        (self.directory / "look.yml").write_text(
            yaml.safe_dump(
                [
                    {
                        "import_playbook": str(CHECKOUT / "playbooks/inventory.yml"),
                        "vars": {"inventory_needs": [], **self.scenario},
                    },
                    {
                        "hosts": "all",
                        "gather_facts": False,
                        "vars": {"names": list(TUNABLES), **self.scenario},
                        "roles": [{"role": "fpaas.bench_lab._defaults"}],
                        "tasks": [
                            {
                                "ansible.builtin.copy": {
                                    "content": wanted,
                                    "dest": f"{self.directory}/{{{{ inventory_hostname }}}}.json",
                                    "mode": "0644",
                                },
                            }
                        ],
                    },
                ],
                sort_keys=False,
            )
        )

    def look(self, playbook: Path | None = None) -> subprocess.CompletedProcess[str]:
        self.write()
        playbook = playbook or self.directory / "look.yml"
        extra = self.settings.get("-e", {})
        return subprocess.run(
            [
                *(SCRIPTS / "ansible-playbook", "-i", self.inventory, playbook),
                *("-e", json.dumps({"lab_dir": str(self.directory / "lab"), **extra})),
            ],
            cwd=CHECKOUT,
            env=os.environ | {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE_S,
            check=False,
        )

    def used(self, host: str = "h1") -> dict[str, Any]:
        done = self.look()
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads((self.directory / f"{host}.json").read_text())
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def values(number: int) -> dict[str, Any]:
    return {name: 10 + number if name != "nats_max_pending" else f"{number}MB" for name in TUNABLES}


def test_the_labs_own_values_are_used_where_nothing_is_set(lab: Lab) -> None:
    own = yaml.safe_load((CHECKOUT / "group_vars/all.yml").read_text())
    nats = yaml.safe_load((CHECKOUT / "roles/nats/defaults/main.yml").read_text())
    expected = {name: own[name] for name in TUNABLES if name in own}
    lab.settings = {"-e": {"nats_max_pending": nats["nats_max_pending"]}}
    assert lab.used() == {**expected, "nats_max_pending": "64MB"}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_set_anywhere_is_used(lab: Lab, place: str) -> None:
    lab.settings = {place: values(1)}
    assert lab.used() == values(1)


@pytest.mark.parametrize("strongest", range(1, len(PLACES)))
def test_the_stronger_place_wins(lab: Lab, strongest: int) -> None:
    lab.settings = {place: values(n) for n, place in enumerate(PLACES[: strongest + 1])}
    assert lab.used() == values(strongest)


def test_a_scenario_wins_over_inventories_and_loses_to_the_command_line(lab: Lab) -> None:
    lab.scenario = {"bench_consumers": 1000, "bench_measure_s": 77}
    lab.settings = {"host_vars/h1.yml": values(1), "-e": {"bench_measure_s": 5}}
    used = lab.used()
    assert (used["bench_consumers"], used["bench_measure_s"]) == (1000, 5)
    said = lab.look().stdout
    [line] = [line for line in said.splitlines() if line.startswith("bench_consumers: ")]
    assert "1000" in line
    assert "11" in line
    assert not [line for line in said.splitlines() if line.startswith("bench_measure_s: ")]


def test_a_misspelt_name_in_a_scenario_is_refused(lab: Lab) -> None:
    lab.scenario = {"bench_consumer": 1000}
    done = lab.look()
    assert done.returncode != 0
    assert "bench_consumer: there is no such variable; did you mean bench_consumers?" in done.stdout


def test_what_one_host_was_told_is_overridden_only_by_a_scenario(tmp_path: Path) -> None:
    lab = Lab(tmp_path, ("h1", "h2"))
    lab.scenario = {"bench_measure_s": 77}
    lab.settings = {"host_vars/h2.yml": {"bench_seed": 5, "bench_measure_s": 5}}
    said = [line.split(": ")[0] for line in lab.look().stdout.splitlines()]
    assert "bench_measure_s" in said
    assert "bench_seed" not in said


@pytest.mark.parametrize("name", ["bench_measure_s", "nats_max_payload"])
def test_what_a_vault_has_is_read_and_not_shown(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab.directory / "password").write_text("secret")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(lab.directory / "password"))
    (lab.directory / "host_vars").mkdir()
    vaulted = subprocess.check_output(
        [SCRIPTS / "ansible-vault", "encrypt_string", "--name", name, "4321"], text=True
    )
    (lab.directory / "host_vars" / "h1.yml").write_text(vaulted)
    lab.scenario = {"bench_measure_s": 77, "nats_max_payload": "2MB"}
    done = lab.look()
    assert f"{name}: the scenario's" in done.stdout
    assert "wins over the inventory's vaulted value" in done.stdout
    assert "4321" not in done.stdout + done.stderr


def test_what_one_host_is_told_of_the_whole_lab_is_told_to_all(tmp_path: Path) -> None:
    lab = Lab(tmp_path, ("h1", "h2"))
    lab.settings = {"file: group": values(1), "-e": {"nats_max_pending": "1MB"}}
    own = yaml.safe_load((CHECKOUT / "group_vars/all.yml").read_text())
    used = lab.used("h2")
    assert used["bench_consumers"] == 11
    assert used["nats_port"] == own["nats_port"]


@pytest.mark.parametrize("place", PLACES)
def test_names_that_do_not_exist_are_refused_wherever_they_stand(lab: Lab, place: str) -> None:
    wrong = {"bench_consumer": "bench_consumers", "nats_prot": "nats_port"}
    lab.settings = {place: dict.fromkeys(wrong, 5)}
    done = lab.look()
    assert done.returncode != 0
    for name, near in wrong.items():
        assert f"{name}: there is no such variable; did you mean {near}?" in done.stdout
    assert not (lab.directory / "lab").exists()


@pytest.mark.parametrize(
    ("playbook", "name", "near"),
    [
        ("lab-up.yml", "container_lab_nam", "container_lab_name"),
        ("vms-up.yml", "machine_lab_memroy_mb", "machine_lab_memory_mb"),
        ("cloud-up.yml", "cloud_provder", "cloud_provider"),
    ],
)
def test_hosts_are_not_made_by_names_that_do_not_exist(
    lab: Lab, playbook: str, name: str, near: str
) -> None:
    lab.settings = {"-e": {name: "x"}}
    done = lab.look(CHECKOUT / "playbooks" / playbook)
    assert done.returncode != 0
    assert f"{name}: there is no such variable; did you mean {near}?" in done.stdout


def test_hosts_cannot_disagree_about_the_whole_lab(tmp_path: Path) -> None:
    lab = Lab(tmp_path, ("h1", "h2"))
    lab.settings = {"file: all": {"bench_consumers": 5}, "file: host": {"bench_consumers": 6}}
    done = lab.look()
    assert done.returncode != 0
    assert "bench_consumers" in done.stdout
    assert "disagree" in done.stdout
