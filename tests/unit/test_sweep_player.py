"""Playing a sweep, with a playbook that only writes the summary of a run."""

from __future__ import annotations

import fcntl
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fpaas.control import frontier_player, play_notes
from fpaas.control.capacity_player import CapacityPlayer
from fpaas.control.frontier_player import FrontierPlayer
from fpaas.control.sweep_player import Player
from fpaas.records import files
from fpaas.records import sweep as sweep_record
from fpaas.records.sweep import Question, Sweep, SweepPoint
from fpaas.spec import SpecError
from fpaas.sweep import record
from tests.support import sweep_runs

CONSUMERS = [10, 50, 100]


class Killed(BaseException):
    """The sweep's process ended here."""


@dataclass
class Lab:
    """A lab whose runs end as `ends` says, one after the other; all pass once that is used up."""

    results: Path
    ends: list[str] = field(default_factory=list)
    holds_up_to: int = 10**9
    beyond: str = "fail"
    overloaded_above: int = 10**9
    #: Consumers whose first run has a load that grows all the time.
    grows_at: list[int] = field(default_factory=list)
    measured_s: list[float] = field(default_factory=list)
    played: list[tuple[str, int | None, str]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def __call__(self, playbook: str, variables: dict[str, Any], log: Path) -> int:
        run_id, consumers = variables["run_id"], variables.get("bench_consumers")
        self.played.append((playbook, consumers, run_id))
        end = self.ends.pop(0) if self.ends else "pass"
        if end == "pass" and consumers and consumers > self.holds_up_to:
            end = self.beyond
        if end == "killed":
            raise Killed
        if end == "refused":
            log.write_text("what people read\n")
            failed = play_notes.TaskFailed("h1", "Look", "nats_port: is in use")
            files.write(log.with_suffix(play_notes.SUFFIX), failed)
            return 2
        status = end.removesuffix(", killed")
        content = sweep_runs.summary(consumers or 1, 5.0, status.partition(" ")[0])
        if status.startswith("invalid "):
            lab_pct = float(status.partition(" ")[2])
            content["verdict"]["reason_codes"] = [sweep_runs.SATURATED]
            content["resources"]["processes"] = {"nats": {"cpu_pct": {"mean": lab_pct}}}
        if consumers and consumers > self.overloaded_above:
            content["goals"] = [sweep_runs.RULED_OUT]
        self.measured_s.append(variables.get("bench_measure_s", 0))
        (self.results / run_id / "figures").mkdir(parents=True)
        (self.results / run_id / "summary.json").write_text(json.dumps(content))
        if consumers in self.grows_at:
            self.grows_at.remove(consumers)
            rows = [f"calls_open,pulls,{second},{second}" for second in range(30)]
            series = "\n".join(["series,of,seconds_since_t0,value", *rows])
            (self.results / run_id / "figures/series.csv").write_text(series)
        if end.endswith("killed"):
            raise Killed
        return 0

    def player(
        self, *, repeats: int = 1, retries: int = 1, collects: bool = False, **variables: float
    ) -> Player:
        sweep = Sweep(
            sweep_id="tried",
            name="sweep",
            title="Sweep",
            grid={"bench_consumers": CONSUMERS},
            repeats=repeats,
            variables={"bench_measure_s": 30.0, **variables},
            hosts={"nats": ["localhost"]},
            points=[SweepPoint(i, {"bench_consumers": n}) for i, n in enumerate(CONSUMERS, 1)],
        )
        return Player(
            sweep,
            [30.0] * len(CONSUMERS),
            results=self.results,
            goal="how cost grows",
            retries=retries,
            collects=collects,
            run_playbook=self,
            show=lambda text, _: self.shown.append(text),
        )

    def searcher(self, *, start: int = 10, needs_long_run: bool = False) -> CapacityPlayer:
        question = Question(
            "bench_consumers", start, 1, 1000, is_integer=True, needs_long_run=needs_long_run
        )
        sweep = Sweep(
            sweep_id="tried",
            name="capacity",
            title="Capacity",
            grid={"bench_consumers": [start]},
            repeats=1,
            variables={
                "bench_warmup_s": 3.0,
                "bench_measure_s": 30.0,
                "bench_poll_interval_s": 5.0,
            },
            hosts={"nats": ["localhost"]},
            points=[SweepPoint(1, {"bench_consumers": start})],
            search=question,
        )
        return CapacityPlayer(
            sweep,
            [30.0],
            results=self.results,
            goal="the most that holds",
            retries=0,
            collects=False,
            run_playbook=self,
            show=lambda text, _: self.shown.append(text),
        )

    def frontier(self) -> FrontierPlayer:
        grid: dict[str, list[Any]] = {
            "bench_consumers": [10, 20, 40, 80],
            "bench_poll_interval_s": [1.0, 5.0],
        }
        points = [
            {"bench_consumers": consumers, "bench_poll_interval_s": poll}
            for consumers, poll in itertools.product(*grid.values())
        ]
        sweep = Sweep(
            sweep_id="tried",
            name="frontier",
            title="Frontier",
            grid=grid,
            repeats=1,
            variables={"bench_warmup_s": 3.0, "bench_measure_s": 30.0},
            hosts={"nats": ["localhost"]},
            points=[SweepPoint(i, point) for i, point in enumerate(points, 1)],
        )
        frontier_player.prepare(sweep)
        return FrontierPlayer(
            sweep,
            [30.0] * len(points),
            results=self.results,
            goal="which loads hold",
            retries=0,
            collects=False,
            run_playbook=self,
            show=lambda text, _: self.shown.append(text),
        )

    @property
    def directory(self) -> Path:
        return self.results / "sweeps/tried"

    @property
    def consumers(self) -> list[int | None]:
        return [consumers for _, consumers, _ in self.played]

    def statuses(self) -> list[list[str | None]]:
        return [[run.status for run in p.runs] for p in record.load(self.directory).points]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    seconds = iter(range(10_000))

    class Clock:
        @staticmethod
        def now(_: object) -> Callable[[], str] | object:
            return _Stamp(next(seconds))

    monkeypatch.setattr("fpaas.control.sweep_player.datetime", Clock)
    # Other tests are about the page, which takes its time.
    monkeypatch.setattr("fpaas.report.sweep_page.render", lambda *_: "the page")
    return Lab(tmp_path)


class _Stamp:
    """A time of which there is another each second."""

    def __init__(self, second: int) -> None:
        self._second = second

    def __format__(self, _: str) -> str:
        return f"20260921T{self._second:06}Z"


def test_every_point_is_played_and_shown(lab: Lab) -> None:
    assert lab.player().play() == ""
    assert lab.consumers == CONSUMERS
    assert lab.statuses() == [["pass"]] * 3
    assert "point 2 of 3: bench_consumers=50, about 60 s left" in lab.shown
    assert (lab.directory / "report.html").exists()
    assert (lab.directory / "figures.csv").exists()


def test_runs_have_their_sweep_s_name_for_another_may_begin_in_the_same_second(lab: Lab) -> None:
    lab.player().play()

    assert {run_id.partition("Z-")[2] for _, _, run_id in lab.played} == {"tried"}


def test_repeats_are_played_round_by_round(lab: Lab) -> None:
    assert lab.player(repeats=2).play() == ""
    assert lab.consumers == CONSUMERS * 2
    assert any("point 1 of 3 (run 2 of 2): " in line for line in lab.shown)


def test_an_invalid_run_is_tried_again_as_often_as_asked_for(lab: Lab) -> None:
    lab.ends = ["invalid", "pass", "invalid", "invalid", "fail"]
    said = lab.player().play()
    assert lab.consumers == [10, 10, 50, 50, 100]
    assert lab.statuses() == [["invalid", "pass"], ["invalid", "invalid"], ["fail"]]
    assert said == "bench_consumers=50: invalid: so it is invalid"
    assert sum(line.endswith(", once more") for line in lab.shown) == 2

    lab.played.clear()
    assert lab.player().play() == ""
    assert lab.consumers == [50]
    lab.played.clear()
    assert lab.player().play() == ""
    assert lab.consumers == []
    assert "3 of 3 points are done already" in lab.shown


def test_no_retries_are_none(lab: Lab) -> None:
    lab.ends = ["invalid"]
    assert "bench_consumers=10: invalid" in lab.player(retries=0).play()
    assert lab.consumers == CONSUMERS


def test_what_refuses_the_first_run_ends_the_sweep(lab: Lab) -> None:
    lab.ends = ["refused"]
    with pytest.raises(
        SpecError, match="bench_consumers=10: could not be run: nats_port: is in use"
    ):
        lab.player().play()
    assert len(lab.played) == 1
    assert lab.player().play() == ""


def test_what_refuses_a_later_run_costs_its_point_only(lab: Lab) -> None:
    lab.ends = ["pass", "refused", "refused", "pass"]
    assert lab.player().play() == "bench_consumers=50: invalid: nats_port: is in use"
    assert lab.statuses() == [["pass"], ["no run", "no run"], ["pass"]]


@pytest.mark.parametrize("at", range(6))
def test_killed_at_any_run_it_goes_on_with_what_is_missing(lab: Lab, at: int) -> None:
    lab.ends = [*["pass", "invalid", "pass", "pass, killed", "pass", "pass"][:at], "killed"]
    for _ in range(3):
        try:
            assert lab.player(repeats=2).play() == ""
        except Killed:
            continue
        break
    sweep = record.load(lab.directory)
    assert not sweep.incomplete
    for point in sweep.points:
        of_repetition = [run.repetition for run in point.trusted]
        assert sorted(of_repetition) == [0, 1], point.runs
    assert sum(run.status == "interrupted" for p in sweep.points for run in p.runs) == 1


def test_a_run_that_had_ended_when_its_sweep_was_killed_counts(lab: Lab) -> None:
    lab.ends = ["pass", "fail, killed"]
    with pytest.raises(Killed):
        lab.player().play()
    assert lab.player().play() == ""
    assert lab.consumers == CONSUMERS
    assert lab.statuses() == [["pass"], ["fail"], ["pass"]]


def test_what_the_guard_made_of_an_interrupted_run_does_not_count(lab: Lab) -> None:
    lab.ends = ["invalid, killed"]
    with pytest.raises(Killed):
        lab.player(retries=0).play()
    assert lab.player(retries=0).play() == ""
    assert lab.statuses()[0] == ["interrupted", "pass"]


def test_a_run_that_its_hosts_went_on_with_is_collected(lab: Lab) -> None:
    lab.ends = ["pass", "killed"]
    with pytest.raises(Killed):
        lab.player(collects=True).play()
    interrupted = lab.played[-1][2]
    assert lab.player(collects=True).play() == ""
    assert lab.played[2] == ("collect.yml", None, interrupted)
    assert lab.consumers == [10, 50, None, 100]
    assert lab.statuses() == [["pass"]] * 3


def test_other_conditions_are_refused_and_nothing_is_played(lab: Lab) -> None:
    assert lab.player().play() == ""
    lab.played.clear()
    with pytest.raises(SpecError, match="another bench_measure_s"):
        lab.player(bench_measure_s=5.0).play()
    assert lab.played == []


def test_a_sweep_is_played_once_at_a_time(lab: Lab) -> None:
    lab.directory.mkdir(parents=True)
    with (lab.directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SpecError, match="tried is being played by another"):
            lab.player().play()
    assert lab.player().play() == ""


def test_the_outline_plays_nothing(lab: Lab) -> None:
    outline = lab.player().outline()
    assert re.search(r"3 points, about 3 min, into .*/sweeps/tried:", outline)
    assert "  3: bench_consumers=100" in outline
    assert not lab.directory.exists()


def test_a_capacity_search_ends_with_an_interval(lab: Lab) -> None:
    lab.holds_up_to = 87
    assert lab.searcher().play() == ""
    answer = next(line for line in lab.shown[-1].splitlines())
    assert answer.startswith("Holds at 85 consumers in 3 of 3, fails at 88 consumers in 3 of 3.")


def test_a_capacity_search_that_was_killed_goes_on(lab: Lab) -> None:
    lab.holds_up_to = 87
    lab.ends = ["pass", "pass", "killed"]
    with pytest.raises(Killed):
        lab.searcher().play()
    before = [consumers for _, consumers, _ in lab.played]
    assert before == [10, 20, 40]
    assert lab.searcher().play() == ""
    after = [consumers for _, consumers, _ in lab.played[len(before) :]]
    assert after[0] == 40
    assert after.count(10) == after.count(20) == 0


def test_a_long_run_bears_the_answer_out(lab: Lab) -> None:
    lab.holds_up_to = 87
    assert lab.searcher(needs_long_run=True).play() == ""
    [long] = [
        run for point in record.load(lab.directory).points for run in point.runs if run.is_long
    ]
    assert long.run_id == lab.played[-1][2]
    assert long.status == sweep_record.PASS


def test_a_search_in_which_nothing_holds_fails(lab: Lab) -> None:
    lab.holds_up_to = 0
    assert lab.searcher().play().startswith("Does not hold even at 1 consumers (3 of 3).")


def test_a_search_that_the_lab_refuses_ends_at_once(lab: Lab) -> None:
    lab.ends = ["refused"]
    with pytest.raises(SpecError, match="nats_port: is in use"):
        lab.searcher().play()


def test_a_load_beyond_what_polls_can_take_does_not_hold(lab: Lab) -> None:
    """A run passes whose goal the parameters rule out; as an answer that would be a lie."""
    lab.overloaded_above = 40
    assert lab.searcher().play() == ""
    answer = lab.shown[-1].splitlines()[0]
    assert answer.startswith("Holds at 40 consumers in 3 of 3, fails at 42 consumers in 3 of 3.")
    assert "There: age at delivery, p99: each consumer is owed more than its polls take." in answer


def test_a_search_goes_on_from_where_it_began(lab: Lab) -> None:
    lab.ends = ["pass", "killed"]
    with pytest.raises(Killed):
        lab.searcher().play()
    lab.holds_up_to = 87
    # By now the machine has less memory free, say, and the plan would start from elsewhere.
    assert lab.searcher(start=5).play() == ""
    assert 5 not in lab.consumers
    assert record.load(lab.directory).points[0].variables == {"bench_consumers": 10}
    with pytest.raises(SpecError, match="sweep_id: tried exists"):
        lab.player().play()


def test_a_search_does_not_go_on_from_a_grid(lab: Lab) -> None:
    lab.player().play()
    with pytest.raises(SpecError, match="sweep_id: tried exists and is a sweep over a grid"):
        lab.searcher().play()


def test_runs_of_a_machine_that_others_keep_busy_do_not_count(lab: Lab) -> None:
    lab.holds_up_to = 87
    lab.ends = ["invalid 20", "pass", "invalid 20", "invalid 20", "pass"]
    assert lab.searcher().play() == ""
    assert lab.consumers[:5] == [10, 10, 20, 20, 20]
    answer = lab.shown[-1].splitlines()[0]
    assert answer.startswith("Holds at 85 consumers in 3 of 3, fails at 88 consumers in 3 of 3.")


def test_a_search_on_a_machine_that_others_keep_busy_ends_and_goes_on_later(lab: Lab) -> None:
    lab.holds_up_to = 87
    lab.ends = ["pass"] + ["invalid 20"] * 5
    said = r"localhost was 99 % busy, and the lab took 10 %.*continues"
    with pytest.raises(SpecError, match=said):
        lab.searcher().play()
    assert lab.searcher().play() == ""
    assert lab.consumers[6] == 20


def test_a_machine_that_the_lab_itself_keeps_busy_is_the_generators_limit(lab: Lab) -> None:
    lab.holds_up_to, lab.beyond = 87, "invalid 150"
    assert lab.searcher().play() == ""
    assert "At 88 consumers the lab could not make or measure the load" in lab.shown[-1]


def test_a_lab_that_refuses_everything_is_no_limit_of_the_load(lab: Lab) -> None:
    lab.holds_up_to = 87
    lab.ends = ["pass", "pass", "refused", "refused"]
    with pytest.raises(
        SpecError, match=r"can no longer run what it ran before: nats_port: is in use"
    ):
        lab.searcher().play()
    assert lab.consumers == [10, 20, 40, 10]
    assert lab.searcher().play() == ""
    answer = lab.shown[-1].splitlines()[0]
    assert answer.startswith("Holds at 85 consumers in 3 of 3, fails at 88 consumers in 3 of 3.")


def test_a_load_that_the_lab_refuses_is_the_generators_limit(lab: Lab) -> None:
    lab.holds_up_to, lab.beyond = 87, "refused"
    assert lab.searcher().play() == ""
    assert "At 88 consumers the lab could not make or measure the load" in lab.shown[-1]


def test_a_run_whose_load_had_not_settled_does_not_count_and_those_after_it_are_longer(
    lab: Lab,
) -> None:
    lab.holds_up_to = 87
    lab.grows_at = [40]
    assert lab.searcher().play() == ""
    runs = [run for point in record.load(lab.directory).points for run in point.runs]
    [unsettled] = [run for run in runs if run.unsettled]
    assert unsettled.settled_after_s is None
    assert lab.consumers[:4] == [10, 20, 40, 40]
    assert lab.measured_s[:4] == [30, 30, 30, 60]
    assert any("had not settled; further runs measure for longer" in line for line in lab.shown)


def test_a_frontier_is_walked_along_and_goes_on(lab: Lab) -> None:
    lab.holds_up_to = 40
    lab.ends = ["fail", "killed"]
    with pytest.raises(Killed):
        lab.frontier().play()
    assert lab.frontier().play() == ""
    shown = lab.shown[-1]
    assert "Where the load holds, found by" in shown
    assert "a poll every 5 s: holds at 40 consumers, fails at 80 consumers" in shown
    tried = {(p.variables["bench_consumers"]) for p in record.load(lab.directory).shown}
    assert 10 not in tried


def test_a_frontier_is_over_two_variables_of_the_load(lab: Lab) -> None:
    with pytest.raises(SpecError, match="frontier_grid: expected values of two variables"):
        frontier_player.prepare(lab.player()._sweep)
