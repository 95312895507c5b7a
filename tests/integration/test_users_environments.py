"""Runs in environments that people have: odd locales, homes, paths, settings, addresses."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.playbook_lab import PLAYBOOK_S, Lab

pytestmark = pytest.mark.integration

PLAY = str(SCRIPTS / "ansible-playbook")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.end()


def play(command: list[str], directory: Path, **environment: str) -> str:
    """Play as a user in this environment would; returns what was said."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PLAYBOOK_S,
        check=False,
    )
    print(done.stdout)
    return done.stdout


def check_a_run(lab: Lab, said: str) -> None:
    assert "unexplained 0" in said
    assert lab.summary()["ledger"]["unexplained"] == 0
    assert lab.summary()["ledger"]["offered"] > 0
    assert lab.running() == []


def variables_file(lab: Lab) -> str:
    path = lab.directory / "variables.json"
    path.write_text(json.dumps(lab.variables))
    return f"@{path}"


def test_make_plays_with_an_odd_locale_home_and_path(
    lab: Lab,
) -> None:
    home = lab.directory / "home"
    others = lab.directory / "others"
    for name in ("yaml", "fpaas", "asyncio", "sitecustomize"):
        (others / name).mkdir(parents=True)
        (others / name / "__init__.py").write_text("raise RuntimeError('another module')\n")
    home.mkdir()
    (home / ".ansible.cfg").write_text("[defaults]\ninventory = /nowhere\nforks = 1\n")
    home.chmod(0o500)
    command = ["make", "scenario-1", f"ARGS=-e {variables_file(lab)}"]
    odd = {"HOME": str(home), "PYTHONPATH": str(others), "LANG": "xx_XX.UTF-8", "LC_ALL": "C"}
    said = play(command, CHECKOUT, **odd)
    check_a_run(lab, said)
    assert said.isascii()
    assert sorted(path.name for path in home.iterdir()) == [".ansible.cfg"]


@pytest.mark.matrix
def test_a_playbook_plays_from_anywhere_with_settings_of_the_users_own(lab: Lab) -> None:
    settings = lab.directory / "ansible.cfg"
    settings.write_text(
        "[defaults]\n"
        "callbacks_enabled = ansible.builtin.tree, ansible.posix.profile_tasks\n"
        "strategy = free\n"
        "stdout_callback = minimal\n"
        "gathering = implicit\n"
        "forks = 1\n"
        f"collections_path = {lab.directory}\n"
        f"home = {lab.directory}/ansible\n"
    )
    command = [PLAY, str(CHECKOUT / "playbooks/scenario-1.yml")]
    command += ["-i", str(CHECKOUT / "inventory/localhost.yml"), "-e", variables_file(lab)]
    said = play(
        command,
        Path("/"),
        HOME=str(lab.directory),
        LC_ALL="C.UTF-8",
        ANSIBLE_CONFIG=str(settings),
    )
    check_a_run(lab, said)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_lab_on_ipv6_with_tls(lab: Lab) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    played = lab.play(lab_address="::1", nats_tls=True)
    check_a_run(lab, played.output)
    (log,) = (lab.results / "latest/hosts").glob("*/nats.log")
    assert "TLS required for client connections" in log.read_text()
    run = json.loads((lab.results / "latest/run.json").read_text())
    assert run["nats_url"] == f"nats://[::1]:{lab.variables['nats_port']}"
    assert run["firehose"]["relay_url"] == f"ws://[::1]:{lab.variables['relay_port']}"


def test_a_port_of_ipv6_in_use_is_named_as_urls_have_it(lab: Lab) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    port = lab.variables["nats_port"]
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        played = lab.play(lab_address="::1")
    assert f"nats_port: [::1]:{port} is in use by another process" in played.flat


@pytest.mark.parametrize(
    ("said", "told"),
    [
        # nats-server ends with an empty line what it says of its configuration.
        ("nats.conf:1:1: this line is not liked\\n\\n", "nats.conf:1:1: this line is not liked"),
        ("", "it said nothing"),
    ],
)
def test_what_nats_said_when_it_died_at_its_start_is_told(lab: Lab, said: str, told: str) -> None:
    server = lab.directory / "nats-server"
    server.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo nats-server: v2.11.0; exit; fi\n'
        f"printf '{said}' >&2\nexit 1\n"
    )
    server.chmod(0o755)
    played = lab.play(nats_server_binary=str(server))
    assert played.exit_code != 0
    assert f"NATS is not running: nats: {told}" in played.flat
    assert lab.running() == []
    assert lab.bundles() == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("nats 1", "b"), 'host "nats 1": is not allowed as a host\'s name'),
        (("a" * 64, "b"), f'host "{"a" * 64}": is not allowed'),
        (("n\u00e4ts", "b"), "is not allowed as a host's name"),
        (("-a", "b"), 'host "-a": is not allowed'),
        (("One", "one"), "two of these names differ in capitals only"),
    ],
)
def test_names_that_hosts_cannot_have_are_refused_before_anything_is_asked(
    names: tuple[str, str], message: str, lab: Lab
) -> None:
    inventory = lab.directory / "names.yml"
    host = {"ansible_host": "192.0.2.1"}
    groups = {
        "nats": {"hosts": {names[0]: host}},
        **{group: {"hosts": {names[1]: host}} for group in ("relay", "shuffler", "consumers")},
    }
    inventory.write_text(json.dumps({"all": {"children": groups}}))
    played = lab.play("scenario-1.yml", "-i", str(inventory))
    assert played.exit_code != 0
    assert message in played.flat
    assert "unreachable" not in played.flat.split("PLAY RECAP")[0].lower()
