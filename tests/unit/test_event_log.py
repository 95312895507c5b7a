"""`<agent>.events.jsonl`, written and read back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fpaas import common_time
from fpaas.records import events
from fpaas.records.events import AGENT_PAUSED, NATS_SILENT, EventLog, EventRecord

NOTICED = 99


@pytest.fixture(autouse=True)
def noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_time, "now_ns", lambda: NOTICED)


def record(begin: int, end: int | None, **parameters: events.Value) -> EventRecord:
    return EventRecord(
        kind=NATS_SILENT,
        begin_unix_ns=begin,
        end_unix_ns=end,
        parameters=parameters,
        noticed_unix_ns=NOTICED,
    )


def test_what_ended_is_one_event_with_what_was_known_last(tmp_path: Path) -> None:
    path = tmp_path / "shuffler.events.jsonl"
    with EventLog(path) as log:
        begun = log.begin(NATS_SILENT, 10, {"server": "a:1", "connected": True})
        # Each line is there as soon as it is written.
        assert events.read(path) == ([record(10, None, server="a:1", connected=True)], None)
        log.begin(AGENT_PAUSED, 11, {}, end_unix_ns=13)
        log.end(begun, 20, {"server": "a:1", "connected": False})
    found, wrong = events.read(path)
    assert wrong is None
    assert found[0] == record(10, 20, server="a:1", connected=False)
    assert [event.kind for event in found] == [NATS_SILENT, AGENT_PAUSED]


def test_two_that_begin_at_once_stay_two(tmp_path: Path) -> None:
    path = tmp_path / "e"
    with EventLog(path) as log:
        first = log.begin(NATS_SILENT, 10, {"server": "a:1"})
        second = log.begin(NATS_SILENT, 10, {"server": "b:1"})
        log.end(second, 30, second.parameters)
        log.end(first, 40, first.parameters)
    assert events.read(path)[0] == [record(10, 40, server="a:1"), record(11, 30, server="b:1")]


def test_a_log_is_gone_on_with(tmp_path: Path) -> None:
    for begin in (10, 20):
        with EventLog(tmp_path / "e") as log:
            log.begin(NATS_SILENT, begin, {})
    assert events.read(tmp_path / "e") == ([record(10, None), record(20, None)], None)


def test_a_quiet_agents_file_is_empty_and_right(tmp_path: Path) -> None:
    with EventLog(tmp_path / "e"):
        pass
    assert events.read(tmp_path / "e") == ([], None)


def test_a_torn_last_line_is_what_a_killed_agent_leaves(tmp_path: Path) -> None:
    path = tmp_path / "e"
    with EventLog(path) as log:
        log.begin(NATS_SILENT, 10, {})
    with path.open("ab") as file:
        file.write(b'{"kind":"nats_sil')
    assert events.read(path) == ([record(10, None)], None)


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b"[]",
        b'{"kind":"nats_silent"}',
        b'{"kind":"nats_silent","begin_unix_ns":1.5,"end_unix_ns":null}',
        b'{"kind":"nats_silent","begin_unix_ns":7,"end_unix_ns":6}',
        b'{"kind":"nats_silent","begin_unix_ns":7,"end_unix_ns":8,"parameters":{"a":[]}}',
        b"\xff",
        b"",
    ],
)
def test_any_other_line_that_is_no_event_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "e"
    with EventLog(path) as log:
        log.begin(NATS_SILENT, 10, {})
    with path.open("ab") as file:
        file.write(line + b"\n")
    found, wrong = events.read(path)
    assert found == [record(10, None)]
    assert wrong is not None
    assert "line 2" in wrong


def test_later_versions_may_say_more(tmp_path: Path) -> None:
    (tmp_path / "e").write_bytes(
        b'{"kind":"x","begin_unix_ns":1,"end_unix_ns":null,"parameters":{},"more":1}\n'
    )
    assert events.read(tmp_path / "e")[1] is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_the_file_and_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    with EventLog(Path("/dev/full")) as log:
        event = log.begin(NATS_SILENT, 10, {})
        log.end(event, 20, {})
        assert len(caplog.records) == 1
        assert os.strerror(28) in caplog.text
    assert log.loss.endswith("2 lines of it are missing")


def test_events_wait_for_a_disk(tmp_path: Path) -> None:
    path = tmp_path / "not yet" / "e"
    with EventLog(path) as log:
        event = log.begin(NATS_SILENT, 10, {})
        path.parent.mkdir()
        log.end(event, 20, {})
    found, wrong = events.read(path)
    assert [(one.begin_unix_ns, one.end_unix_ns) for one in found] == [(10, 20)]
    assert wrong is None
    assert not log.loss
