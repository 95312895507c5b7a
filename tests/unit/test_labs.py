"""Labs are told apart by more than a file's name, and find their secrets again."""

from __future__ import annotations

import json
from pathlib import Path

from fpaas.control import labs

AT = {"nats-1": "10.0.0.1"}


def test_two_inventories_of_one_file_name_are_two_labs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my lab.yml").touch()
    first, second = (labs.name([str(tmp_path / name / "my lab.yml")]) for name in ("a", "b"))
    assert first != second
    assert first.rpartition("-")[0] == second.rpartition("-")[0] == "my-lab"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert labs.name([str(tmp_path / "link" / "my lab.yml")]) == first
    assert labs.name([str(tmp_path / "a/my lab.yml"), str(tmp_path / "b/my lab.yml")]) != first
    assert labs.name(["h1,h2"]) != labs.name(["h1,h3"])


def former(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "credentials").write_text("secret")
    (directory / "credentials").chmod(0o600)
    (directory / "ca.key").write_text("key")
    return directory


def test_secrets_are_found_again_by_certificates(tmp_path: Path) -> None:
    old = former(tmp_path / "my-lab")
    (old / "nats-1-10.0.0.1.pem").touch()
    new = tmp_path / "my-lab-12345678"
    names = ["ca.key", "credentials", "nats-1-10.0.0.1.pem"]
    assert labs.adopt(new, old, AT, copies=False) == names
    assert not new.exists()
    assert labs.adopt(new, old, AT) == names
    assert (new / "credentials").read_text() == "secret"
    assert (new / "credentials").stat().st_mode & 0o777 == 0o600
    assert new.stat().st_mode & 0o777 == 0o700
    assert (old / "credentials").exists()
    assert labs.adopt(new, old, AT) == []


def test_secrets_are_found_again_by_the_last_plan(tmp_path: Path) -> None:
    old = former(tmp_path / "my-lab")
    new = tmp_path / "my-lab-12345678"
    (old / "20260101T000000Z-scenario-1.json").write_text(
        json.dumps({"nats_url": "nats://10.0.0.9:4222"})
    )
    assert labs.adopt(new, old, AT) == []
    (old / "20260102T000000Z-scenario-1.json").write_text(
        json.dumps({"nats_url": "nats://10.0.0.1:4222"})
    )
    assert labs.adopt(new, old, AT) == ["ca.key", "credentials"]


def test_nobody_takes_the_secrets_of_another_lab(tmp_path: Path) -> None:
    old = former(tmp_path / "my-lab")
    (old / "nats-1-10.0.0.9.pem").touch()
    new = tmp_path / "my-lab-12345678"
    assert labs.adopt(new, old, AT) == []
    assert labs.adopt(new, old, {}) == []
    assert labs.adopt(new, tmp_path / "none", AT) == []
    assert not new.exists()
