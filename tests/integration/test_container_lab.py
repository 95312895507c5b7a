"""The container lab on a real engine: what `make lab` starts are hosts, and nothing stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.docker_engine import ask_engine, request_of_engine, why_not

pytestmark = pytest.mark.integration

NAME = "fpaas-test"
#: `make test` plays more labs afterwards, which take a minute less if they find images.
KEEPS_IMAGES = os.environ.get("FPAAS_KEEP_IMAGES") == "true"
IMAGE_NAME = "fpaas-molecule" if KEEPS_IMAGES else NAME
HOSTS = {"relay-1": 12, "nats-1": 13, "shuffler-1": 12, "consumers-1": 13, "consumers-2": 12}
LIMITED = "shuffler-1"


def labelled(kind: str, name: str = NAME) -> list[Any]:
    filters = quote(json.dumps({"label": [f"fpaas.lab={name}"]}))
    return list(ask_engine(f"/{kind}?all=true&filters={filters}"))


def ansible(
    command: str, *arguments: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible's in the checkout, as a user would."""
    return subprocess.run(
        [SCRIPTS / command, *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"} | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


class Lab:
    """The shipped inventory under another name and subnet: a lab that is in use is left alone."""

    def __init__(self, directory: Path) -> None:
        shipped = CHECKOUT / "inventory"
        shutil.copytree(shipped / "group_vars", directory / "group_vars")
        self.inventory = directory / "containers.yml"
        self.inventory.write_text(
            (shipped / "containers.yml")
            .read_text()
            .replace("container_lab_name: fpaas\n", f"container_lab_name: {NAME}\n")
            .replace("10.213.57.", "10.213.59.")
            .replace(
                f"{LIMITED}: {{",
                f"{LIMITED}: {{container_lab_cpus: 0.5, container_lab_memory_mb: 512, ",
            )
        )
        self._ssh_dir = directory / "ssh"

    def playbook(self, name: str) -> str:
        """Play lab-up or lab-down; its output."""
        done = ansible(
            "ansible-playbook",
            f"playbooks/{name}.yml",
            *("-e", f"container_lab_inventory={self.inventory}"),
            *("-e", f"container_lab_ssh_dir={self._ssh_dir}"),
            *("-e", f"container_lab_image_name={IMAGE_NAME}"),
            *("-e", f"container_lab_keep_images={KEEPS_IMAGES}"),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, command: str, *arguments: str) -> dict[str, str]:
        """Run a shell command on every host over SSH: host → what it printed."""
        done = ansible(
            "ansible",
            "containers",
            *("-i", self.inventory),
            *("-e", f"container_lab_ssh_dir={self._ssh_dir}"),
            *("-m", "ansible.builtin.shell", "-a", command),
            *arguments,
            environment={
                "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        results = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]
        return {host: result["stdout"] for host, result in results.items()}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    missing = why_not()
    if missing:
        pytest.skip(missing)
    lab = Lab(tmp_path)
    try:
        lab.playbook("lab-up")
        yield lab
    finally:
        lab.playbook("lab-down")


def hosts_have_booted_and_are_the_releases_asked_for(lab: Lab) -> None:
    printed = lab.run(
        ". /etc/os-release; echo $(hostname) $VERSION_ID $(systemctl is-system-running)"
    )

    assert printed == {host: f"{host} {debian} running" for host, debian in HOSTS.items()}


def user_is_unprivileged_and_has_sudo(lab: Lab) -> None:
    # As whom Ansible logs in; the playbooks' variables have it become root.
    printed = lab.run("id -un; sudo -n id -un", "-e", "ansible_become=false")

    assert printed == dict.fromkeys(HOSTS, "lab\nroot")


def there_is_no_way_out(lab: Lab) -> None:
    # 198.51.100.1 is of a network that is reserved for documentation.
    probe = """
import socket, time
began = time.monotonic()
for attempt in (lambda: socket.create_connection(("198.51.100.1", 80), 5),
                lambda: socket.getaddrinfo("example.org", 80)):
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__, end=" ")
print("at once" if time.monotonic() - began < 8 else "slowly")
"""
    assert lab.run(f"ip route show default; python3 -c '{probe}'") == dict.fromkeys(
        HOSTS, "OSError gaierror at once"
    )


def hosts_reach_each_other_by_name(lab: Lab) -> None:
    greet = 'import socket; print(socket.create_connection(("nats-1", 22), 5).recv(4))'

    assert lab.run(f"python3 -c '{greet}'") == dict.fromkeys(HOSTS, "b'SSH-'")


def units_can_be_sandboxed(lab: Lab) -> None:
    sandboxed = (
        "sudo systemd-run --quiet --collect --wait --pipe -p DynamicUser=yes "
        "-p ProtectSystem=strict -p PrivateTmp=yes -p PrivateDevices=yes -p NoNewPrivileges=yes "
        "-p ProtectKernelTunables=yes -p SystemCallFilter=@system-service touch /usr/x 2>&1 || true"
    )

    for printed in lab.run(sandboxed).values():
        assert printed.endswith("cannot touch '/usr/x': Read-only file system")


def every_host_has_a_key_of_its_own(lab: Lab) -> None:
    keys = lab.run("cat /etc/ssh/ssh_host_*_key.pub")

    assert len(set(keys.values())) == len(HOSTS)


def limits_are_set_where_the_engine_can(_: Lab) -> None:
    engine = ask_engine("/info")
    limits = ask_engine(f"/containers/{NAME}-{LIMITED}/json")["HostConfig"]
    others = ask_engine(f"/containers/{NAME}-relay-1/json")["HostConfig"]

    assert limits["NanoCpus"] == (500_000_000 if engine["CpuCfsQuota"] else 0)
    assert limits["Memory"] == (512_000_000 if engine["MemoryLimit"] else 0)
    assert (others["NanoCpus"], others["Memory"]) == (0, 0)


def containers_are_not_privileged(_: Lab) -> None:
    for container in labelled("containers/json"):
        settings = ask_engine(f"/containers/{container['Id']}/json")["HostConfig"]
        assert not settings["Privileged"]
        assert not settings["Binds"]


def second_up_changes_nothing(lab: Lab) -> None:
    assert "changed=0 " in lab.playbook("lab-up")


def host_that_was_stopped_is_started_again(lab: Lab) -> None:
    request_of_engine("POST", f"/containers/{NAME}-consumers-2/kill")

    lab.playbook("lab-up")

    assert set(lab.run("systemctl is-system-running").values()) == {"running"}


def down_leaves_nothing(lab: Lab) -> None:
    assert len(labelled("containers/json")) == len(HOSTS)
    assert labelled("networks")
    assert labelled("images/json", IMAGE_NAME)

    lab.playbook("lab-down")

    assert labelled("containers/json") + labelled("networks") == []
    assert bool(labelled("images/json", IMAGE_NAME)) == KEEPS_IMAGES
    lab.playbook("lab-down")  # and nothing to remove is no error


#: In this order: the last ones stop hosts and remove them.
CHECKS = (
    hosts_have_booted_and_are_the_releases_asked_for,
    user_is_unprivileged_and_has_sudo,
    there_is_no_way_out,
    hosts_reach_each_other_by_name,
    units_can_be_sandboxed,
    every_host_has_a_key_of_its_own,
    limits_are_set_where_the_engine_can,
    containers_are_not_privileged,
    second_up_changes_nothing,
    host_that_was_stopped_is_started_again,
    down_leaves_nothing,
)


def test_lab_from_up_to_down(lab: Lab) -> None:
    # One test, for tests are spread over processes, and a lab takes minutes to build.
    for check in CHECKS:
        check(lab)


def test_without_an_engine_the_message_says_what_to_install(tmp_path: Path) -> None:
    done = ansible(
        "ansible-playbook",
        "playbooks/lab-up.yml",
        environment={"DOCKER_HOST": f"unix://{tmp_path}/no.sock"},
    )

    assert done.returncode != 0
    assert "No container engine answers" in done.stdout + done.stderr
    assert "apt-get install docker.io" in done.stdout + done.stderr
