"""A run as `fpaas watch` shows it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import re
import shutil
import subprocess
import termios
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from fpaas import common_time, utf8_locale
from fpaas.bundle.loader import load_bundle
from fpaas.commands import watch
from fpaas.control import login, terminal_line
from fpaas.control.play_notes import RunProgress
from fpaas.errors import BadInput
from fpaas.live import dump, screen, source, standing, view
from fpaas.records import files, status
from fpaas.records.events import EventLog
from fpaas.records.nats import Lag, NatsSample, StreamState
from fpaas.records.status import AgentStatus, State
from fpaas.spec import NS_PER_S
from fpaas.summary import manifest, summary
from fpaas.text import bars, plain_output
from tests.support.checkout import CHECKOUT, SCRIPTS
from tests.support.raw_run import RawRun

RUN_ID = RawRun().spec.run_id


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = RawRun().write(tmp_path / "run")
    (directory / "run.json").write_text(RawRun().spec.to_json())
    return directory


def seen(directory: Path, at_s: float) -> view.View:
    where = source.Here(directory)
    dumps = where.dumps()
    run = where.run(dumps)
    now_unix_ns = run.t0_unix_ns + round(at_s * NS_PER_S)
    return view.make(run, dumps, now_unix_ns, where.summary(), where.problems())


def test_it_shows_what_agents_have_written_so_far(bundle: Path) -> None:
    found = seen(bundle, 20)
    assert found.phase == "measuring"
    by_name = {flow.name: flow for flow in found.flows}
    content = summary.analyse(load_bundle(bundle))
    assert by_name["stored"].total == content["ledger"]["published"]
    assert by_name["received"].total == content["ledger"]["delivered"]
    assert by_name["offered"].rates
    assert found.latencies[0].p99_ms == pytest.approx(1.2, rel=0.5)
    assert not found.is_over


def test_a_worker_that_came_later_hides_no_earlier_rates(bundle: Path) -> None:
    [first] = (bundle / "hosts" / "localhost").glob("consumers-0.samples.jsonl")
    before = next(one for one in seen(bundle, 20).flows if one.name == "received").rates
    lines = first.read_text().splitlines(keepends=True)
    first.with_name("consumers-7.samples.jsonl").write_text("".join(lines[-2:]))
    after = next(one for one in seen(bundle, 20).flows if one.name == "received").rates
    assert len(after) == len(before) > 2


def test_a_reported_run_is_over_and_has_its_verdict_and_goals(bundle: Path) -> None:
    content = summary.analyse(load_bundle(bundle))
    (bundle / "summary.json").write_text(json.dumps(content))
    found = seen(bundle, 0)
    assert found.is_over
    assert found.verdict == content["verdict"]["status"]
    assert [goal.state for goal in found.goals] == [one["status"] for one in content["goals"]]


def test_rates_of_a_finished_run_are_all_of_its_window(bundle: Path) -> None:
    content = summary.analyse(load_bundle(bundle))
    content["throughput"] |= {"published_per_s": 151.0, "processed_per_s": 452.0}
    content["throughput"]["offered_per_s"] = 150.0
    (bundle / "summary.json").write_text(json.dumps(content))
    found = seen(bundle, 0)
    rates = {flow.name: flow.per_s for flow in found.flows}
    assert rates == {"offered": 150.0, "read": None, "stored": 151.0, "received": 452.0}
    shown = screen.line(found)
    assert "(150/s), read 3,500, stored 3,500 (151/s)" in shown
    assert "(452/s), publish to ack p99 " in shown
    assert "rates and latencies of its window" in shown
    console = Console(width=60, height=36)
    with console.capture() as captured:
        console.print(screen.draw(found, console))
    heads, offered, *_ = captured.get().splitlines()[2:]
    assert heads.split() == ["so", "far", "window", "/s", "/s"]
    assert offered.split()[:3] == ["offered", "3,500", "150"]
    assert "…" not in offered


def test_what_has_ended_counts_no_more(bundle: Path) -> None:
    """Its last rates were shown as those of now, and its seconds beside others' of other times."""
    part = bundle / "hosts" / "localhost"
    lines = (part / "shuffler.samples.jsonl").read_text().splitlines(keepends=True)
    (part / "shuffler.samples.jsonl").write_text("".join(lines[:10]))
    at_unix_ns = RawRun().spec.t0_unix_ns + 20 * NS_PER_S
    one = AgentStatus(agent="shuffler", state=State.RUNNING, unix_ns=at_unix_ns, pid=1)
    status.write(part, one)
    late = next(flow for flow in seen(bundle, 20).flows if flow.name == "read")
    status.write(part, msgspec.structs.replace(one, state=State.DONE))
    flows = {flow.name: flow for flow in seen(bundle, 20).flows}
    assert late.per_s
    assert flows["read"].per_s == 0
    assert len(flows["read"].rates) == len(flows["offered"].rates) > len(late.rates)
    assert flows["offered"].per_s


def test_latencies_of_a_finished_run_are_those_of_its_window(bundle: Path) -> None:
    content = summary.analyse(load_bundle(bundle))
    leg = content["latency_ms"]["publish_ack"]
    leg.update(p50=127_000.0, p99=1_799_999.0, open_count=12, at_least={"p99": None})
    (bundle / "summary.json").write_text(json.dumps(content))
    console = Console(width=80, height=24)
    with console.capture() as captured:
        console.print(screen.draw(seen(bundle, 0), console))
    [shown] = [line for line in captured.get().splitlines() if "publish to ack" in line]
    assert shown.split()[3:5] == ["127,000", "≥1,799,999"]
    assert "publish to ack p99 ≥1,799,999 ms" in screen.line(seen(bundle, 0))


def test_figures_of_nats_are_those_of_the_run_and_say_how_old_they_are(bundle: Path) -> None:
    """They contradicted the counters beside them: a lag of more than was stored."""
    samples = bundle / "hosts" / "localhost" / "probe.nats.jsonl"

    def look_at(at_s: float) -> None:
        at_unix_ns = RawRun().spec.t0_unix_ns + round(at_s * NS_PER_S)
        stream = StreamState(messages=4050, bytes=22_000_000, first_seq=1, last_seq=4050)
        lag = Lag(consumers=1, p50=20, p99=4255, max=4255, sum=4255)
        samples.write_bytes(files.encode(NatsSample(unix_ns=at_unix_ns, stream=stream, lag=lag)))

    def shown(at_s: float) -> tuple[str, str]:
        console = Console(width=80, height=24)
        with console.capture() as captured:
            console.print(screen.draw(seen(bundle, at_s), console))
        return screen.line(seen(bundle, at_s)), captured.get()

    look_at(-1.0)
    line, drawn = shown(2.0)
    assert "lag at most - messages, NATS" in line
    assert "- | -" in drawn
    look_at(5.0)
    line, drawn = shown(6.5)
    assert "lag at most 4,255 messages, NATS" in line
    assert "4,050 | 22 MB" in drawn
    assert "ago" not in line + drawn
    line, drawn = shown(8.2)
    assert "lag at most 4,255 messages (3 s ago), NATS" in line
    assert "stream, lag 3 s ago" in drawn
    report(bundle)
    assert "ago" not in "".join(shown(8.2))


def test_figures_have_room_on_a_small_screen(bundle: Path) -> None:
    found = seen(bundle, 20)
    found = dataclasses.replace(
        found,
        latencies=[view.Latency("due to received", 299_999.0, 299_999.0, 10_000)],
        lag_p50=1_234_567,
        lag_max=1_234_567,
    )
    console = Console(width=80, height=24)
    with console.capture() as captured:
        console.print(screen.draw(found, console))
    assert "299,999  299,999  10,000" in captured.get()
    assert "1,234,567 | 1,234,567" in captured.get()


def test_a_run_that_is_over_before_its_report_is_there_says_where_its_verdict_will_be(
    bundle: Path,
) -> None:
    part = bundle / "hosts" / "localhost"
    (part / "run.json").write_text((bundle / "run.json").read_text())
    shown = CliRunner().invoke(watch.command, [str(part)])
    assert shown.exit_code == 0
    verdict_at = f"`fpaas watch results/{RUN_ID}` shows it\n"
    assert shown.stderr == f"no verdict yet; once the run is collected, {verdict_at}"


def report(directory: Path) -> dict[str, Any]:
    content = summary.analyse(load_bundle(directory))
    (directory / "summary.json").write_text(json.dumps(content))
    listed = msgspec.json.encode(manifest.describe(load_bundle(directory)))
    (directory / "manifest.json").write_bytes(listed)
    return content


@pytest.fixture
def in_lab(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout after a run: the lab's `current` leads to it still, and its bundle is reported."""
    report(bundle)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    run = tmp_path / ".lab" / "runs" / RUN_ID
    shutil.copytree(bundle / "hosts" / "localhost", run)
    shutil.copy(bundle / "run.json", run)
    (tmp_path / ".lab" / "current").symlink_to(f"runs/{RUN_ID}")
    return bundle.rename(tmp_path / "results" / RUN_ID)


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_in_between_runs_the_last_one_is_shown_as_its_bundle_has_it(
    in_lab: Path, options: list[str]
) -> None:
    of_bundle = CliRunner().invoke(watch.command, [f"results/{RUN_ID}", *options])
    shown = CliRunner().invoke(watch.command, options)
    assert "rates and latencies of its window" in shown.stdout
    assert shown.stdout == of_bundle.stdout
    assert of_bundle.stderr == ""
    assert shown.stderr == f"no run is in progress; this was {RUN_ID}\n"
    # Who names the run's own directory is led to the bundle.
    shown = CliRunner().invoke(watch.command, [".lab/current"])
    verdict_at = f"`fpaas watch results/{RUN_ID}` shows this one's verdict\n"
    assert shown.stderr == f"no run is in progress; {verdict_at}"
    del in_lab


def test_while_a_playbook_is_at_work_the_next_run_is_waited_for(
    in_lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that began just before a run ended with the run before; so it did in a repeat."""
    current, later = in_lab.parents[1] / ".lab" / "current", "20260921T130000Z-scenario-1"
    steps: list[str] = []

    def sleep(_: float) -> None:
        steps.append("slept")
        if len(steps) == 2:
            current.unlink()
        elif len(steps) == 3:
            run = current.parent / "runs" / later
            shutil.copytree(current.parent / "runs" / RUN_ID, run)
            (run / "run.json").write_text(
                dataclasses.replace(RawRun().spec, run_id=later).to_json()
            )
            current.symlink_to(f"runs/{later}")

    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(watch, "playbook_is_at_work", lambda: len(steps) < 5)
    shown = CliRunner().invoke(watch.command, [])
    of_last, waiting, of_next = shown.stdout.splitlines()
    assert "rates and latencies of its window" in of_last
    assert waiting == watch.WAITING
    assert " s, over: " in of_next
    assert f"results/{later}` shows it" in shown.stderr
    assert len(steps) == 5


def test_each_run_of_a_repeat_is_shown_with_its_verdict_though_its_directory_is_gone(
    in_lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a run is reported, the lab removes what its agents wrote, and the link to it."""
    current, hidden = in_lab.parents[1] / ".lab" / "current", in_lab.with_name(".not-yet")
    in_lab.rename(hidden)
    steps: list[str] = []

    def sleep(_: float) -> None:
        steps.append("slept")
        if len(steps) == 1:
            hidden.rename(in_lab)
            current.unlink()
            shutil.rmtree(current.parent / "runs")

    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(watch, "playbook_is_at_work", lambda: len(steps) < 3)
    shown = CliRunner().invoke(watch.command, [])
    live, verdict, waiting = shown.stdout.splitlines()
    assert " s, over: " in live
    assert "rates and latencies of its window" in verdict
    assert waiting == watch.WAITING
    assert (shown.exit_code, len(steps)) == (0, 3)
    assert shown.stderr == f"no run is in progress; this was {RUN_ID}\n"


def test_a_run_whose_bundle_is_elsewhere_is_not_said_never_to_have_been(
    in_lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = in_lab.parents[1] / ".lab"
    in_lab.rename(lab.with_name("elsewhere"))

    def prune(_: float) -> None:
        (lab / "current").unlink()
        shutil.rmtree(lab / "runs")

    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=prune))
    monkeypatch.setattr(watch, "playbook_is_at_work", (lab / "runs").exists)
    shown = CliRunner().invoke(watch.command, [])
    assert shown.exit_code == 2
    assert f"{RUN_ID}: is over, and its files are no longer here" in shown.stderr
    assert "results_dir" in shown.stderr


def test_before_the_first_run_there_is_nothing_to_show_until_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(watch.command, [])
    assert refused.exit_code == 2
    assert "no run is in progress here" in refused.output
    steps: list[float] = []
    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=steps.append))
    monkeypatch.setattr(watch, "playbook_is_at_work", lambda: len(steps) < 3)
    refused = CliRunner().invoke(watch.command, [])
    assert watch.WAITING in refused.output
    assert (refused.exit_code, len(steps)) == (2, 3)


def test_a_bundle_without_a_verdict_says_what_writes_it(bundle: Path) -> None:
    shown = CliRunner().invoke(watch.command, [str(bundle)])
    assert shown.stderr == f"there is no verdict; `fpaas report {bundle}` writes it\n"


@pytest.mark.parametrize("gone", ["hosts", "hosts/localhost/shuffler.json", "control.json"])
def test_a_verdict_of_more_than_is_there_says_so(bundle: Path, gone: str) -> None:
    report(bundle)
    assert "lacks" not in screen.line(seen(bundle, 0))
    if (bundle / gone).is_dir():
        shutil.rmtree(bundle / gone)
    else:
        (bundle / gone).unlink()
    shown = CliRunner().invoke(watch.command, [str(bundle)]).stdout
    assert f"; lacks {gone}" in shown
    assert "its verdict cannot be checked" in shown


@pytest.mark.parametrize("name", ["", "nothing", "file"])
def test_what_is_no_run_is_refused_with_what_is_expected(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    refused = CliRunner().invoke(watch.command, [str(tmp_path / name)])
    assert refused.exit_code == 2
    assert "is not the directory of a run; expected results/<run-id>" in refused.output


def test_what_was_not_written_yet_is_not_made_up(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(RawRun().spec.to_json())
    found = seen(tmp_path, -3)
    assert found.phase == "starting"
    assert [flow.total for flow in found.flows] == [None] * 4
    assert set(found.ledger.values()) == {None}
    assert "offered - (-/s)" in screen.line(found)


def test_a_run_that_is_not_armed_yet_is_starting(bundle: Path) -> None:
    run = dataclasses.replace(RawRun().spec, t0_unix_ns=0)
    found = view.make(run, source.Here(bundle).dumps(), time.time_ns())
    assert (found.phase, found.elapsed_s, found.is_over) == ("starting", 0, False)
    assert screen.line(found).startswith(f"0 s of {found.total_s:.0f} s, starting: ")


def test_hosts_with_the_same_reason_share_a_line() -> None:
    idle: dict[str, Any] = {"rc": 1, "stderr": "no run is in progress there\n"}
    gone: dict[str, Any] = {"unreachable": True, "msg": "timed out"}
    assert source.unreached({"a": idle, "b": gone, "c": idle, "d": {"rc": 0}}) == [
        "a, c: no run is in progress there",
        "b: does not answer: timed out",
    ]


def test_torn_and_foreign_lines_are_left_out() -> None:
    text = (
        '==> shuffler.samples.jsonl\n{"unix_ns": 1, "re\n'
        "==> relay.status.json\n\xff\n"
        "==> consumers-0.hlog\nTag=fetch_call,1,1,1,notbase64!\n"
        "==> surprise.txt\nanything\n"
    )
    found = dump.parse(text)
    assert (found.shuffler, found.statuses) == ([], [])
    run = RawRun().spec
    shown = view.make(run, {"host": found}, run.t0_unix_ns)
    assert shown.latencies == []


def test_an_agent_that_failed_is_named(bundle: Path) -> None:
    failed = AgentStatus(agent="shuffler", state=State.FAILED, message="no room", unix_ns=1, pid=1)
    status.write(bundle / "hosts" / "localhost", failed)
    assert seen(bundle, 20).problems == ["localhost: shuffler failed: no room"]


def test_a_run_without_agents_is_over_whatever_the_plan_says(bundle: Path) -> None:
    """As after a playbook that was killed, whose guard ends the run."""
    t0_unix_ns = RawRun().spec.t0_unix_ns
    part = bundle / "hosts" / "localhost"
    for path in part.glob("*.status.json"):
        path.unlink()
    for agent, at_s in {"relay": 10, "shuffler": 11, "consumers": 12, "probe": 12}.items():
        at_unix_ns = t0_unix_ns + at_s * NS_PER_S
        status.write(part, AgentStatus(agent=agent, state=State.STOPPED, unix_ns=at_unix_ns, pid=1))
    found = seen(bundle, 20)
    assert (found.phase, found.is_over, found.elapsed_s) == (view.STOPPED, True, 12)
    assert seen(bundle, 1000) == found
    content = summary.analyse(load_bundle(bundle))
    (bundle / "summary.json").write_text(json.dumps(content))
    reported = seen(bundle, 1000)
    assert (reported.phase, reported.elapsed_s) == (view.OVER, 12)
    (bundle / "summary.json").unlink()
    running = AgentStatus(agent="probe", state=State.RUNNING, unix_ns=t0_unix_ns, pid=1)
    status.write(part, running)
    assert seen(bundle, 20).phase == "measuring"


@pytest.mark.parametrize(
    ("measured", "state"),
    [
        (None, standing.LATER),
        (50.0, standing.OK),
        (90.0, standing.DANGER),
        (101.0, standing.MISSED),
    ],
)
def test_a_goal_is_in_danger_before_it_is_missed(measured: float | None, state: str) -> None:
    assert standing._state(measured, 100.0) == state


@pytest.mark.parametrize(("width", "height"), [(60, 36), (80, 24), (200, 60)])
def test_the_screen_has_room_for_all(bundle: Path, width: int, height: int) -> None:
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(screen.draw(seen(bundle, 20), console))
    lines = console.export_text().splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for word in ("measuring", "left", "offered", "received", "publish to ack", "lag p50", "goals"):
        assert word in text
    assert "…" not in text


def test_long_names_of_hosts_hide_no_figures(bundle: Path) -> None:
    where = source.Here(bundle)
    [part] = where.dumps().values()
    dumps = {f"consumers-{number}.lab.example.com": part for number in range(9)}
    run = RawRun().spec
    shown = view.make(run, dumps, run.t0_unix_ns + 20 * NS_PER_S)
    console = Console(width=80, height=24, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(screen.draw(shown, console))
    lines = [line for line in console.export_text().splitlines() if "consumers-" in line]
    assert lines
    assert all(re.search(r"consumers-\d…  +\d+ %  +[\d,]+ MB$", line.rstrip()) for line in lines)


def test_without_a_terminal_there_are_lines(bundle: Path) -> None:
    shown = CliRunner().invoke(watch.command, [str(bundle), "--once"])
    assert shown.exit_code == 0, shown.stdout
    assert shown.stdout.count("\n") == 1
    assert "\x1b" not in shown.stdout
    nowhere = CliRunner().invoke(watch.command, [str(bundle / "no")])
    assert nowhere.exit_code == 2
    both = CliRunner().invoke(watch.command, [str(bundle), "-i", str(bundle)])
    assert both.exit_code == 2


def test_lines_tell_events_and_goals_too(bundle: Path) -> None:
    content = summary.analyse(load_bundle(bundle))
    content["goals"] = [{"name": "x_max", "limit": 1, "measured": 2, "status": "missed"}]
    (bundle / "summary.json").write_text(json.dumps(content))
    with EventLog(bundle / "hosts" / "localhost" / "probe.events.jsonl") as log:
        log.begin("nats_silent", RawRun().spec.t0_unix_ns + 12 * NS_PER_S, {})
    shown = CliRunner().invoke(watch.command, [str(bundle)]).stdout.splitlines()
    assert shown[0] == "   12.0 s  localhost: probe: nats silent …"
    assert "; x_max 1: 2 missed" in shown[1]


def test_the_end_of_what_was_done_is_no_event(bundle: Path) -> None:
    part = bundle / "hosts" / "localhost"
    done = AgentStatus(agent="consumers", state=State.DONE, unix_ns=1, pid=50, pids=[50, 52])
    status.write(part, done)
    with EventLog(part / "probe.events.jsonl") as log:
        for pid in (51, 52):
            at_ns = RawRun().spec.t0_unix_ns + pid * NS_PER_S // 4
            ended: dict[str, str | int | float | bool | None] = {"process": "consumers", "pid": pid}
            log.begin("process_ended", at_ns, ended, end_unix_ns=at_ns)
    ends = [at_s for at_s, words in seen(bundle, 20).events if "process ended" in words]
    assert ends == [51 / 4]


def test_what_lasts_is_shown_once(bundle: Path) -> None:
    """It is written when it is noticed, and again when it is over."""
    begin_ns = RawRun().spec.t0_unix_ns + 12 * NS_PER_S
    with EventLog(bundle / "hosts" / "localhost" / "probe.events.jsonl") as log:
        event = log.begin("nats_silent", begin_ns, {})
        log.begin("process_ended", begin_ns, {"process": "nats"}, end_unix_ns=begin_ns)
        before = seen(bundle, 20).events
        log.end(event, begin_ns + 2 * NS_PER_S, {})
    assert (12.0, "localhost: probe: nats silent …") in before
    assert (12.0, "localhost: probe: process ended: nats") in before
    shown = [words for _, words in seen(bundle, 20).events if "nats silent" in words]
    assert shown == ["localhost: probe: nats silent for 2.0 s"]


def test_ends_of_a_hosts_processes_share_a_line_if_they_were_close(bundle: Path) -> None:
    ends = [(18.0, "shuffler"), (20.0, "relay"), (20.1, "consumers"), (20.2, "consumers")]
    with EventLog(bundle / "hosts" / "localhost" / "probe.events.jsonl") as log:
        for number, (at_s, process) in enumerate([*ends, (28.0, "nats")]):
            at_ns = RawRun().spec.t0_unix_ns + round(at_s * NS_PER_S)
            ended: dict[str, str | int | float | bool | None] = {
                "process": process,
                "pid": 70_000 + number,
            }
            log.begin("process_ended", at_ns, ended, end_unix_ns=at_ns)
    who = "localhost: probe: process ended: "
    assert [one for one in seen(bundle, 30).events if who in one[1]] == [
        (18.0, f"{who}shuffler, relay, consumers (2)"),
        (28.0, f"{who}nats"),
    ]


def test_an_invalid_run_says_why_however_much_happened(bundle: Path) -> None:
    content = summary.analyse(load_bundle(bundle))
    content["verdict"] |= {"status": "invalid", "reasons": ["its CPU was saturated"]}
    (bundle / "summary.json").write_text(json.dumps(content))
    with EventLog(bundle / "hosts" / "localhost" / "relay.events.jsonl") as log:
        for number in range(30):
            at_ns = RawRun().spec.t0_unix_ns + number * NS_PER_S
            log.begin("client_gone", at_ns, {}, end_unix_ns=at_ns)
    console = Console(width=80, height=24)
    with console.capture() as captured:
        console.print(screen.draw(seen(bundle, 0), console))
    shown = captured.get()
    assert "its CPU was saturated" in shown
    assert "client gone" in shown
    assert len(shown.splitlines()) <= 23


def test_a_goal_that_calls_without_an_answer_missed_says_so(bundle: Path) -> None:
    content = summary.analyse(load_bundle(bundle))
    content["latency_ms"]["publish_ack"]["at_least"] = {"p99": 1}
    goal = {"name": "publish_ack_p99_ms_max", "limit": 100, "measured": 5779.3, "status": "missed"}
    content["goals"] = [goal]
    (bundle / "summary.json").write_text(json.dumps(content))
    console = Console(width=100, height=40)
    with console.capture() as captured:
        console.print(screen.draw(seen(bundle, 0), console))
    assert "publish_ack_p99_ms_max 100: ≥ 5,779 missed" in captured.get()


@pytest.mark.parametrize(
    ("variables", "is_plain", "is_full"),
    [
        ({"LANG": "C.UTF-8", "TERM": "xterm"}, False, True),
        ({"LC_ALL": "C", "LANG": "C.UTF-8", "TERM": "xterm"}, True, True),
        ({"LC_ALL": "C.UTF-8", utf8_locale.USERS: "C", "TERM": "xterm"}, True, True),
        ({"LC_ALL": "C.UTF-8", "TERM": "dumb"}, False, False),
        ({"PYTHONIOENCODING": "iso-8859-1", "TERM": "xterm"}, True, True),
    ],
)
def test_a_terminal_gets_what_it_can_show(
    bundle: Path, variables: dict[str, str], *, is_plain: bool, is_full: bool
) -> None:
    command = [str(SCRIPTS / "fpaas"), "watch", str(bundle), "--once"]
    shown = on_terminal(command, variables)
    assert ("█" not in shown.decode("utf-8", "replace")) is (is_plain or not is_full)
    assert (b"last 10 s, ms" in shown) is is_full
    assert (max(shown) < 128) is (is_plain or not is_full)


def on_terminal(command: list[str], variables: dict[str, str]) -> bytes:
    """Run a command on a terminal of 80 columns, and return what it shows."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {"PATH": os.environ["PATH"], **variables}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        shown = b""
        # Once nobody has the other end open, Linux answers with an error.
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                shown += part
    os.close(ours)
    return shown


def test_what_is_piped_in_a_locale_of_ascii_is_ascii(bundle: Path) -> None:
    """What a playbook's programs write in its own locale stays, whatever the user's is."""
    command = [str(SCRIPTS / "fpaas"), "report", str(bundle)]
    shown = {}
    for users in ("C", "C.UTF-8"):
        for locale in ("C", "C.UTF-8"):
            variables = {"PATH": os.environ["PATH"], "LC_ALL": locale, utf8_locale.USERS: users}
            done = subprocess.run(command, capture_output=True, env=variables, check=False)
            shown[users, locale] = done.stdout
    assert {key: text.isascii() for key, text in shown.items()} == {
        ("C", "C"): True,
        ("C", "C.UTF-8"): False,
        ("C.UTF-8", "C"): True,
        ("C.UTF-8", "C.UTF-8"): False,
    }


def test_what_a_playbook_shows_goes_by_the_users_locale() -> None:
    ansibles = utf8_locale.for_ansible({"LC_ALL": "C"})
    assert ansibles["LC_ALL"] == utf8_locale.UTF8
    assert plain_output.for_user("█░ ≥ 1", ansibles) == "#. >= 1"
    for environment in ({"LC_ALL": "en_GB.utf8"}, {"LANG": "C.UTF-8"}, {}):
        assert plain_output.for_user("█", utf8_locale.for_ansible(environment)) == "█"


def test_bars_and_clocks() -> None:
    assert [bars.bar(share, 4) for share in (-1, 0, 0.5, 1, 2)] == [
        "░░░░",
        "░░░░",
        "██░░",
        "████",
        "████",
    ]
    assert [bars.clock(s) for s in (0, 65, 3723)] == ["0:00", "1:05", "1:02:03"]


def test_workers_share_one_line(tmp_path: Path) -> None:
    board = terminal_line.Board(tmp_path, "run")
    board.note(RunProgress("a", 1, 2, "", {"consumers": {"processed": 2}}))
    board.note(RunProgress("b", 1, 2, "", {"shuffler": {"read": 1}, "consumers": {"processed": 3}}))
    earlier = RunProgress("a", 1, 2, "", {"consumers": {"processed": 100}})
    terminal_line.Board(tmp_path, "earlier").note(earlier)
    assert board.total() == {"processed": 5, "read": 1}
    assert terminal_line.width_of(1 << 30) is None


def test_a_shell_takes_the_login_over() -> None:
    secrets = login.credentials('NATS_USER="fpaas"\nNATS_PASSWORD="a b"\n')
    assert login.exports("tls://x:1", secrets, "/ca.pem") == (
        "export NATS_URL=tls://x:1\nexport NATS_USER=fpaas\n"
        "export NATS_PASSWORD='a b'\nexport NATS_CA=/ca.pem"
    )
    with pytest.raises(ValueError, match="NATS_USER"):
        login.credentials("nothing")


SSH = """#!/bin/sh
# Runs what comes behind the host's name here, as sshd does there.
while [ "$1" != nats-1.example ]; do [ $# -gt 1 ] || exit 255; shift; done
shift
exec sh -c "$*"
"""
SUDO = """#!/bin/sh
while [ "$1" != root ]; do shift; done
shift
echo became root >>"$0.log"
exec "$@"
"""


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("nats_prot=1", "nats_prot: there is no such variable"),
        ("nonsense", "-e nonsense: has no `=`; expected NAME=VALUE"),
        ("nats_port=70000", "nats_port: '70000' is not allowed; allowed: a port, 1 to 65535"),
    ],
)
def test_a_login_that_cannot_be_told_says_why_in_the_lab_s_words(
    tmp_path: Path, extra: str, said: str
) -> None:
    inventory = tmp_path / "lab.yml"
    hosts = {"a": {"ansible_connection": "local"}}
    inventory.write_text(json.dumps({"all": {"children": {"nats": {"hosts": hosts}}}}))
    command = [str(SCRIPTS / "fpaas"), "login", "-i", str(inventory), "-e", extra]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {inventory}: {said}")
    assert "PLAY RECAP" not in done.stderr


def test_a_login_names_no_authority_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "credentials").write_text('NATS_USER="fpaas"\nNATS_PASSWORD="secret"\n')
    command = [str(SCRIPTS / "fpaas"), "login", "-e", f"lab_dir={tmp_path}", "-e", "nats_tls=true"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert f"{tmp_path}/ca.pem: does not exist: the lab's NATS speaks no TLS" in done.stderr
    (tmp_path / "ca.pem").touch()
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert f"export NATS_CA={tmp_path}/ca.pem" in done.stdout.splitlines()


def test_a_run_is_watched_over_its_inventorys_hosts(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ansible's SSH connection and its way to become root; ssh and sudo are stand-ins."""
    lab = tmp_path / "a lab"
    lab.mkdir()
    (lab / "current").symlink_to(bundle / "hosts" / "localhost")
    for name, text in {"ssh": SSH, "sudo": SUDO}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    reached = {
        "ansible_ssh_executable": str(tmp_path / "ssh"),
        "ansible_become_exe": str(tmp_path / "sudo"),
        "lab_dir": str(lab),
    }
    host = {"nats-1": {"ansible_host": "nats-1.example", **reached}}
    gone = {"gone-1": {"ansible_host": "gone-1.example", **reached}}
    inventory = tmp_path / "lab.yml"
    groups = {"nats": {"hosts": host}, "consumers": {"hosts": {**host, **gone}}}
    inventory.write_text(json.dumps({"all": {"children": groups}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "ansible.posix.profile_tasks")
    hosts = source.OverHosts(inventory)
    dumps = hosts.dumps()
    assert {name: bool(one.statuses) for name, one in dumps.items()} == {"nats-1": True}
    assert hosts.run(dumps).run_id == RawRun().spec.run_id
    # The viewer's own clock may be off by years: the run's time is by its hosts' clocks.
    monkeypatch.setattr(common_time, "now_ns", lambda: 0)
    assert abs(hosts.now_unix_ns(RawRun().spec, dumps) / 1e9 - time.time()) < 60
    # Agents' files are nobody else's to read.
    assert (tmp_path / "sudo.log").exists()
    [unreached] = hosts.problems()
    assert unreached.startswith("gone-1: does not answer: ")


def test_an_event_names_who_saw_it(bundle: Path) -> None:
    with EventLog(bundle / "hosts" / "localhost" / "shuffler.events.jsonl") as log:
        begin_ns = RawRun().spec.t0_unix_ns + 12 * NS_PER_S
        log.begin("agent_paused", begin_ns, {}, end_unix_ns=begin_ns + NS_PER_S)
    assert (12.0, "localhost: shuffler: agent paused for 1.0 s") in seen(bundle, 20).events


def test_ansible_gets_a_locale_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses LC_ALL=C, so neither watch nor login found out about hosts."""
    for name in utf8_locale.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C")
    lab = {"ansible_connection": "local", "lab_dir": str(tmp_path)}
    inventory = tmp_path / "lab.yml"
    inventory.write_text(json.dumps({"all": {"children": {"nats": {"hosts": {"here": lab}}}}}))
    with pytest.raises(BadInput, match=r"^here: no run is in progress there"):
        source.OverHosts(inventory).dumps()


def test_a_connection_that_is_still_away_is_lost(bundle: Path) -> None:
    with EventLog(bundle / "hosts" / "localhost" / "shuffler.events.jsonl") as log:
        begin_ns = RawRun().spec.t0_unix_ns + 12 * NS_PER_S
        log.begin("nats_reconnected", begin_ns, {"cause": "closed by the server"})
    assert (12.0, "localhost: shuffler: NATS connection lost …") in seen(bundle, 20).events
