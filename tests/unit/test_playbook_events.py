"""What the control node noted of a run is among its events, on the run's own timeline."""

from __future__ import annotations

from pathlib import Path

from markupsafe import escape

from fpaas.bundle.loader import load_bundle
from fpaas.common_time import NS_PER_S
from fpaas.records import control, events
from fpaas.records.events import EventLog
from fpaas.report import page
from fpaas.summary import summary
from tests.support.raw_run import HOST, T0_UNIX_NS, RawRun, change_spec


def test_what_a_playbook_did_is_told_with_begin_and_end(tmp_path: Path) -> None:
    run = RawRun().write(tmp_path / "run")
    ahead_ns = 7 * NS_PER_S
    change_spec(run, control_clock_shift_ns=-ahead_ns)

    def at(seconds: float) -> int:
        return T0_UNIX_NS + ahead_ns + round(seconds * NS_PER_S)

    with EventLog(run / control.EVENTS) as log:
        log.begin(events.RUN_ARMED, at(-4), {}, end_unix_ns=at(-4))
        silence = log.begin(events.HOST_SILENT, at(10), {"host": HOST})
        log.end(silence, at(13), silence.parameters)
        trouble: dict[str, events.Value] = {"host": HOST, "problem": "died"}
        log.begin(events.TROUBLE_NOTED, at(20), trouble, end_unix_ns=at(20))
        log.begin(events.RUN_COLLECTED, at(50), {"host": HOST})

    bundle = load_bundle(run)
    assert bundle.problems == []
    figures = summary.analyse(bundle)
    found = [one for one in figures["events"] if one["source"] == "playbook"]
    assert [(one["kind"], one["host"], one["begin_s"], one["end_s"]) for one in found] == [
        (events.RUN_ARMED, None, -4, -4),
        (events.HOST_SILENT, HOST, 10, 13),
        (events.TROUBLE_NOTED, HOST, 20, 20),
        (events.RUN_COLLECTED, HOST, 50, None),
    ]
    assert found[2]["parameters"] == {"problem": "died"}
    assert figures["verdict"]["status"] == "pass"
    # They are in the table, and on charts only within the run.
    html = page.render(bundle, figures)
    assert all(escape(one["sentence"]) in html for one in found)


def test_a_line_that_is_no_event_is_said(tmp_path: Path) -> None:
    run = RawRun().write(tmp_path / "run")
    (run / control.EVENTS).write_text("{}\n")
    (problem,) = load_bundle(run).problems
    assert (problem.code, problem.parameters["file"]) == ("file_unreadable", control.EVENTS)


def test_a_run_without_such_a_log_has_no_such_events(tmp_path: Path) -> None:
    figures = summary.analyse(load_bundle(RawRun().write(tmp_path / "run")))
    assert [one for one in figures["events"] if one["source"] == "playbook"] == []
