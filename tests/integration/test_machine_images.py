"""Images of virtual machines are made once, as far as no machine is needed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT, SCRIPTS

pytestmark = pytest.mark.integration

PLAYBOOK = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.import_role": {
                    "name": "fpaas.bench_lab.machine_lab",
                    "tasks_from": "images",
                }
            }
        ],
    }
]


def test_an_image_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    programs, cache = tmp_path / "bin", tmp_path / "cache"
    programs.mkdir()
    (programs / "mmdebstrap").write_text("#!/bin/sh\nexit 1\n")
    (programs / "mmdebstrap").chmod(0o755)
    playbook = tmp_path / "images.yml"
    playbook.write_text(json.dumps(PLAYBOOK))
    hosts = {"a-1": {"ansible_host": "10.0.0.1", "machine_lab_debian": 12}}
    variables = {"machine_lab_hosts": hosts, "machine_lab_cache_dir": str(cache)}

    def play() -> int:
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(CHECKOUT / "playbooks/ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "playbooks/collections"),
        }
        return subprocess.run(
            [SCRIPTS / "ansible-playbook", playbook, "-e", json.dumps(variables)],
            env=os.environ | environment,
            capture_output=True,
            check=False,
        ).returncode

    assert play() != 0
    (directory,) = cache.glob("debian12-*")
    (directory / "image").touch()
    assert play() == 0
