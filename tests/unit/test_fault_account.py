"""What a run's faults did, from a bundle's files to summary.json, report and table."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.loader import load_bundle
from fpaas.latency import duties
from fpaas.ledger import fault_account, fault_costs
from fpaas.measures.figures import Window
from fpaas.records import status
from fpaas.records.accounts import FaultAccount, FaultCost
from fpaas.records.events import AGENT_PAUSED, AGENT_RESTARTED, FAULT, NATS_SILENT, EventLog, Value
from fpaas.records.status import AgentStatus, State
from fpaas.records.summary import Event
from fpaas.report import page
from fpaas.spec import NS_PER_S
from fpaas.summary import summary
from fpaas.text import fault_text, summary_text
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun

PAUSE: dict[str, Value] = {"do": "pause", "on": "nats", "at_s": 10.0, "for_s": 2.0}
KILL: dict[str, Value] = {"do": "kill", "on": "relay", "at_s": 20.0}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run with two faults, before anybody says that they happened."""
    run = RawRun({"bench_faults": [PAUSE, KILL]})
    return run.write(tmp_path_factory.mktemp("raw") / "run", sealed=False)


def ns(seconds: float) -> int:
    return T0_UNIX_NS + round(seconds * NS_PER_S)


def write(raw: Path, directory: Path, *faults: tuple[int, float, float | None]) -> Bundle:
    """Copy the run, with faults (number, begin, end) that happened, and a silence."""
    shutil.copytree(raw, directory)
    host = directory / "hosts" / HOST
    known: list[dict[str, Value]] = [PAUSE, KILL]
    with EventLog(host / "faults.events.jsonl") as log:
        for number, begin_s, end_s in faults:
            parameters: dict[str, Value] = {"number": number, **known[number]}
            event = log.begin(FAULT, ns(begin_s), parameters)
            if end_s is not None:
                log.end(event, ns(end_s), parameters)
    done = AgentStatus(agent="faults", state=State.DONE, unix_ns=ns(30), pid=1)
    status.write(host, done)
    line = {
        "kind": NATS_SILENT,
        "begin_unix_ns": ns(10.1),
        "end_unix_ns": ns(12.1),
        "noticed_unix_ns": ns(11.2),
        "parameters": {"server": "127.0.0.1:4222", "connected": True},
    }
    (host / "shuffler.events.jsonl").write_text(json.dumps(line) + "\n")
    (host / "probe.events.jsonl").write_text(
        json.dumps({**line, "noticed_unix_ns": ns(10.3)}) + "\n"
    )
    return load_bundle(directory)


def test_a_fault_has_its_times_and_who_noticed(raw: Path, tmp_path: Path) -> None:
    bundle = write(raw, tmp_path / "run", (0, 10.0, 12.0), (1, 20.0, 20.5))
    pause, kill = summary.analyse(bundle)["faults"]
    assert (pause["kind"], pause["on"]) == ("pause", [f"{HOST}: nats"])
    assert (pause["began_s"], pause["ended_s"], pause["undone"]) == (10.0, 12.0, True)
    # The probe noticed before, and carries no load.
    assert pause["detected_s"] == pytest.approx(1.2)
    assert 0 < pause["published_s"] <= 2.1
    # All ten consumers poll every 5 s.
    assert 3 < pause["served_s"] <= 6.1
    assert pause["recovered_s"] == max(pause["published_s"], pause["served_s"])
    assert kill["detected_s"] is None
    silences = [one for one in summary.analyse(bundle)["events"] if one["kind"] == NATS_SILENT]
    assert [one["faults"] for one in silences] == [[0]] * len(silences)


def test_an_agent_that_stood_still_by_itself_noticed_nothing(raw: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    write(raw, directory, (0, 10.0, 12.0), (1, 20.0, 20.5))
    host = directory / "hosts" / HOST
    (host / "shuffler.events.jsonl").unlink()
    for agent, noticed_s in (("shuffler", 20.3), ("relay", 20.4)):
        with EventLog(host / f"{agent}.events.jsonl"):
            pass
        line = {
            "kind": AGENT_PAUSED,
            "begin_unix_ns": ns(20.1),
            "end_unix_ns": ns(noticed_s),
            "noticed_unix_ns": ns(noticed_s),
        }
        (host / f"{agent}.events.jsonl").write_text(json.dumps(line) + "\n")
    pause, kill = summary.analyse(load_bundle(directory))["faults"]
    assert pause["detected_s"] is None
    # The kill was on the relay.
    assert kill["detected_s"] == pytest.approx(0.4)


def test_a_killed_process_is_noticed_when_it_is_started_again(raw: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    write(raw, directory, (0, 10.0, 12.0), (1, 20.0, 20.5))
    host = directory / "hosts" / HOST
    (host / "shuffler.events.jsonl").unlink()
    line = {"kind": AGENT_RESTARTED, "begin_unix_ns": ns(20.9), "end_unix_ns": ns(21.4)}
    (host / "relay.events.jsonl").write_text(json.dumps(line) + "\n")
    pause, kill = summary.analyse(load_bundle(directory))["faults"]
    assert (pause["detected_s"], kill["detected_s"]) == (None, pytest.approx(0.9))


def test_a_fault_without_an_end_has_no_recovery(raw: Path, tmp_path: Path) -> None:
    bundle = write(raw, tmp_path / "run", (0, 10.0, None))
    content = summary.analyse(bundle)
    pause, kill = content["faults"]
    assert (pause["began_s"], pause["ended_s"], pause["undone"]) == (10.0, None, False)
    assert pause["recovered_s"] is None
    assert (kill["began_s"], kill["on"]) == (None, [])
    codes = [one["code"] for one in content["verdict"]["reason_codes"]]
    assert {"fault_not_undone", "fault_not_injected"} <= set(codes)


def test_consumers_that_are_not_served_again_leave_no_figure(raw: Path, tmp_path: Path) -> None:
    bundle = write(raw, tmp_path / "run", (0, 10.0, 12.0), (1, 39.5, 39.9))
    _, kill = summary.analyse(bundle)["faults"]
    assert kill["served_s"] is None
    assert kill["recovered_s"] is None
    # All had been offered: nothing was left to publish.
    assert kill["published_s"] == 0


def test_a_single_fault_has_its_cost(tmp_path: Path) -> None:
    run = RawRun({"bench_faults": [PAUSE]})
    alone = run.write(tmp_path / "raw", sealed=False)
    bundle = write(alone, tmp_path / "run", (0, 10.0, 12.0))
    content = summary.analyse(bundle)
    [pause] = content["faults"]
    causes = pause["cost"].pop("lost_by_cause")
    assert pause["cost"] == {name: content["ledger"][name] for name in pause["cost"]}
    assert causes == {why: n for why, n in content["ledger"]["lost_by_cause"].items() if n}
    pause["cost"] |= {"lost": 1300, "lost_by_cause": {"in_delivery": 1300}}
    assert "1,300 deliveries lost (1,300 in delivery)" in fault_text.cost(pause)
    shown = "\n".join(summary_text.lines(content, "t"))
    assert "pause on nats, 10.0 s to 12.0 s: noticed after 1.2 s" in shown
    html = page.render(bundle, content)
    assert 'id="faults"' in html
    order = [html.index(text) for text in ("the fault begins", "heard nothing from NATS at")]
    assert order == sorted(order)


def happened(number: int, begin_s: float, end_s: float | None) -> FaultAccount:
    return FaultAccount(
        kind="pause",
        on=[],
        parameters={},
        at_s=begin_s,
        for_s=2.0,
        began_s=begin_s,
        ended_s=end_s,
        undone=end_s is not None,
        detected_s=None,
        served_s=None,
        published_s=None,
        recovered_s=None,
        cost=FaultCost(**dict.fromkeys(fault_costs.TERMS)),
        began_late_ms=number,
    )


@pytest.mark.parametrize(
    ("faults_s", "begin_s", "noticed_s", "found"),
    [
        ([(10, 12), (20, 22)], 5.0, None, []),
        # Heard last before it, missed in it.
        ([(10, 12), (20, 22)], 9.8, 10.9, [0]),
        ([(10, 12), (20, 22)], 15.0, None, [0]),
        ([(10, 12), (20, 22)], 21.0, None, [1]),
        ([(10, 12), (20, 22)], 51.9, None, [1]),
        ([(10, 12), (20, 22)], 52.1, None, []),
        ([(10, None), (20, 22)], 21.0, None, [0, 1]),
        ([(10, None), (20, 22)], 30.0, None, [0]),
    ],
)
def test_an_event_belongs_to_the_faults_that_were_on_or_to_the_last(
    faults_s: list[tuple[float, float | None]],
    begin_s: float,
    noticed_s: float | None,
    found: list[int],
) -> None:
    event = Event(
        kind=NATS_SILENT,
        source="observer",
        begin_s=begin_s,
        at_s=begin_s,
        noticed_s=noticed_s,
        sentence="",
        short="",
    )
    accounts = [happened(number, *times) for number, times in enumerate(faults_s)]
    (told,) = fault_account.attributed([event], accounts)
    assert told.faults == found


def test_the_worst_host_says_how_late_a_fault_was(raw: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    write(raw, directory, (0, 10.0, 12.0), (1, 20.0, 20.5))
    path = directory / "hosts" / HOST / "faults.events.jsonl"
    late = {"begin_late_ms": 140.0, "begin_took_ms": 2.0, "end_late_ms": 0.4, "end_took_ms": 1.0}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["parameters"]["number"] == 0:
            line["parameters"] |= late
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    bundle = load_bundle(directory)
    content = summary.analyse(bundle)
    pause, kill = content["faults"]
    assert (pause["began_late_ms"], pause["ended_late_ms"]) == (140.0, 0.4)
    assert kill["began_late_ms"] is None
    (note,) = [one for one in content["verdict"]["reason_codes"] if one["code"] == "fault_late"]
    assert note["parameters"]["number"] == 0
    assert "140.0 ms, 0.4 ms" in page.render(bundle, content)


def test_several_faults_share_what_cannot_be_told_apart(raw: Path, tmp_path: Path) -> None:
    bundle = write(raw, tmp_path / "run", (0, 10.0, 12.0), (1, 20.0, 20.5))
    content = summary.analyse(bundle)
    ledger = content["ledger"]
    for fault in content["faults"]:
        for name in fault_costs.TERMS:
            if ledger[name] == 0:
                assert fault["cost"][name] == 0
    assert fault_text.cost({"cost": dict.fromkeys(fault_costs.TERMS)}).startswith("not told apart")


def test_what_samples_count_is_told_apart_by_when(raw: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    write(raw, directory, (0, 10.0, 12.0), (1, 20.0, 20.5))
    bundle = load_bundle(directory)
    workers = [worker for _, worker in bundle.workers]
    workers[0].samples[:] = [
        msgspec.structs.replace(one, redelivered=redelivered)
        for one in workers[0].samples
        for redelivered in [7 * (one.unix_ns > ns(11)) + 5 * (one.unix_ns > ns(25))]
    ]
    assert fault_costs.grown(bundle, "redelivered", 10.0, 20.0) == 7
    assert fault_costs.grown(bundle, "redelivered", 20.0, None) == 5


def test_a_run_without_faults_has_no_such_section(tmp_path: Path) -> None:
    bundle = load_bundle(RawRun().write(tmp_path / "run"))
    content = summary.analyse(bundle)
    assert content["faults"] == []
    assert 'id="faults"' not in page.render(bundle, content)


def entry(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "kind": "pause",
        "on": [f"{HOST}: consumers"],
        "parameters": {},
        "began_s": 10.0,
        "ended_s": 12.0,
    } | changes


@pytest.mark.parametrize(
    ("changes", "excuses"),
    [
        ({}, True),
        ({"on": [f"{HOST}: worker:0"]}, True),
        ({"kind": "step_clock"}, True),
        ({"kind": "partition", "parameters": {"peer": "nats"}}, True),
        ({"began_s": None, "ended_s": None}, False),
        ({"ended_s": None}, False),
        ({"kind": "limit"}, False),
        ({"kind": "silence", "on": [f"{HOST}: relay"]}, False),
    ],
)
def test_who_is_late_by_a_fault(raw: Path, changes: dict[str, Any], excuses: bool) -> None:  # noqa: FBT001
    bundle = load_bundle(raw)
    window = Window(ns(5), ns(35))
    assert (duties.outside(bundle, window, [entry(**changes)]) is not None) == excuses


def test_lateness_is_judged_by_what_is_left_of_the_window(raw: Path) -> None:
    bundle = load_bundle(raw)
    window = Window(ns(5), ns(35))
    whole = duties.outside(bundle, window, [entry(began_s=1.0, ended_s=2.0)])
    holed = duties.outside(bundle, window, [entry()])
    assert whole is not None
    assert holed is not None
    assert set(whole.loop_lag) == set(holed.loop_lag)
    # A fault that takes nearly all of the window excuses nothing.
    most = duties.outside(bundle, window, [entry(began_s=5.0, ended_s=33.0)])
    assert most == replace(whole)
