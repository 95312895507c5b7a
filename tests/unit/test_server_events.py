"""What a probe notes of its server by the server's answers, and an agent of its connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpaas import common_time
from fpaas.probe import server_state
from fpaas.probe.server_events import ServerEvents
from fpaas.records import events
from fpaas.records.events import EventLog, EventRecord
from fpaas.records.nats import ServerLife
from fpaas.watch.lost_connections import LostConnections

START_NS = 1_790_000_000_123_456_000
START = "2026-09-21T14:13:20.123456789Z"


def noted(path: Path) -> list[tuple[str, int, int | None, dict[str, object]]]:
    found, wrong = events.read(path)
    assert wrong is None
    return [(one.kind, one.begin_unix_ns, one.end_unix_ns, dict(one.parameters)) for one in found]


def life(server_id: str, slow_consumers: int = 0) -> ServerLife:
    return ServerLife(
        server_id=server_id, start=START, version="2.15.1", slow_consumers=slow_consumers
    )


@pytest.mark.parametrize(
    ("ended_ns", "begin_ns"), [(START_NS - 500, START_NS - 500), (None, START_NS)]
)
def test_another_server_was_started_when_it_says(
    tmp_path: Path, ended_ns: int | None, begin_ns: int
) -> None:
    path = tmp_path / "log"
    watched = ServerEvents(EventLog(path), lambda: ended_ns)
    for server in ("A", "A", "B"):
        watched.answered(life(server))
    assert noted(path) == [(events.NATS_RESTARTED, begin_ns, START_NS, {})]


def test_servers_go_by_the_clock_of_their_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_time, "_shift_ns", 5)
    assert server_state.started_unix_ns(life("A")) == START_NS + 5


def test_cut_offs_are_counted_by_each_server_and_told_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    watched = ServerEvents(EventLog(path), lambda: None)
    counts = [watched.answered(one) for one in (life("A", 1), life("A", 3), life("A", 3))]
    assert counts == [1, 2, 0]
    watched.cut_off(1, [10])
    watched.cut_off(3, [30, 20, 10])
    watched.cut_off(4, [])
    *first, (kind, *_, parameters) = noted(path)
    assert first == [
        (events.CUT_OFF, 10, 10, {"connections": 1}),
        (events.CUT_OFF, 20, 30, {"connections": 2}),
    ]
    # It does not say when.
    assert (kind, parameters) == (events.CUT_OFF, {"connections": 4})
    closed = {
        "connections": [
            {"reason": "Slow Consumer (Pending Bytes)", "stop": START},
            {"reason": "Client Closed", "stop": START},
        ]
    }
    assert server_state.cut_off_unix_ns(closed) == [START_NS]


def test_a_new_leader_is_noted_on_its_own_host(tmp_path: Path) -> None:
    path = tmp_path / "log"
    watched = ServerEvents(EventLog(path), lambda: None)
    for leader in ("n1", "", "n2", "n2", "n1", "n3"):
        watched.led_by(leader, "n2")
    ((kind, _, _, parameters),) = noted(path)
    assert (kind, parameters) == (events.LEADER_CHANGED, {"leader": "n2", "before": "n1"})


def test_connections_that_are_lost_together_are_one_event(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def known() -> list[EventRecord]:
        return events.read(path)[0]

    lost = LostConnections(events.NATS_RECONNECTED, EventLog(path))
    lost.made(1)
    assert known() == []
    lost.lost(1, {"cause": "first"})
    lost.lost(2, {"cause": "second"})
    lost.made(1)
    (one,) = known()
    assert (one.end_unix_ns, one.parameters) == (None, {"cause": "first", "connections": None})
    lost.made(2)
    (one,) = known()
    assert one.end_unix_ns is not None
    assert one.parameters == {"cause": "first", "connections": 2}
    lost.lost(1, {"cause": "third"})
    assert len(known()) == 2
