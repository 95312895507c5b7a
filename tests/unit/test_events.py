from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import AGENT_DIED, WORKER_DIED
from fpaas.bundle.loader import load_bundle
from fpaas.records import files, status
from fpaas.records.consumers import WorkerResult
from fpaas.records.events import (
    AGENT_PAUSED,
    CLOCK_SET,
    CUT_OFF,
    FRAME_UNDECODABLE,
    LEADER_CHANGED,
    NATS_RECONNECTED,
    NATS_RESTARTED,
    NATS_SILENT,
    READER_BLOCKED,
    RELAY_RECONNECTED,
    RELAY_SILENT,
    EventLog,
    Value,
)
from fpaas.records.status import AgentStatus, State
from fpaas.records.summary import Event
from fpaas.report import page, time_charts
from fpaas.report.series import RunSeries
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from tests.support.raw_run import HOST, RawRun


def analyse(tmp_path: Path, spoil: Callable[[Path], None]) -> tuple[Bundle, dict[str, Any]]:
    directory = RawRun().write(tmp_path / "run", sealed=False)
    spoil(directory / "hosts" / HOST)
    bundle = load_bundle(directory)
    return bundle, summary.analyse(bundle)


def change_lines(path: Path, from_second: int, change: Callable[[dict[str, Any]], None]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    t0 = RawRun().spec.t0_unix_ns
    for line in lines:
        if line["unix_ns"] >= t0 + from_second * NS_PER_S:
            change(line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_quiet_run_has_none(tmp_path: Path) -> None:
    _, content = analyse(tmp_path, lambda _: None)
    assert content["events"] == []


def test_agents_that_noticed_nothing_leave_none(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        for agent in ("relay", "shuffler", "consumers-0", "probe"):
            EventLog(host / f"{agent}.events.jsonl").close()

    bundle, content = analyse(tmp_path, spoil)
    assert content["events"] == []
    assert [one for one in bundle.problems if "events" in str(one.parameters)] == []


def test_malformed_frame_is_said_with_its_cause(tmp_path: Path) -> None:
    file = "shuffler.undecodable-01.bin"

    def spoil(host: Path) -> None:
        known: dict[str, Value] = {"after_seq": 7, "bytes": 90, "file": file}
        cause = "is #commit without rev"
        note(host, "shuffler", FRAME_UNDECODABLE, 3, 3, cause=cause, seq=8, **known)
        unknown: dict[str, Value] = {"after_seq": 8, "bytes": None, "file": None}
        cause = "is larger than 5242880 bytes"
        note(host, "shuffler", FRAME_UNDECODABLE, 4, 4, cause=cause, seq=None, **unknown)

    _, content = analyse(tmp_path, spoil)
    assert [event["sentence"] for event in content["events"]] == [
        (
            f"{HOST}: the shuffler got a frame of 90 bytes with seq 8 "
            f"that is #commit without rev; {file} has its bytes"
        ),
        f"{HOST}: the shuffler got a frame after seq 8 that is larger than 5242880 bytes",
    ]


def note(
    host: Path, agent: str, kind: str, begin_s: float, end_s: float | None, **parameters: Value
) -> None:
    def unix_ns(at_s: float) -> int:
        return RawRun().spec.t0_unix_ns + round(at_s * NS_PER_S)

    with EventLog(host / f"{agent}.events.jsonl") as log:
        end = None if end_s is None else unix_ns(end_s)
        log.begin(kind, unix_ns(begin_s), parameters, end_unix_ns=end)


def test_of_many_moments_without_a_processor_the_longest_are_told(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        for second in range(6, 30):
            note(host, "relay", AGENT_PAUSED, second, second + 0.3 + second / 100)
            note(host, "shuffler", AGENT_PAUSED, second, second + 0.3)
        note(host, "relay", AGENT_PAUSED, 31, 33)

    _, content = analyse(tmp_path, spoil)
    told = [one["begin_s"] for one in content["events"] if one["parameters"]["agent"] == "relay"]
    assert told == [*range(20, 30), 31]
    assert len(content["events"]) == len(told) + 10


SERVER = "10.0.0.1:4222"


def test_what_agents_noticed_has_begin_and_end(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        note(host, "shuffler", NATS_SILENT, 10.1, 14.05, server=SERVER, connected=True)
        note(host, "shuffler", RELAY_SILENT, 30, None, url="ws://relay", connected=False)
        note(host, "relay", READER_BLOCKED, 11, 14, reader="10.0.0.2:5", connected=True)
        note(host, "probe", AGENT_PAUSED, 20, 22)
        # What ended before anything was due.
        note(host, "probe", AGENT_PAUSED, -3, -1)
        note(host, "probe", AGENT_PAUSED, -1, 0.5)
        note(host, "shuffler", "of_a_later_version", 25, None)

    bundle, content = analyse(tmp_path, spoil)
    found = [
        (event["kind"], event["source"], event["begin_s"], event["end_s"])
        for event in content["events"]
    ]
    assert found == [
        (AGENT_PAUSED, "agent", -1.0, 0.5),
        (NATS_SILENT, "observer", 10.1, 14.05),
        (READER_BLOCKED, "observer", 11.0, 14.0),
        (AGENT_PAUSED, "agent", 20.0, 22.0),
        ("of_a_later_version", "observer", 25.0, None),
        # To the firehose's end.
        (RELAY_SILENT, "observer", 30.0, 35.0),
    ]
    assert [event["parameters"] for event in content["events"]] == [
        {"agent": "probe"},
        {"agent": "shuffler", "server": SERVER, "connected": True},
        {"agent": "relay", "reader": "10.0.0.2:5", "connected": True},
        {"agent": "probe"},
        {"agent": "shuffler"},
        {"agent": "shuffler", "url": "ws://relay", "connected": False},
    ]
    assert all(event["at_s"] == event["begin_s"] for event in content["events"])
    assert {event["host"] for event in content["events"]} == {HOST}
    html = page.render(bundle, content)
    assert '<td class="figure">10.1 s</td>' in html
    assert '<td class="figure">…</td>' in html


def test_what_workers_of_a_host_saw_alike_is_one(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        for worker, begin_s, end_s in ((0, 10.2, 14), (1, 10.0, 14.1), (2, 10.1, None)):
            agent = f"consumers-{worker}"
            parameters: dict[str, Value] = {"server": SERVER, "connected": worker != 1}
            note(host, agent, NATS_SILENT, begin_s, end_s, **parameters)
        note(host, "consumers-0", NATS_SILENT, 10, 12, server="10.0.0.2:4222", connected=True)
        note(host, "consumers-0", NATS_SILENT, 20, 22, server=SERVER, connected=True)
        note(host, "shuffler", NATS_SILENT, 10, 14, server=SERVER, connected=True)

    _, content = analyse(tmp_path, spoil)
    of_consumers = [
        (event["begin_s"], event["end_s"], event["parameters"])
        for event in content["events"]
        if event["parameters"]["agent"] == "consumers" and event["kind"] == NATS_SILENT
    ]
    other = "10.0.0.2:4222"
    assert sorted(of_consumers, key=str) == [
        (
            10.0,
            12.0,
            {"agent": "consumers", "workers": [0], "server": other, "connected": True},
        ),
        (
            10.0,
            None,
            {"agent": "consumers", "workers": [0, 1, 2], "server": SERVER, "connected": False},
        ),
        (
            20.0,
            22.0,
            {"agent": "consumers", "workers": [0], "server": SERVER, "connected": True},
        ),
    ]
    assert sum(event["parameters"]["agent"] == "shuffler" for event in content["events"]) == 1


def test_a_silence_that_the_probe_noticed_is_not_told_again_by_its_samples(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        lines = [json.loads(line) for line in (host / "probe.nats.jsonl").open()]
        t0 = RawRun().spec.t0_unix_ns
        for line in lines:
            if 15 * NS_PER_S <= line["unix_ns"] - t0 < 19 * NS_PER_S:
                del line["varz"]
        (host / "probe.nats.jsonl").write_text("".join(json.dumps(i) + "\n" for i in lines))

    _, content = analyse(tmp_path / "old", spoil)
    (told,) = content["events"]
    assert (told["kind"], told["parameters"]["asked"]) == (NATS_SILENT, "monitoring")
    assert 15 <= told["begin_s"] < told["end_s"] <= 25

    def spoil_and_note(host: Path) -> None:
        spoil(host)
        note(host, "probe", NATS_SILENT, 14.5, 18, server=SERVER, connected=True)

    _, content = analyse(tmp_path / "new", spoil_and_note)
    (told,) = content["events"]
    assert (told["begin_s"], told["end_s"]) == (14.5, 18.0)


def test_lines_that_are_no_events_are_a_problem(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        (host / "shuffler.events.jsonl").write_text("no event\n")

    bundle, _ = analyse(tmp_path, spoil)
    unreadable = [one for one in bundle.problems if one.code == "file_unreadable"]
    assert [one.parameters["file"] for one in unreadable] == ["shuffler.events.jsonl"]


def test_charts_show_what_lasted_as_spans_once(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        note(host, "shuffler", NATS_SILENT, 10, 14, server=SERVER, connected=True)
        note(host, "consumers-0", NATS_SILENT, 10.5, 14.5, server=SERVER, connected=True)
        note(host, "relay", AGENT_PAUSED, 20, 22)
        note(host, "probe", AGENT_PAUSED, 30, None)

    bundle, content = analyse(tmp_path, spoil)
    run = RunSeries(bundle, 5)
    happened = msgspec.convert(content["events"], list[Event])
    chart = time_charts.time_chart({"x": ([0.0, 40.0], [1.0, 2.0])}, "/s", run, happened)
    assert chart is not None
    spans = [
        (shape["x0"], shape["x1"])
        for shape in chart["layout"]["shapes"]
        if (shape["type"], shape["name"]) == ("rect", "event")
    ]
    assert spans == [(10.0, 14.5), (20.0, 22.0)]
    lines = [shape["x0"] for shape in chart["layout"]["shapes"] if shape["type"] == "line"]
    assert lines == [10.0, 10.5, 20.0, 30.0]


def test_a_server_that_fell_silent(tmp_path: Path) -> None:
    def silence(line: dict[str, Any]) -> None:
        for name in ("varz", "stream", "lag"):
            line.pop(name)

    _, content = analyse(
        tmp_path, lambda host: change_lines(host / "probe.nats.jsonl", 15, silence)
    )
    assert [event["short"] for event in content["events"]] == ["NATS silent"]


def test_what_agents_note_of_connections_and_servers_is_told(tmp_path: Path) -> None:
    cause = "closed by the server"

    def spoil(host: Path) -> None:
        nats: dict[str, Value] = {"server": SERVER, "cause": cause}
        for worker, end_s, count in ((0, 12.5, 3), (1, 12.7, 2)):
            agent = f"consumers-{worker}"
            note(host, agent, NATS_RECONNECTED, 12, end_s, **nats, connections=count)
        note(host, "shuffler", NATS_RECONNECTED, 12, None, **nats, connections=None)
        relay: dict[str, Value] = {"url": "ws://relay", "cause": "closed: 1012", "code": 1012}
        note(host, "shuffler", RELAY_RECONNECTED, 20, 20.2, **relay, connections=1)
        # At the end, the relay has nothing more to send.
        note(host, "shuffler", RELAY_RECONNECTED, 36, None, **relay, connections=None)
        note(host, "probe", NATS_RESTARTED, 12, 12.4)
        note(host, "probe", NATS_RESTARTED, 13, 13)
        note(host, "probe", LEADER_CHANGED, 15, 15, leader="n2", before="n1")
        note(host, "probe", CUT_OFF, 16, 16.5, connections=2)
        note(host, "probe", CLOCK_SET, 17, 17, step_ms=250.0)

    _, content = analyse(tmp_path, spoil)
    told = [(event["begin_s"], event["end_s"], event["sentence"]) for event in content["events"]]
    lost = f"to NATS at {SERVER} ({cause})"
    gone = "ws://relay (closed: 1012)"
    assert told == [
        (12.0, 12.7, f"{HOST}: consumers workers 0, 1 lost 5 connections {lost} for 0.7 s"),
        (12.0, None, f"{HOST}: the shuffler lost its connection {lost} from then on"),
        (12.0, 12.4, f"{HOST}: NATS was restarted, and was down for 0.4 s"),
        (13.0, 13.0, f"{HOST}: NATS was restarted"),
        (15.0, 15.0, "n2 leads the stream in place of n1"),
        (16.0, 16.5, f"{HOST}: NATS cut off slow consumers, 2 connections within 0.5 s"),
        (17.0, 17.0, f"{HOST}: the clock was set by +250.0 ms"),
        (20.0, 20.2, f"{HOST}: the shuffler lost its connection to the relay at {gone} for 0.2 s"),
    ]
    assert content["clock"][HOST]["stepped"]
    (leader,) = (one for one in content["events"] if one["kind"] == LEADER_CHANGED)
    assert (leader["host"], leader["source"]) == (None, "server")


def test_a_relay_that_hangs_up_all_the_time_is_told_a_few_times(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        for tenth in range(100, 300):
            parameters: dict[str, Value] = {"url": "ws://relay", "cause": "", "code": None}
            end_s = tenth / 10 + 0.05
            note(host, "shuffler", RELAY_RECONNECTED, tenth / 10, end_s, **parameters)

    _, content = analyse(tmp_path, spoil)
    assert len(content["events"]) == 10


def test_a_silence_that_was_noticed_ends_with_the_firehose(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        note(host, "shuffler", RELAY_SILENT, 33, 38, url="ws://relay", connected=True)
        note(host, "shuffler", RELAY_SILENT, 36, None, url="ws://relay", connected=True)

    _, content = analyse(tmp_path, spoil)
    (event,) = content["events"]
    assert (event["begin_s"], event["end_s"]) == (33.0, 35.0)
    # It went on, but from then on nothing was due.
    assert event["sentence"].endswith(" until the firehose's end")


def gone(host: Path, agent: str, at_s: float) -> None:
    """End an agent early: that is when its account says that it was there last."""
    unix_ns = RawRun().spec.t0_unix_ns + round(at_s * NS_PER_S)
    status.write(host, AgentStatus(agent=agent, state=State.DONE, unix_ns=unix_ns, pid=1))
    cut(host / f"{agent}.samples.jsonl", at_s)


@pytest.mark.parametrize(
    ("gone_s", "end_s"),
    [
        (17.05, 16.958),
        # Who had looked on for long after that would have seen it.
        (30.0, None),
    ],
)
def test_an_end_that_only_others_saw_is_an_end(
    tmp_path: Path, gone_s: float, end_s: float | None
) -> None:
    def spoil(host: Path) -> None:
        note(host, "shuffler", NATS_SILENT, 12.95, None, server=SERVER, connected=True)
        note(host, "probe", NATS_SILENT, 12.83, 16.958, server=SERVER, connected=True)
        note(host, "consumers-0", NATS_SILENT, 12.9, 16.999, server="10.0.0.2:4222", connected=True)
        gone(host, "shuffler", gone_s)

    _, content = analyse(tmp_path, spoil)
    ends = {event["parameters"]["agent"]: event["end_s"] for event in content["events"]}
    assert ends == {"shuffler": end_s, "probe": 16.958, "consumers": 16.999}


def test_a_probe_that_was_answered_at_last_knows_the_end(tmp_path: Path) -> None:
    def spoil(host: Path) -> None:
        note(host, "probe", NATS_SILENT, 36.0, None, server=SERVER, connected=True)

    bundle, content = analyse(tmp_path, spoil)
    assert bundle.server_final is not None
    until_s = (bundle.server_final.until_unix_ns - bundle.spec.t0_unix_ns) / NS_PER_S
    assert [event["end_s"] for event in content["events"]] == [pytest.approx(until_s, abs=1e-3)]


@pytest.mark.parametrize("state", [State.FAILED, State.RUNNING])
def test_a_worker_that_was_killed_died_at_its_last_sign_of_life(
    tmp_path: Path, state: State
) -> None:
    def spoil(host: Path) -> None:
        path = host / "consumers-0.json"
        files.write(path, msgspec.structs.replace(files.read(path, WorkerResult), complete=False))
        cut(host / "consumers-0.samples.jsonl", 12)
        own = AgentStatus(agent="consumers", state=state, unix_ns=RawRun().spec.t0_unix_ns, pid=1)
        status.write(host, own)

    bundle, content = analyse(tmp_path, spoil)
    found = {event["kind"]: event for event in content["events"]}
    # Workers go with their agent.
    assert set(found) == {AGENT_DIED} | ({WORKER_DIED} if state is State.FAILED else set())
    if state is State.FAILED:
        died = found[WORKER_DIED]
        assert died["parameters"] == {"agent": "consumers", "workers": [0]}
        last_unix_ns = bundle.workers[0][1].last_sign_unix_ns
        assert last_unix_ns is not None
        assert died["begin_s"] == round((last_unix_ns - bundle.spec.t0_unix_ns) / NS_PER_S, 3)


@pytest.mark.parametrize(
    ("workers", "worker_gone_s", "since_s"),
    [
        ("notice", None, 6.0),
        # A client that heard NATS on: it was the others' way to it.
        ("hear it", None, None),
        # One that was gone before it could notice says nothing.
        ("are gone", 6.5, 6.0),
    ],
)
def test_a_server_that_all_clients_missed_for_good_died_with_its_probe(
    tmp_path: Path,
    workers: str,
    worker_gone_s: float | None,
    since_s: float | None,
) -> None:
    def spoil(host: Path) -> None:
        (host / "probe.final.json").unlink()
        for name in ("probe.nats.jsonl", "probe.host.jsonl"):
            cut(host / name, 6)
        note(host, "shuffler", NATS_SILENT, 6, None, server=SERVER, connected=False)
        if workers == "notice":
            note(host, "consumers-0", NATS_SILENT, 6, None, server=SERVER, connected=False)
        if worker_gone_s is not None:
            cut(host / "consumers-0.samples.jsonl", worker_gone_s)
        gone(host, "shuffler", 12)
        own = AgentStatus(
            agent="probe",
            state=State.RUNNING,
            unix_ns=RawRun().spec.t0_unix_ns + 5 * NS_PER_S,
            pid=1,
        )
        status.write(host, own)

    _, content = analyse(tmp_path, spoil)
    reasons = {one["code"]: one for one in content["verdict"]["reason_codes"]}
    assert ("nats_died" in reasons) == (since_s is not None)
    limit = content["limited_by"]["parameters"]["reason"]["code"]
    if since_s is None:
        assert limit == "probe_died"
        return
    assert reasons["nats_died"]["parameters"]["since_s"] == since_s
    assert limit == "nats_died"
    assert not {"unread_as_planned", "consumers_without_poll"} & set(reasons)


def cut(path: Path, until_s: float) -> None:
    until_unix_ns = RawRun().spec.t0_unix_ns + round(until_s * NS_PER_S)
    kept = [x for x in path.read_text().splitlines() if json.loads(x)["unix_ns"] <= until_unix_ns]
    path.write_text("".join(f"{line}\n" for line in kept))
