"""What is brought to hosts without internet: its name changes when, and only when, content does."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fpaas.control import payload
from fpaas.errors import BadInput, RunInvalid

TARGET = payload.Target("3.13", "x86_64")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "agents" / "fpaas").mkdir(parents=True)
    (tmp_path / "agents" / "fpaas" / "cli.py").write_text("pass\n")
    (tmp_path / "uv.lock").write_text("locked\n")
    (tmp_path / "pyproject.toml").write_text("project\n")
    return tmp_path


def test_digest_is_of_all_that_goes_in(checkout: Path) -> None:
    def name(target: payload.Target = TARGET, directory: str = "/opt/fpaas") -> str:
        return payload.digest(checkout, target, directory)

    first = name()
    assert name() == first
    (checkout / "agents" / "fpaas" / "cli.pyc").write_bytes(b"compiled")
    assert name() == first
    assert name(payload.Target("3.11", "x86_64")) != first
    assert name(directory="/srv/fpaas") != first
    (checkout / "agents" / "fpaas" / "cli.py").write_text("other\n")
    second = name()
    assert second != first
    (checkout / "uv.lock").write_text("other\n")
    assert name() not in (first, second)


def test_environment_is_whole_and_of_root(tmp_path: Path) -> None:
    libraries = tmp_path / "libraries"
    (libraries / "fpaas").mkdir(parents=True)
    (libraries / "fpaas" / "cli.py").write_text("pass\n")
    archive = tmp_path / "agents-1.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        payload._write(tar, "agents-1", libraries, TARGET, "/opt/fpaas/agents")
    with tarfile.open(archive) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
        script = tar.extractfile("agents-1/bin/fpaas")
        assert script is not None
        assert script.read().startswith(b"#!/opt/fpaas/agents/bin/python\n")
    assert list(entries)[-1] == "agents-1/complete"
    assert entries["agents-1/bin/python"].linkname == "/usr/bin/python3"
    assert "agents-1/lib/python3.13/site-packages/fpaas/cli.py" in entries
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    # None is left to the umask of whoever unpacks.
    for name in entries:
        for above in list(Path(name).parents)[:-1]:
            assert entries[str(above)].mode == 0o755, above


def test_agents_need_nothing_that_only_the_control_node_has() -> None:
    """Of what is brought to a host; for libraries of it see pyproject.toml's extras."""
    agents = ("relay", "shuffler", "consumers", "probe", "faults", "seal", "network", "provision")
    program = (
        "import sys\n"
        "for name in ('hdrh', 'pyhdrh', 'ansible', 'jinja2', 'requests', 'rich', 'supervisor'):\n"
        "    sys.modules[name] = None\n"
    ) + "".join(f"import fpaas.commands.{name}\n" for name in agents)
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_library_for_another_machine_is_refused(tmp_path: Path) -> None:
    library = tmp_path / "a" / "fast.so"
    library.parent.mkdir()
    library.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00")

    payload.check_machine(tmp_path, "aarch64")

    with pytest.raises(RunInvalid, match=r"a/fast\.so is for aarch64, and was to be for x86_64"):
        payload.check_machine(tmp_path, "x86_64")


@pytest.mark.parametrize(
    ("python", "machine", "words"),
    [
        ("3.9", "x86_64", "Python 3.9 is too old"),
        ("2", "x86_64", "expected a version like 3.13"),
        ("3.13", "riscv64", "there are no wheels for it"),
    ],
)
def test_hosts_that_cannot_have_it_are_refused(
    checkout: Path, python: str, machine: str, words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        payload.build(checkout, checkout / "cache", payload.Target(python, machine), "/opt/fpaas")
