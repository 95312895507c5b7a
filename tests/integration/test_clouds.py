"""Labs in clouds, by playbooks and the clouds' modules, against servers that stand in for them."""

from __future__ import annotations

import base64
import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support import aws_cloud, hetzner_cloud
from tests.support.checkout import CHECKOUT, SCRIPTS

pytestmark = pytest.mark.integration

PARTS = {"relay", "nats", "shuffler", "consumers"}
#: Four hosts: each takes a second.
SMALL = '{"cloud_count": {"consumers": 1}}'
NAMES = [f"fpaas-{part}-1" for part in sorted(PARTS)]
FOUR_KINDS = ("networks", "firewalls", "placement_groups", "ssh_keys")


@dataclass
class User:
    """Somebody at a terminal, who has credentials of one cloud."""

    directory: Path
    provider: str
    credentials: dict[str, str]

    @property
    def inventory(self) -> Path:
        return self.directory / "cloud-fpaas.yml"

    def play(self, playbook: str, *arguments: str, confirmed: bool = True) -> tuple[int, str]:
        """Return the exit code, and what was printed, in one line."""
        settings = {
            "cloud_provider": self.provider,
            "cloud_wait_s": "0",
            "cloud_inventory_dir": str(self.directory),
            "cloud_ssh_parent": str(self.directory / "ssh"),
            **({"cloud_confirm": "true"} if confirmed else {}),
        }
        done = subprocess.run(
            [
                *(SCRIPTS / "ansible-playbook", f"playbooks/{playbook}.yml"),
                *(word for name, value in settings.items() for word in ("-e", f"{name}={value}")),
                *arguments,
            ],
            cwd=CHECKOUT,
            env=os.environ | {"ANSIBLE_NOCOLOR": "1"} | self.credentials,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        sys.stdout.write(done.stdout)
        return done.returncode, " ".join(done.stdout.split())


@pytest.fixture
def hetzner() -> Iterator[hetzner_cloud.Project]:
    with hetzner_cloud.serve() as project:
        # Somebody else's, and another lab's.
        project.add("networks", name="mine", labels={"owner": "me"}, subnets=[], servers=[])
        project.add("ssh_keys", name="other", labels={"fpaas.lab": "other"})
        yield project


@pytest.fixture
def user(hetzner: hetzner_cloud.Project, tmp_path: Path) -> User:
    return User(tmp_path, "hetzner", {"HCLOUD_TOKEN": "right", "HCLOUD_ENDPOINT": hetzner.url})


OTHERS = {"networks": ["mine"], "ssh_keys": ["other"]}


def test_a_quota_is_said_and_what_was_created_is_removed(
    hetzner: hetzner_cloud.Project, user: User
) -> None:
    hetzner.limit = 1

    code, said = user.play("cloud-up", "-e", SMALL)

    assert code == 2
    assert "server limit reached (resource_limit_exceeded) That is a limit (quota)" in said
    assert "Created until then: server fpaas-relay-1, placement group fpaas, firewall" in said
    assert "nothing bears the label fpaas.lab=fpaas" in said
    assert hetzner.names() == OTHERS
    assert list(user.directory.glob("**/*fpaas*")) == []


@pytest.mark.matrix
def test_a_lab_at_hetzner_from_up_to_down(hetzner: hetzner_cloud.Project, user: User) -> None:
    code, said = user.play("cloud-up", "-e", SMALL, confirmed=False)
    assert (code, hetzner.names()) == (2, OTHERS)
    assert "Nothing was created" in said
    # What a server and its address cost at the stand-in.
    assert "about 0.154 EUR an hour" in said

    code, said = user.play("cloud-up", "-e", SMALL)
    assert code == 0, said
    there = hetzner.names()
    assert there["servers"] == NAMES
    for kind in FOUR_KINDS:
        assert "fpaas" in there[kind]
    made = [
        each
        for them in hetzner.there.values()
        for each in them.values()
        if each["name"] not in {"mine", "other"}
    ]
    assert {each["labels"]["fpaas.lab"] for each in made} == {"fpaas"}
    for server in hetzner.there["servers"].values():
        assert server["private_net"]
        assert server["public_net"]["firewalls"]
        assert server["placement_group"]["name"] == "fpaas"
        assert server["ssh_keys"]
    groups = yaml.safe_load(user.inventory.read_text())["all"]["children"]
    assert set(groups) == PARTS
    assert groups["nats"]["hosts"]["nats-1"]["lab_address"].startswith("10.213.58.")

    # Once more changes nothing, nor does a lifetime that is not over.
    code, said = user.play("cloud-up", "-e", SMALL)
    assert (code, "changed=0" in said) == (0, True)
    code, said = user.play("cloud-down", "-e", "cloud_expired=true")
    assert (code, hetzner.names()) == (0, there)

    # One that cannot be removed is named, the rest goes.
    hetzner.protected = {"fpaas-nats-1"}
    code, said = user.play("cloud-down")
    assert code == 2
    assert "Still there, and may cost: server fpaas-nats-1" in said
    hetzner.protected = set()
    code, said = user.play("cloud-down")
    assert (code, hetzner.names()) == (0, OTHERS)
    assert "Asked again in this project of Hetzner Cloud: nothing bears the label" in said
    assert not user.inventory.exists()
    code, said = user.play("cloud-down")
    assert (code, "There was nothing to remove" in said) == (0, True)


@pytest.mark.matrix
def test_expired_labs_are_removed_by_anybody(hetzner: hetzner_cloud.Project, user: User) -> None:
    for name, ends in (("old", "1700000000"), ("young", "4000000000")):
        labels = {"fpaas.lab": name, "fpaas.ends": ends}
        hetzner.add("networks", name=name, labels=labels, subnets=[], servers=[])

    code, said = user.play("cloud-down", "-e", "cloud_expired=true")

    assert code == 0, said
    assert "Removed network old." in said
    assert hetzner.names() == {**OTHERS, "networks": ["mine", "young"]}


@pytest.mark.matrix
def test_what_has_the_labs_name_and_is_not_the_labs_is_left_alone(
    hetzner: hetzner_cloud.Project, user: User
) -> None:
    code, said = user.play("cloud-up", "-e", "cloud_name=mine")
    assert (code, hetzner.names()) == (2, OTHERS)
    assert "network mine: is there already, and not this lab's" in said
    code, said = user.play("cloud-up", "-e", "cloud_lifetime=1")
    assert (code, hetzner.names()) == (2, OTHERS)
    assert "cloud_lifetime: no such variable" in said


def tags_of(each: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}


@pytest.mark.matrix
def test_a_lab_at_aws_from_up_to_down(tmp_path: Path) -> None:
    with aws_cloud.serve(tmp_path) as account:
        user = User(tmp_path, "aws", account.environment())
        ec2 = account.client()
        ec2.create_key_pair(KeyName="mine")
        vpcs = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}

        code, said = user.play("cloud-up", "-e", "cloud_region=eu-central-1", "-e", SMALL)
        assert code == 0, said
        assert "about 0.505 USD an hour" in said
        instances = [
            each
            for reservation in ec2.describe_instances()["Reservations"]
            for each in reservation["Instances"]
        ]
        assert sorted(tags_of(each)["Name"] for each in instances) == NAMES
        assert {tags_of(each)["fpaas.lab"] for each in instances} == {"fpaas"}
        for each, asked in zip(instances, account.launched, strict=True):
            # The newest of Debian's images; the host ends itself, and that ends the instance.
            assert each["ImageId"] == "ami-00000002"
            assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
            assert asked["Placement.GroupName"] == "fpaas"
            script = base64.b64decode(asked["UserData"]).decode()
            subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=True)
            [deadline] = re.findall(r"^OnCalendar=(.+) UTC$", script, re.MULTILINE)
            ends = dt.datetime.fromisoformat(f"{deadline}+00:00").timestamp()
            assert tags_of(each)["fpaas.ends"] == str(int(ends))
        groups = yaml.safe_load(user.inventory.read_text())["all"]["children"]
        assert set(groups) == PARTS

        # Half of it is gone, and another region is where the user is.
        ec2.terminate_instances(InstanceIds=[instances[0]["InstanceId"]])
        del account.placement_groups["fpaas"]
        code, said = user.play("cloud-down")
        assert code == 0, said
        assert "Asked again in all regions of this AWS account: nothing bears the label" in said
        assert {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} == vpcs
        assert [each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"]] == ["mine"]

        account.launches = 1
        account.plays_placement_groups = False
        code, said = user.play("cloud-up", "-e", "cloud_region=eu-central-1", "-e", SMALL)
        assert code == 2
        assert "No placement group, so hosts may be far from each other" in said
        assert "That is a limit (quota) of your account" in said
        assert "Created until then: instance fpaas-relay-1" in said
        assert {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} == vpcs
