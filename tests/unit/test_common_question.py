"""What role common asks a host by a shell, before it has modules mend what is otherwise."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import subprocess
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from tests.support.checkout import CHECKOUT

OSTYPE = "kernel.ostype"


def asked(lab: Path, file: Path, user: str, programs: Path = Path("/none")) -> list[str]:
    variables = CHECKOUT / "roles" / "common" / "vars" / "main.yml"
    question = yaml.safe_load(variables.read_text(encoding="utf-8"))["common_question"]
    places = [str(lab), str(file), str(programs)]
    command = ["sh", "-c", question, "sh", user, *places, OSTYPE, "kernel.none"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()


def test_it_says_what_there_is(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.getuid())
    runs = tmp_path / "runs"
    runs.mkdir()
    runs.chmod(0o755)
    file = tmp_path / "sysctls"
    file.write_text("a = 1\n", encoding="ascii")
    group = grp.getgrgid(runs.stat().st_gid).gr_name
    assert asked(tmp_path, file, me.pw_name) == [
        f"user {me.pw_gecos}:{me.pw_dir}:{me.pw_shell}",
        f"runs {me.pw_name} {group} 755 directory",
        f"sysctls {hashlib.sha256(b'a = 1' + bytes([10])).hexdigest()}  -",
        f"{OSTYPE} Linux",
        "kernel.none",
    ]
    runs.chmod(0o700)
    assert f"runs {me.pw_name} {group} 700 directory" in asked(tmp_path, file, me.pw_name)


def test_what_is_missing_is_no_answer(tmp_path: Path) -> None:
    assert asked(tmp_path, tmp_path / "none", "nobody-of-this-name")[:3] == [
        "user ",
        "runs ",
        "sysctls ",
    ]


def test_files_of_others_are_named_where_the_lab_is_to_be(tmp_path: Path) -> None:
    lab, programs = tmp_path / "a lab", tmp_path / "programs"
    for path in (lab / "lost+found", lab / "my data", programs / "agents-1", programs / "bin"):
        path.mkdir(parents=True)
    (programs / "nats-server").touch()

    def others() -> list[str]:
        said = asked(lab, tmp_path / "none", "nobody-of-this-name", programs)
        return [line for line in said if line.startswith("other ")]

    assert others() == [f"other {lab}/my data", f"other {programs}/bin"]
    (lab / "runs").mkdir()
    assert others() == [f"other {programs}/bin"]
