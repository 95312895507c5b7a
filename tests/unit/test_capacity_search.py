"""The capacity search: it ends, its interval holds the truth, it can be ended anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.control import capacity_question
from fpaas.records.sweep import Question
from fpaas.search import capacity
from fpaas.search.capacity import Answer, Evidence, StoppedBy, Try, decide
from fpaas.spec import RunSpec, Scenario, SpecError, Topology, build, read_variables

CONSUMERS = Question("bench_consumers", 100, 1, 100_000, is_integer=True)
POLLS = Question("bench_poll_interval_s", 10, 3600, 0.1, is_integer=False)

Play = Callable[[float], str]


def search(question: Question, play: Play) -> tuple[Answer, dict[float, list[str]]]:
    """Search to the end, deciding from the runs alone each time."""
    runs: dict[float, list[str]] = {}
    while isinstance(step := decide(question, Evidence(runs)), Try):
        runs.setdefault(step.value, []).append(play(step.value))
    return step, runs


def up_to(limit: float, beyond: str = "fail") -> Play:
    return lambda value: "pass" if value <= limit else beyond


@given(limit=st.integers(1, 99_999), start=st.integers(1, 100_000))
def test_the_interval_holds_the_capacity(limit: int, start: int) -> None:
    question = Question("bench_consumers", start, 1, 100_000, is_integer=True)
    answer, runs = search(question, up_to(limit))
    assert answer.holds_at is not None
    assert answer.stopped_at is not None
    assert answer.holds_at <= limit < answer.stopped_at
    within = max(1.0, question.resolution * answer.holds_at)
    assert answer.stopped_at - answer.holds_at <= within
    assert answer.holds_runs == answer.stopped_runs == (3, 3)
    assert answer.stopped_by is StoppedBy.SYSTEM
    assert sum(map(len, runs.values())) <= capacity.TOTAL_RUNS_MAX


@given(limit=st.floats(0.11, 3599))
def test_the_shortest_poll_interval_is_found_alike(limit: float) -> None:
    answer, _ = search(POLLS, lambda value: "pass" if value >= limit else "fail")
    assert answer.holds_at is not None
    assert answer.stopped_at is not None
    assert answer.stopped_at < limit <= answer.holds_at
    assert answer.holds_at / answer.stopped_at <= 1 + POLLS.resolution + 1e-9


def test_values_have_few_digits() -> None:
    _, runs = search(CONSUMERS, up_to(8_765))
    assert set(runs) == {100, 200, 400, 800, 1600, 3200, 6400, 12_800, 9600, 8000, 8800, 8400}


def test_a_run_that_fails_by_chance_is_not_believed() -> None:
    failed_once: set[float] = set()

    def play(value: float) -> str:
        if value == 400 and value not in failed_once:
            failed_once.add(value)
            return "fail"
        return up_to(8_765)(value)

    answer, runs = search(CONSUMERS, play)
    assert runs[400] == ["fail", "pass", "pass"]
    assert answer.holds_at is not None
    assert answer.holds_at <= 8_765


def test_an_end_that_turns_over_moves_the_bracket() -> None:
    played: dict[float, int] = {}

    def play(value: float) -> str:
        played[value] = played.get(value, 0) + 1
        if value == 8400:  # passes once, by luck
            return "pass" if played[value] == 1 else "fail"
        return up_to(8_765)(value)

    answer, _ = search(CONSUMERS, play)
    assert answer.stopped_at == 8400
    assert answer.holds_at is not None
    assert 8400 - answer.holds_at <= 0.05 * answer.holds_at


def test_invalid_runs_are_the_generators_limit() -> None:
    answer, _ = search(CONSUMERS, up_to(500, beyond="invalid"))
    assert answer.stopped_by is StoppedBy.GENERATOR


def test_nothing_stops_before_the_range_does() -> None:
    answer, _ = search(CONSUMERS, up_to(10**9))
    assert (answer.holds_at, answer.stopped_at) == (100_000, None)
    assert answer.stopped_by is StoppedBy.RANGE
    assert answer.holds_runs == (3, 3)


@pytest.mark.parametrize("beyond", ["fail", "invalid"])
def test_nothing_holds(beyond: str) -> None:
    answer, _ = search(CONSUMERS, up_to(0, beyond))
    assert (answer.holds_at, answer.stopped_at) == (None, 1)


@given(seed=st.integers(0, 10_000), chance=st.floats(0, 1))
def test_the_search_ends_however_noisy_runs_are(seed: int, chance: float) -> None:
    draw = random.Random(seed)
    answer, runs = search(CONSUMERS, lambda _: "pass" if draw.random() < chance else "fail")
    assert sum(map(len, runs.values())) <= capacity.TOTAL_RUNS_MAX + capacity.RUNS_MAX
    if answer.holds_at is not None and answer.stopped_at is not None:
        assert answer.holds_at < answer.stopped_at


@given(
    limit=st.integers(1, 10_000),
    start=st.integers(1, 10_000),
    resolution=st.floats(0.001, 0.5),
)
def test_any_resolution_ends(limit: int, start: int, resolution: float) -> None:
    question = Question("x", start, 1, 10_000, is_integer=True, resolution=resolution)
    answer, _ = search(question, up_to(limit))
    assert answer.holds_at is not None
    assert answer.holds_at <= limit


def test_a_long_run_that_disagrees_moves_the_answer() -> None:
    question = Question("x", 100, 1, 10_000, is_integer=True, needs_long_run=True)
    short, long = up_to(2_000), up_to(1_500)
    runs: dict[float, list[str]] = {}
    long_runs: dict[float, list[str]] = {}
    while isinstance(step := decide(question, Evidence(runs, long_runs)), Try):
        into, play = (long_runs, long) if step.is_long else (runs, short)
        into.setdefault(step.value, []).append(play(step.value))
    assert step.holds_at is not None
    assert step.holds_at <= 1_500
    assert long_runs[step.holds_at] == ["pass"]
    refuted = [value for value, verdicts in long_runs.items() if "fail" in verdicts]
    assert refuted
    assert all(long_runs[value] == ["fail", "fail"] for value in refuted)


def test_runs_that_were_disturbed_below_a_load_that_was_measured_are_played_again() -> None:
    disturbed: set[float] = set()

    def play(value: float) -> str:
        if value not in disturbed and value != 100:  # the first run at each value but the first
            disturbed.add(value)
            return "invalid"
        return up_to(8_765)(value)

    answer, runs = search(CONSUMERS, play)
    assert answer.stopped_by is StoppedBy.SYSTEM
    assert answer.holds_at is not None
    assert answer.stopped_at is not None
    assert answer.holds_at <= 8_765 < answer.stopped_at
    assert answer.holds_runs == answer.stopped_runs == (3, 3)
    assert sum(map(len, runs.values())) <= capacity.TOTAL_RUNS_MAX


def test_a_value_that_is_always_disturbed_gives_no_answer_rather_than_a_wrong_one() -> None:
    answer, runs = search(CONSUMERS, lambda value: "invalid" if value < 100 else "fail")
    assert answer.stopped_by is StoppedBy.NOISE
    assert max(map(len, runs.values())) == capacity.RUNS_MAX


def question_of(variable: str, current: float, **variables: float) -> Question:
    def spec_at(value: float) -> RunSpec:
        here = {group: ["h"] for group in ("relay", "nats", "shuffler", "consumers")}
        return build(
            read_variables(variables | {variable: value}),
            run_id="r",
            scenario=Scenario("s", "t", "g"),
            topology=Topology(here, "nats://h", "http://h", "ws://h"),
            first_seq=1,
        )

    asked = dict.fromkeys(("least", "most", "long_run")) | {
        "variable": variable,
        "resolution_pct": 5,
    }
    return capacity_question.read(asked, current, spec_at, lambda _: {})


def test_it_starts_below_an_overload_that_is_of_its_own_variable() -> None:
    # Batches of 50 every 5 s are 10/s.
    polls = {"bench_poll_interval_s": 5, "bench_batch_size": 50}
    assert question_of("bench_firehose_rate_per_s", 450, **polls).start == 450 / 64
    # Fewer consumers would not be owed less.
    assert question_of("bench_consumers", 100, bench_warmup_s=10, **polls).start >= 100


def test_it_starts_where_polls_still_take_what_is_owed() -> None:
    # Up to the overload the plan warns of the short drain; the count of sentences stays the same.
    question = question_of(
        "bench_firehose_rate_per_s",
        10,
        bench_poll_interval_s=1,
        bench_batch_size=50,
        bench_warmup_s=3,
        bench_measure_s=8,
        bench_drain_s=1,
    )
    assert question.start == 40


def test_an_answer_that_no_long_run_bore_out_is_none() -> None:
    question = Question("x", 100, 1, 10_000, is_integer=True, needs_long_run=True)
    runs: dict[float, list[str]] = {}
    long_runs: dict[float, list[str]] = {}
    while isinstance(step := decide(question, Evidence(runs, long_runs)), Try):
        into = long_runs if step.is_long else runs
        into.setdefault(step.value, []).append(
            "invalid" if step.is_long else up_to(2_000)(step.value)
        )
    assert step.stopped_by is StoppedBy.NOISE
    assert max(map(len, long_runs.values())) == capacity.RUNS_MAX


def test_ends_that_are_mostly_disturbed_are_no_answer() -> None:
    played: dict[float, int] = {}

    def play(value: float) -> str:
        played[value] = played.get(value, 0) + 1
        if value > 8_765:
            return "fail"
        return "pass" if played[value] == 1 else "invalid"

    answer, _ = search(CONSUMERS, play)
    assert answer.stopped_by is StoppedBy.NOISE


def test_a_bracket_as_wide_as_the_resolution_is_narrow_enough() -> None:
    question = Question("x", 20, 1, 1000, is_integer=False, resolution=0.1)
    runs = {20.0: ["pass"] * 3, 22.0: ["fail"] * 3}
    assert isinstance(decide(question, Evidence(runs)), Answer)


def not_planned(_: float) -> RunSpec:
    raise AssertionError


def demand_of(variable: str, most: float | None = None) -> Question:
    asked = dict.fromkeys(("least", "most", "long_run")) | {
        "variable": variable,
        "resolution_pct": 10,
        "most": most,
    }

    available = {"lab_consumers_hosts": 5.0}
    return capacity_question.read(asked, None, not_planned, lambda _: {}, available)


def test_the_fewest_hosts_that_hold_a_load_are_found() -> None:
    question = demand_of("lab_consumers_hosts")
    answer, runs = search(question, lambda value: "pass" if value >= 3 else "invalid")
    assert question.start == 5
    assert (answer.holds_at, answer.stopped_at) == (3, 2)
    assert answer.stopped_by is StoppedBy.GENERATOR
    assert max(runs) == 5


def test_the_least_cores_that_hold_a_load_are_found() -> None:
    answer, _ = search(
        demand_of("nats_cpu_max_cores", 4), lambda value: "pass" if value >= 0.7 else "fail"
    )
    assert answer.holds_at is not None
    assert answer.stopped_at is not None
    assert 0.7 <= answer.holds_at <= 0.77
    assert 0.6 < answer.stopped_at < 0.7


def test_a_demand_needs_hosts_and_what_there_is() -> None:
    with pytest.raises(SpecError, match="capacity_most: say how much of nats_cpu_max_cores"):
        demand_of("nats_cpu_max_cores")
    asked = dict.fromkeys(("least", "most", "long_run"))
    asked |= {"variable": "lab_consumers_hosts", "resolution_pct": 5}
    with pytest.raises(SpecError, match="is of hosts with systemd"):
        capacity_question.read(asked, None, not_planned, lambda _: {})
