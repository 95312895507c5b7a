"""What is said of a run while it goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fpaas import spec
from fpaas.control.play_notes import RunProgress
from fpaas.control.progress import (
    BACK_WITHIN_S,
    LATE_START_S,
    NATS_AWAY_S,
    SILENT_S,
    STARTED_AGAIN_WITHIN_S,
    Progress,
    bar_line,
    line,
)
from fpaas.records.control import Trouble
from fpaas.records.status import AgentStatus
from fpaas.spec import Fault

T0 = 1_000 * spec.NS_PER_S
AGENTS = ("relay", "shuffler", "consumers", "probe")


def at(seconds: float) -> int:
    return T0 + round(seconds * spec.NS_PER_S)


@pytest.fixture
def progress() -> Progress:
    """Of a run with 5 s of warm-up, 10 s of measuring, 3 s of draining."""
    topology = spec.Topology({"consumers": ["here"]}, "nats://n", "http://n", "ws://r")
    run = spec.build(
        spec.read_variables({"bench_warmup_s": 5, "bench_measure_s": 10, "bench_drain_s": 3}),
        run_id="r",
        scenario=spec.Scenario("s", "", ""),
        topology=topology,
        first_seq=1,
    )
    return Progress(replace(run, t0_unix_ns=T0), "here", AGENTS, grace_s=20)


def status(agent: str, state: str, seconds: float, **more: object) -> str:
    return json.dumps({"agent": agent, "state": state, "pid": 7, "unix_ns": at(seconds), **more})


def troubles(progress: Progress, seconds: float) -> dict[str, Trouble]:
    found = progress.problems(at(seconds))
    assert {one.host for one in found} <= {"here"}
    return {str(one.parameters["agent"]): one.problem for one in found}


def everybody(state: str, seconds: float) -> list[str]:
    return [status(agent, state, seconds) for agent in AGENTS]


@pytest.mark.parametrize(
    ("seconds", "phase"),
    [
        (-1, "starting"),
        (0, "warm-up"),
        (5, "measuring"),
        (15, "draining"),
        (18, "settling"),
        (99, "over"),
    ],
)
def test_phases(progress: Progress, seconds: float, phase: str) -> None:
    assert progress.run.phase(at(seconds)) == phase


def test_line_shows_time_phase_and_figures(progress: Progress) -> None:
    progress.update(
        [
            status("relay", "running", 6, figures={"offered": 2700, "sent": 1}),
            status("shuffler", "running", 6, figures={"read": 2699, "published": 2698}),
            status("consumers", "running", 6, figures={}),
        ]
    )
    assert line(progress.at(at(6))) == (
        "here:    6 s of 20 s | measuring | relay: offered 2700 | "
        "shuffler: read 2699, published 2698"
    )


def test_good_run_is_finished_when_all_are_done(progress: Progress) -> None:
    progress.update(everybody("running", 10))
    assert not progress.finished(at(10))
    progress.update(everybody("done", 20)[:-1])
    assert not progress.finished(at(20))
    progress.update(everybody("done", 20))
    assert progress.finished(at(20))
    assert progress.problems(at(20)) == []


def test_failure_is_told_at_once_with_its_reason(progress: Progress) -> None:
    progress.update(everybody("running", 6))
    progress.update([status("relay", "failed", 6, message="disk full")])
    (failed,) = progress.problems(at(6))
    assert (failed.problem, failed.host) == (Trouble.FAILED, "here")
    assert failed.parameters == {"agent": "relay", "message": "disk full"}
    assert progress.finished(at(6))


def test_death_is_told_by_pid(progress: Progress) -> None:
    progress.update(everybody("running", 6))
    assert progress.pids == [7, 7, 7, 7]
    progress.update([], gone=[7])
    # The shuffler is started again.
    rest = [agent for agent in AGENTS if agent != "shuffler"]
    assert troubles(progress, 6) == dict.fromkeys(rest, Trouble.DIED)
    too_late_s = 6 + STARTED_AGAIN_WITHIN_S + 1
    assert troubles(progress, too_late_s) == dict.fromkeys(AGENTS, Trouble.DIED)
    assert {one.parameters["pid"] for one in progress.problems(at(6))} == {7}


def test_process_that_ended_after_it_was_done_did_not_die(progress: Progress) -> None:
    progress.update(everybody("done", 20), gone=[7])
    assert progress.pids == []
    assert progress.problems(at(20)) == []


def test_agents_have_a_while_to_come_up(progress: Progress) -> None:
    assert troubles(progress, LATE_START_S - 1) == {}
    assert troubles(progress, LATE_START_S + 1) == dict.fromkeys(AGENTS, Trouble.NOT_STARTED)


def test_an_agent_may_be_silent_until_the_run_begins(progress: Progress) -> None:
    progress.update(everybody("starting", -SILENT_S - 10))
    assert troubles(progress, -1) == {}
    assert troubles(progress, SILENT_S - 1) == {}
    assert troubles(progress, SILENT_S + 1)["consumers"] == Trouble.SILENT


def test_silence_is_told(progress: Progress) -> None:
    progress.update(everybody("running", 0))
    assert troubles(progress, SILENT_S - 1) == {}
    assert troubles(progress, SILENT_S + 1)["relay"] == Trouble.SILENT
    assert progress.problems(at(SILENT_S + 1))[0].parameters["silent_s"] == 16


def test_nobody_is_waited_for_without_end(progress: Progress) -> None:
    progress.update(everybody("running", 41))
    assert troubles(progress, 39) == {}
    assert troubles(progress, 41)["probe"] == Trouble.NOT_ENDED


def test_being_stopped_is_a_problem_only_before_the_end(progress: Progress) -> None:
    progress.update(everybody("stopped", 6))
    assert troubles(progress, 6)["relay"] == Trouble.STOPPED
    assert troubles(progress, 19) == {}


@pytest.mark.parametrize("line", ["", "{", "[]", "7", '{"agent": "relay"}', "gone 7"])
def test_half_written_files_are_passed_over(line: str) -> None:
    assert AgentStatus.parse(line) is None


def test_trouble_of_nats_is_told_while_it_lasts(progress: Progress) -> None:
    for trouble in ("", "http://127.0.0.1:8222/varz: refused", ""):
        progress.update([status("probe", "running", 3, message=trouble)])
        assert progress.nats_trouble == trouble
    progress.update([status("probe", "failed", 4, message="no final snapshot")])
    assert progress.nats_trouble == ""


def test_what_a_fault_of_the_runs_own_does_is_no_trouble_until_it_is_to_be_back() -> None:
    topology = spec.Topology(
        {"consumers": ["here"], "shuffler": ["here", "there"]}, "nats://n", "http://n", "ws://r"
    )
    kill = {"do": "kill", "on": "consumers", "at_s": 6, "for_s": 2}
    run = spec.build(
        spec.read_variables({"bench_measure_s": 60, "bench_faults": [kill]}),
        run_id="r",
        scenario=spec.Scenario("s", "", ""),
        topology=topology,
        first_seq=1,
    )
    progress = Progress(replace(run, t0_unix_ns=T0), "here", AGENTS, grace_s=20)

    def problems(seconds: float, agent: str = "consumers") -> dict[str, Trouble]:
        others = [status(one, "running", seconds, pid=8) for one in AGENTS if one != agent]
        progress.update([*others, status(agent, "running", 5)], gone=[7])
        return troubles(progress, seconds)

    assert problems(5.5) == {"consumers": Trouble.DIED}
    assert problems(6.5) == {}
    assert not progress.finished(at(6.5))
    assert problems(8 + BACK_WITHIN_S - 1) == {}
    assert problems(8 + BACK_WITHIN_S + 1) == {"consumers": Trouble.DIED}
    assert problems(6.5, "relay") == {"relay": Trouble.DIED}


def nats_problems(progress: Progress, seconds: float) -> list[Trouble]:
    probe = status("probe", "running", seconds, message="nobody answers")
    progress.update([*everybody("running", seconds)[:-1], probe])
    return [one.problem for one in progress.problems(at(seconds))]


def test_a_run_without_its_nats_is_not_waited_for(progress: Progress) -> None:
    progress = Progress(progress.run, "here", AGENTS, grace_s=100)
    assert nats_problems(progress, 1) == []
    assert nats_problems(progress, NATS_AWAY_S) == []
    # It answered meanwhile.
    progress.update(everybody("running", NATS_AWAY_S + 0.5))
    assert nats_problems(progress, NATS_AWAY_S + 1) == []
    assert nats_problems(progress, NATS_AWAY_S + 2) == []
    assert nats_problems(progress, 2 * NATS_AWAY_S + 2) == [Trouble.NATS_DOWN]


def test_a_fault_of_the_runs_own_may_keep_nats_away(progress: Progress) -> None:
    hosts = {"consumers": ["here"], "nats": ["here"]}
    pause = Fault("pause", "nats", at_s=1, for_s=60)
    faulty = Progress(
        replace(progress.run, hosts=hosts, faults=[pause]), "here", AGENTS, grace_s=100
    )
    assert nats_problems(faulty, 2) == []
    assert nats_problems(faulty, 61 + BACK_WITHIN_S) == []
    assert nats_problems(faulty, 62 + BACK_WITHIN_S) == [Trouble.NATS_DOWN]


def test_a_cluster_does_without_one_of_its_servers(progress: Progress) -> None:
    stream = replace(progress.run.stream, replicas=3)
    cluster = Progress(replace(progress.run, stream=stream), "here", AGENTS, grace_s=100)
    assert nats_problems(cluster, 1) == []
    assert nats_problems(cluster, 2 * NATS_AWAY_S) == []


def test_whose_disk_is_full_cannot_tell_of_itself(progress: Progress) -> None:
    full = Fault(do="fill_disk", on="here", at_s=1, for_s=30)
    run = replace(progress.run, faults=[full])
    of_fault = Progress(run, "here", AGENTS, grace_s=60)
    of_fault.update(everybody("running", 1))
    assert not of_fault.problems(at(31 + BACK_WITHIN_S))
    assert troubles(of_fault, 32 + BACK_WITHIN_S)["probe"] == Trouble.SILENT


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (20, "measuring ███░░░░░░"),
        (40, "measuring ███░░░░░░░░░ 0:30 left"),
        (80, "measuring ███░░░░░░░░░ 0:30 left  offered 1,234,567, read 1,234,560"),
        (100, "measuring ██████░░░░░░░░░░░░░░░░░░ 0:30 left  offered 1,234,567, read 1,234,560"),
    ],
)
def test_a_line_at_a_terminal_has_whole_figures_only(width: int, shown: str) -> None:
    now = RunProgress(host="one", elapsed_s=10, total_s=40, phase="measuring", figures={})
    figures = {"offered": 1234567, "read": 1234560, "published": 1234559, "polls": 10**9}
    line = bar_line(now, figures, width)
    assert line == shown
    assert len(line) < width
