"""Both ends of the network's measurement, over loopback."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fpaas.control import hosts_network, lab_map
from fpaas.control.hosts_network import Network
from fpaas.probe import network
from fpaas.probe.network import Peer
from fpaas.records import files
from fpaas.records.network import NAME, Link, NetworkResult
from tests.support.checkout import SCRIPTS
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.shell_host import Shell, make_part

pytestmark = pytest.mark.integration

TOKEN = "0123456789abcdef"


@pytest.fixture
def port() -> int:
    return free_port()


def fpaas(*arguments: str | Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "fpaas", "network", *arguments],
        input=token + "\n",
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def links(directory: Path) -> list[Link]:
    return files.read(directory / NAME, NetworkResult).links


def is_complete(link: Link) -> bool:
    """Whether a busy machine let both ends of a bulk run often enough to tell its rate."""
    return None not in (link.sent_mbit_per_s, link.received_mbit_per_s)


def test_command_line_from_end_to_end(port: int, tmp_path: Path) -> None:
    peers = [f"nats-1=127.0.0.1:{port}", f"relay-1=127.0.0.1:{free_port()}"]
    for _ in range(5):
        serving = fpaas("serve", "--listen", f"127.0.0.1:{port}", "--detach")
        assert (serving.returncode, serving.stderr) == (0, "")
        measured = fpaas("measure", tmp_path, "--host", "consumers-1", *peers)
        assert (measured.returncode, measured.stderr) == (0, "")
        assert measured.stdout == "relay-1: Connection refused\n"
        # It was for one client, and that was it: without this, the server would last for 30 s.
        deadline = time.monotonic() + 20
        while is_open(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_open(port)
        good, refused = links(tmp_path)
        if is_complete(good):
            break

    assert (good.from_host, good.to, good.error) == ("consumers-1", "nats-1", None)
    rtt = good.rtt_ms
    assert rtt is not None
    assert 0 < rtt.min <= rtt.p50 <= rtt.p99 <= rtt.max
    assert (good.sent_mbit_per_s or 0) > 10
    assert (good.received_mbit_per_s or 0) > 10
    assert (refused.to, refused.error) == ("relay-1", "Connection refused")
    assert refused.rtt_ms is None
    assert refused.sent_mbit_per_s is None


def test_clients_take_turns(port: int) -> None:
    listener = network.listen("127.0.0.1", port)
    peer = Peer("nats-1", "127.0.0.1", port)
    with ThreadPoolExecutor(3) as pool:
        serving = pool.submit(network.serve, listener, TOKEN.encode(), 2, 20.0)
        found = list(
            pool.map(lambda host: network.measure_link(host, peer, TOKEN.encode(), 2), ["a", "b"])
        )
        assert serving.result() == 2
    assert [link.error for link in found] == [None, None]


def test_wrong_token_is_refused_and_costs_nobody_else_a_turn(port: int) -> None:
    listener = network.listen("127.0.0.1", port)
    peer = Peer("nats-1", "127.0.0.1", port)
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(network.serve, listener, TOKEN.encode(), 1, 20.0)
        wrong = network.measure_link("a", peer, b"another token of no use")
        right = network.measure_link("a", peer, TOKEN.encode())
        assert serving.result() == 1
    assert wrong.error
    assert wrong.rtt_ms is None
    assert right.error is None


def test_answer_to_another_challenge_is_refused(port: int) -> None:
    listener = network.listen("127.0.0.1", port)
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(network.serve, listener, TOKEN.encode(), 1, 1.0)
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.recv(network.CHALLENGE_BYTES)
            connection.sendall(hashlib.sha256(TOKEN.encode()).digest() + network.ECHO + bytes(63))
            try:
                answer = connection.recv(64)
            except ConnectionError:
                answer = b""
            assert answer == b""
        assert serving.result() == 0


def test_silent_stranger_is_in_the_way_for_a_moment_only(port: int) -> None:
    listener = network.listen("127.0.0.1", port)
    peer = Peer("nats-1", "127.0.0.1", port)
    with (
        ThreadPoolExecutor(1) as pool,
        socket.create_connection(("127.0.0.1", port), 2),
    ):
        serving = pool.submit(network.serve, listener, TOKEN.encode(), 1, 20.0)
        assert network.measure_link("a", peer, TOKEN.encode()).error is None
        assert serving.result() == 1


def test_nobody_comes(port: int) -> None:
    assert network.serve(network.listen("127.0.0.1", port), TOKEN.encode(), 1, 0.3) == 0
    assert not is_open(port)


def test_listens_on_the_address_only(port: int) -> None:
    with network.listen("127.0.0.1", port), pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), 1)


def test_port_in_use_is_said(port: int) -> None:
    with network.listen("127.0.0.1", port):
        done = fpaas("serve", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 2
    assert f"127.0.0.1:{port}: cannot be listened on: Address already in use" in done.stderr


def test_short_token_is_refused(port: int) -> None:
    done = fpaas("serve", "--listen", f"127.0.0.1:{port}", token="short")
    assert done.returncode == 2
    assert "standard input: expected a token" in done.stderr


def test_run_directory_is_not_there(tmp_path: Path) -> None:
    done = fpaas("measure", tmp_path / "no", "nats-1=127.0.0.1:1", "--host", "a")
    assert done.returncode == 2
    assert "there is no such run directory" in done.stderr


#: Hosts that are one machine, each with an address of its own.
HOSTS = {"relay-1": 11, "nats-1": 12, "shuffler-1": 13, "consumers-1": 14, "consumers-2": 15}


def measure_between(
    directory: Path, groups: dict[str, list[str]], port: int, *, own_relay: bool = True
) -> tuple[bool, list[str]]:
    """Have hosts measure into their directories; returns whether all did, and what was said."""
    names = {host for hosts in groups.values() for host in hosts}
    listens = {
        host: {
            **dict.fromkeys([one for ports in lab_map.PORTS.values() for one in ports], 1),
            lab_map.CLUSTER_PORT: 1,
            "lab_address": f"127.0.0.{HOSTS[host]}",
            "network_port": port,
        }
        for host in names
    }
    drawn = lab_map.draw(groups, listens, own_relay=own_relay)
    parts = {}
    for host in names:
        (directory / host / "runs" / "one").mkdir(parents=True)
        plays = drawn["plays"][host]
        parts[host] = make_part(
            directory / host,
            servers=plays["servers"],
            clients=len(plays["clients"]),
            network_listen=f"127.0.0.{HOSTS[host]}:{port}",
        )
    said: list[str] = []
    shells = {host: Shell(directory / host) for host in names}
    asked = Network(
        len(drawn["talkers"]), is_known=False, note=str(directory / "note"), noted="noted"
    )
    return hosts_network.measure(parts, shells, asked, "one", said.append), said


def measured(directory: Path) -> dict[tuple[str, str], str | None]:
    found = [link for path in directory.glob(f"*/runs/one/{NAME}") for link in links(path.parent)]
    return {(link.from_host, link.to): link.error for link in found}


GROUPS = {
    "relay": ["relay-1"],
    "nats": ["nats-1"],
    "shuffler": ["shuffler-1"],
    "consumers": ["consumers-1", "consumers-2"],
}


def test_those_who_talk_measure(tmp_path: Path, port: int) -> None:
    assert measure_between(tmp_path, GROUPS, port) == (True, [])
    assert measured(tmp_path) == {
        ("shuffler-1", "relay-1"): None,
        ("shuffler-1", "nats-1"): None,
        ("consumers-1", "nats-1"): None,
        ("consumers-2", "nats-1"): None,
    }
    assert (tmp_path / "note").read_text() == "noted"
    # For further runs.
    kept = (tmp_path / "shuffler-1" / NAME).read_bytes()
    assert kept == (tmp_path / "shuffler-1" / "runs" / "one" / NAME).read_bytes()


def test_foreign_relay_is_left_alone(tmp_path: Path, port: int) -> None:
    groups = GROUPS | {"consumers": ["shuffler-1"]}
    assert measure_between(tmp_path, groups, port, own_relay=False) == (True, [])
    assert measured(tmp_path) == {("shuffler-1", "nats-1"): None}


def test_one_host_has_no_network(tmp_path: Path, port: int) -> None:
    measure_between(tmp_path, {group: ["nats-1"] for group in GROUPS}, port)
    assert measured(tmp_path) == {}


def test_port_that_is_taken_is_said_and_hinders_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.12", 0))
        is_all, said = measure_between(tmp_path, GROUPS, taken.getsockname()[1])
    assert not is_all
    of_server = next(line for line in said if line.startswith("nats-1: the network was not"))
    assert "Address already in use" in of_server
    assert (tmp_path / "note").read_text() == ""
