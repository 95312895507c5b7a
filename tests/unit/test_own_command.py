"""The command that plays another playbook as this one was played."""

from __future__ import annotations

import shlex
import subprocess

from fpaas.control import own_command

TYPED = ["-i", "my inventory/a.yml", "playbooks/scenario-1.yml", "-e", "lab_dir=/a b/'c'", "-K"]


def test_advice_has_the_options_of_the_run_and_survives_the_shell() -> None:
    written = own_command.command(
        "/bin/echo", "/x y/collect.yml", TYPED, ("playbooks/scenario-1.yml",), {"run_id": "r"}
    )
    wanted = ["/x y/collect.yml", "-i", "my inventory/a.yml", "-e", "lab_dir=/a b/'c'", "-K"]
    wanted += ["-e", "run_id=r"]
    assert shlex.split(written) == ["/bin/echo", *wanted]
    said = subprocess.run(written, shell=True, capture_output=True, text=True, check=True).stdout
    assert said == " ".join(wanted) + "\n"


def test_nobody_is_asked_for_passwords_where_nobody_answers() -> None:
    kept = list(own_command.silent_options(TYPED, ("playbooks/scenario-1.yml",)))
    assert kept == ["-i", "my inventory/a.yml", "-e", "lab_dir=/a b/'c'"]
