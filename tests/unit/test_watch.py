"""The watch, with peers and times that are made up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fpaas.measures.calls import CallRecorder
from fpaas.measures.silence import PING_AFTER_NS
from fpaas.measures.wake_ups import WAKE_UP_INTERVAL_NS
from fpaas.records import events
from fpaas.records.events import AGENT_PAUSED, NATS_SILENT, EventLog, EventRecord
from fpaas.spec import NS_PER_S
from fpaas.watch.watch import Watch, watch


@dataclass
class Server:
    """Answers pings unless it is frozen."""

    server: str = "a:4222"
    kind: str = NATS_SILENT
    ping_after_ns: int = PING_AFTER_NS
    received: int = 0
    pings: int = 0
    frozen: bool = False
    connected: bool = True
    listened_to: bool = True
    heard: int = 0

    def progress(self) -> int:
        # What makes no connection, such as a refusal, does not count.
        if self.connected:
            self.heard = self.received
        return self.heard

    def is_connected(self) -> bool:
        return self.connected

    def owes(self) -> bool:
        return self.listened_to

    def ping(self) -> None:
        self.pings += 1
        if not self.frozen:
            self.received += 1

    def parameters(self) -> dict[str, events.Value]:
        return {"server": self.server}


class Relay(Server):
    """Each of its connections is gone before the next look."""

    def progress(self) -> int:
        return self.received


LOOK_INTERVAL_NS = WAKE_UP_INTERVAL_NS


class Bench:
    """Looks at servers; the monotonic clock goes on from now, as far as the looks are."""

    def __init__(self, path: Path, *servers: Server) -> None:
        self.path = path
        self.log = EventLog(path)
        self.now_ns = self.start_ns = time.monotonic_ns()
        self.servers = servers
        self.watch = Watch(self.log, servers)
        self.watch.look(self.now_ns)
        for server in servers:
            server.received += 1

    def go(self, seconds: float) -> None:
        for _ in range(round(seconds * NS_PER_S / LOOK_INTERVAL_NS)):
            self.now_ns += LOOK_INTERVAL_NS
            self.watch.look(self.now_ns)

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)
        self.watch.look(self.now_ns)

    def found(self) -> list[EventRecord]:
        found, wrong = events.read(self.path)
        assert wrong is None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "e", Server(), Server(server="b:4222"))
    yield bench
    bench.log.close()


def length_s(event: EventRecord) -> float:
    assert event.end_unix_ns is not None
    return (event.end_unix_ns - event.begin_unix_ns) / NS_PER_S


def test_quiet_servers_that_answer_are_no_event(bench: Bench) -> None:
    bench.go(20)
    assert bench.found() == []
    assert bench.servers[0].pings <= 20 / 0.25


def test_who_is_frozen_is_named_and_nobody_else(bench: Bench) -> None:
    bench.go(1)
    bench.servers[1].frozen = True
    bench.go(4)
    (begun,) = bench.found()
    assert begun.end_unix_ns is None
    bench.servers[1].received += 1
    bench.servers[1].frozen = False
    bench.go(1)
    (ended,) = bench.found()
    assert ended.parameters == {"server": "b:4222", "connected": True}
    assert ended.begin_unix_ns == begun.begin_unix_ns
    assert length_s(ended) == pytest.approx(4.1, abs=0.25)


def test_a_peer_whose_connections_are_gone_at_each_look_is_heard(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "e", Relay())
    relay = bench.servers[0]
    relay.connected = False
    for _ in range(10):
        relay.received += 1
        bench.go(0.5)
    assert bench.found() == []
    bench.go(1.5)
    (silent,) = bench.found()
    assert silent.parameters["connected"] is False
    bench.log.close()


def test_a_peer_that_never_was_connected_is_not_silent(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "e", Server(connected=False, frozen=True))
    bench.servers[0].received = 0
    bench.go(3)
    assert bench.found() == []
    bench.log.close()


def test_a_connection_that_breaks_meanwhile_is_said_at_the_end(bench: Bench) -> None:
    server = bench.servers[0]
    server.frozen = True
    bench.go(2)
    assert bench.found()[0].parameters["connected"] is True
    server.connected = False
    bench.go(2)
    # Bytes that do not make a connection, such as a refusal, end nothing.
    server.received += 1
    bench.go(1)
    assert bench.found()[0].end_unix_ns is None
    server.connected, server.frozen = True, False
    server.received += 1
    bench.go(1)
    (event,) = bench.found()
    assert event.parameters["connected"] is False
    assert length_s(event) == pytest.approx(5.1, abs=0.25)
    server.frozen = True
    bench.go(2)
    assert bench.found()[1].parameters["connected"] is True


def test_our_own_pause_is_ours(bench: Bench) -> None:
    bench.go(1)
    bench.sleep(3)
    bench.go(2)
    (event,) = bench.found()
    assert (event.kind, event.parameters) == (AGENT_PAUSED, {})
    assert length_s(event) == 3


def test_a_moment_of_our_own_is_told_too(bench: Bench) -> None:
    bench.go(1)
    bench.sleep(0.6)
    bench.sleep(0.2)
    bench.go(2)
    (event,) = bench.found()
    assert event.kind == AGENT_PAUSED
    assert length_s(event) == pytest.approx(0.6)


def test_who_is_frozen_before_the_run_begins_is_found(tmp_path: Path) -> None:
    """What stands still when T0 comes makes late whatever is due then."""
    server = Server()

    async def play() -> None:
        t0_unix_ns = time.time_ns() + 60 * NS_PER_S
        recorder = CallRecorder("loop_lag", None)
        watching = asyncio.ensure_future(watch(tmp_path / "e", [server], recorder, t0_unix_ns))
        # It is heard by the second look, and then no more.
        await asyncio.sleep(0)
        server.received, server.frozen = 1, True
        while NATS_SILENT not in {event.kind for event in events.read(tmp_path / "e")[0]}:
            assert not watching.done()
            await asyncio.sleep(0.05)
        watching.cancel()
        await asyncio.wait([watching])

    asyncio.run(play())
    assert server.pings


def test_a_pause_that_goes_on_right_into_the_end_is_found(tmp_path: Path) -> None:
    async def play() -> None:
        recorder = CallRecorder("loop_lag", None)
        watching = asyncio.ensure_future(watch(tmp_path / "e", [], recorder, time.time_ns()))
        await asyncio.sleep(0.1)
        time.sleep(0.6)  # noqa: ASYNC251 - what a stopped process does
        watching.cancel()
        await asyncio.wait([watching])

    asyncio.run(play())
    # A busy machine may have made it pause before, too.
    found = events.read(tmp_path / "e")[0]
    assert {event.kind for event in found} == {AGENT_PAUSED}
    assert length_s(found[-1]) >= 0.6


def test_who_is_not_listened_to_is_not_silent(bench: Bench) -> None:
    server = bench.servers[0]
    server.frozen, server.listened_to = True, False
    bench.go(5)
    assert bench.found() == []


def test_times_are_of_the_wall_clock(tmp_path: Path) -> None:
    before_ns = time.time_ns()
    bench = Bench(tmp_path / "e")
    after_ns = time.time_ns()
    bench.sleep(2)
    (event,) = bench.found()
    assert before_ns - 0.1 * NS_PER_S < event.begin_unix_ns < after_ns + 0.1 * NS_PER_S
