"""The collection: roles that work alone, and a scenario played from where it was installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from fpaas.control import lab_lock, lab_processes
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.playbook_lab import PORTS, SHORT
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

PLAY_S = 600


def play(
    playbook: Path, inventory: Path, variables: dict[str, Any], where: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(SCRIPTS / "ansible-playbook", playbook, "-i", inventory),
            *("-e", json.dumps(variables)),
        ],
        cwd=where,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PLAY_S,
        check=False,
    )


@pytest.fixture
def lab_dir(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "lab"
    yield directory
    lab_processes.sweep(directory)
    lab_lock.Lab(directory).release()


def test_the_role_nats_alone_gives_a_server_that_lets_in_who_knows_the_password(
    tmp_path: Path, lab_dir: Path
) -> None:
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump(
            [{"hosts": "all", "gather_facts": False, "roles": [{"role": "fpaas.bench_lab.nats"}]}]
        )
    )
    inventory = tmp_path / "hosts.yml"
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    ports = {"nats_port": free_port(), "nats_monitoring_port": free_port()}
    variables = {"vars": ports, "hosts": {"here": host}}
    inventory.write_text(yaml.safe_dump({"all": variables}))

    def again() -> str:
        done = play(tmp_path / "play.yml", inventory, {"lab_dir": str(lab_dir)}, CHECKOUT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    again()
    password = (lab_dir / "credentials").read_text().split('"')[3]
    # The server greets, and then refuses who does not say the password.
    for user, answer in (("nobody", b"-ERR 'Authorization Violation'"), (password, b"PONG")):
        with socket.create_connection(
            ("127.0.0.1", ports["nats_port"]), timeout=PATIENCE_S
        ) as client:
            login = json.dumps({"verbose": False, "user": "fpaas", "pass": user})
            client.sendall(f"CONNECT {login}\r\nPING\r\n".encode())
            with client.makefile("rb") as answers:
                assert json.loads(answers.readline().removeprefix(b"INFO "))["auth_required"]
                assert answers.readline().strip() == answer
    pid = (lab_dir / "nats.pid").read_text()
    assert "changed=0" in again()
    assert (lab_dir / "nats.pid").read_text() == pid


USERS_OWN = (
    *("inventory/my-lab.yml", "inventory/berlin.ini", "inventory/host_vars/nats-1.yml"),
    *("inventory/group_vars/nats.yml", "inventory/cloud-fpaas.yml", "secrets.yml"),
)


def test_the_collection_has_the_inventories_that_git_has_and_no_others(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    git = ("git", "-C", str(checkout))
    subprocess.run(["git", "clone", "--quiet", "--shared", CHECKOUT, checkout], check=True)
    for name in USERS_OWN:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("all: {}\n")
    shutil.copy(CHECKOUT / "Makefile", checkout)
    shutil.copy(CHECKOUT / ".gitignore", checkout)
    shipped = subprocess.check_output([*git, "ls-files", "inventory"], text=True).split()
    new = subprocess.check_output([*git, "ls-files", "--others", "--exclude-standard"], text=True)
    assert new.split() == ["secrets.yml"], "git add would take a user's own inventories"
    ignored = [*git, "ls-files", "--cached", "--ignored", "--exclude-standard", "inventory"]
    assert subprocess.check_output(ignored, text=True) == ""

    # The environment is the checkout's, which is set up.
    subprocess.run(
        ["make", "-C", checkout, "collection", "READY=", f"BIN={SCRIPTS}"],
        check=True,
        capture_output=True,
        timeout=PLAY_S,
    )
    [archive] = (checkout / "dist").glob("fpaas-bench_lab-*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {one.name for one in tar.getmembers() if one.isfile()}
    assert {name for name in names if name.startswith("inventory/")} == set(shipped)
    assert "secrets.yml" not in names


def test_a_scenario_plays_from_where_the_collection_was_installed(
    tmp_path: Path, lab_dir: Path
) -> None:
    galaxy = SCRIPTS / "ansible-galaxy"
    here = {"ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_NOCOLOR": "1"}
    built = subprocess.run(
        [galaxy, "collection", "build", "--output-path", tmp_path, CHECKOUT],
        env=os.environ | here,
        capture_output=True,
        text=True,
        timeout=PLAY_S,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    [archive] = tmp_path.glob("fpaas-bench_lab-*.tar.gz")
    assert archive.stat().st_size < 3_000_000
    with tarfile.open(archive) as tar:
        top = {name.split("/")[0] for name in tar.getnames()}
    assert not top & {".venv", ".lab", ".cache", "results", "tests", "molecule", "benchmarks"}
    assert {"agents", "group_vars", "plugins", "pyproject.toml", "roles", "uv.lock"} <= top

    collections = tmp_path / "collections"
    installed = subprocess.run(
        [
            # By force: by the checkout's ansible.cfg, which make names, it is there already.
            *(galaxy, "collection", "install", "--offline", "--no-deps", "--force"),
            *("--collections-path", collections, archive),
        ],
        cwd=tmp_path,
        env=os.environ | here,
        capture_output=True,
        text=True,
        timeout=PLAY_S,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    home = collections / "ansible_collections/fpaas/bench_lab"
    work = tmp_path / "work"
    work.mkdir()
    before = sorted(home.rglob("*"))
    done = play(
        home / "playbooks/scenario-1.yml",
        home / "inventory/localhost.yml",
        {
            **{port: free_port() for port in PORTS},
            **SHORT,
            "lab_dir": str(lab_dir),
            "bench_firehose_mix": {"identity": 5},
        },
        work,
        ANSIBLE_COLLECTIONS_PATH=str(collections),
        **here,
    )
    assert (work / "results/latest/summary.json").exists(), done.stdout + done.stderr
    summary = json.loads((work / "results/latest/summary.json").read_text())
    assert summary["ledger"]["unexplained"] == 0
    variables = json.loads((work / "results/latest/run.json").read_text())["variables"]
    assert variables["bench_firehose_mix"] == {"identity": 5}
    # A machine that is too busy makes the run invalid.
    assert (summary["verdict"]["status"] == "pass") == (done.returncode == 0)
    control = json.loads((work / "results/latest/control.json").read_text())
    assert control["git_commit"] is None
    new = [path for path in sorted(home.rglob("*")) if path not in before]
    assert [path for path in new if "__pycache__" not in path.parts] == []
    shutil.rmtree(collections)
