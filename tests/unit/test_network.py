"""What is made of round trips and bulks, and of what is asked for."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from fpaas.bundle.loader import load_bundle
from fpaas.errors import BadInput
from fpaas.probe import network, seal
from fpaas.probe.network import CHUNK_BYTES, Peer
from fpaas.records import files
from fpaas.records.network import NAME, Link, NetworkResult, RoundTrips
from fpaas.report import page
from fpaas.summary import manifest, summary
from tests.support.raw_run import HOST, RawRun


def test_peers_are_named() -> None:
    assert Peer.parse("nats-1=10.0.0.2:2482") == Peer("nats-1", "10.0.0.2", 2482)
    assert Peer.parse("nats-1=[fd00::2]:2482") == Peer("nats-1", "fd00::2", 2482)


@pytest.mark.parametrize("text", ["", "nats-1", "=10.0.0.2:1", "a=b", "a=b:", "a=b:0", "a=b:65536"])
def test_other_peers_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="expected"):
        Peer.parse(text)


def test_round_trips_are_in_milliseconds() -> None:
    figures = network.round_trip_figures([3_000_000, 1_000_000, 2_000_000, 10_000_000])
    assert figures == RoundTrips(count=4, min=1, p50=2, p99=10, max=10)


def test_rate_is_in_megabits() -> None:
    assert network.mbit_per_s(125_000_000, 1_000_000_000) == 1000
    assert network.mbit_per_s(0, 5) is None
    assert network.mbit_per_s(5, 0) is None


def bulk_at(times_s: list[float]) -> tuple[int, int]:
    """Receive a chunk at each time."""
    ours, theirs = socket.socketpair()
    clock = iter([round(time_s * 1e9) for time_s in times_s])

    def send() -> None:
        chunk = bytearray(CHUNK_BYTES)
        for number in range(len(times_s)):
            chunk[0] = number == len(times_s) - 1
            theirs.sendall(chunk)

    sender = threading.Thread(target=send)
    sender.start()
    with ours, theirs:
        figures = network._receive_bulk(ours, lambda: next(clock))
        sender.join()
    return figures


def test_ramp_does_not_count() -> None:
    assert bulk_at([1.0, 1.05, 1.12, 1.2, 1.3]) == (2 * CHUNK_BYTES, 180_000_000)


def test_bulk_shorter_than_the_ramp_counts_as_a_whole() -> None:
    assert bulk_at([1.0, 1.01, 1.02]) == (2 * CHUNK_BYTES, 20_000_000)


def test_bulk_of_one_chunk_has_no_rate() -> None:
    assert network.mbit_per_s(*bulk_at([1.0])) is None


LINK = Link(
    from_host=HOST,
    to="nats-<1>",
    address="10.0.0.2:2482",
    rtt_ms=RoundTrips(count=200, min=0.11, p50=0.22, p99=0.99, max=1.5),
    sent_mbit_per_s=941.0,
    received_mbit_per_s=935.0,
)
BROKEN_LINK = Link(
    from_host=HOST, to="relay-1", address="10.0.0.3:2482", error="Connection refused"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = RawRun().write(tmp_path_factory.mktemp("bundle") / "run")
    part = directory / "hosts" / HOST
    files.write(part / NAME, NetworkResult(unix_ns=1, links=[LINK, BROKEN_LINK]))
    seal.seal(part, HOST)
    return directory


def test_links_are_in_the_manifest(run: Path) -> None:
    bundle = load_bundle(run)
    assert bundle.problems == []
    described = manifest.describe(bundle)
    assert described.network == [LINK, BROKEN_LINK]
    before_s = (bundle.spec.t0_unix_ns - 1) / 1e9
    assert described.network_measured_before_t0_s == {HOST: pytest.approx(before_s)}


def test_links_are_in_the_report(run: Path) -> None:
    bundle = load_bundle(run)
    html = page.render(bundle, summary.analyse(bundle))
    assert "localhost → nats-&lt;1&gt;" in html
    assert "941" in html
    assert "not measured: Connection refused" in html


def test_one_host_has_no_table(tmp_path: Path) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    assert manifest.describe(bundle).network == []
    assert "Network between hosts" not in page.render(bundle, summary.analyse(bundle))


def test_torn_file_is_said(run: Path) -> None:
    (run / "hosts" / HOST / NAME).write_text('{"links": [{}]}')
    seal.seal(run / "hosts" / HOST, HOST)
    [problem] = load_bundle(run).problems
    assert (problem.code, problem.parameters["file"]) == ("file_unreadable", NAME)
