from __future__ import annotations

import itertools
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.consumers.schedule import PollSchedule, mix64, uniform

T0 = 1_800_000_000_000_000_000
SCHEDULES = st.builds(
    PollSchedule,
    t0_unix_ns=st.just(T0),
    interval_ns=st.integers(10_000_000, 3_600_000_000_000),
    jitter_pct=st.floats(0, 100),
    seed=st.integers(0, 2**63 - 1),
)
AWAY = st.integers(1, 60).flatmap(
    lambda away_s: st.builds(
        PollSchedule,
        t0_unix_ns=st.just(T0),
        interval_ns=st.integers(10_000_000, 60_000_000_000),
        jitter_pct=st.floats(0, 100),
        seed=st.integers(0, 2**63 - 1),
        away_ns=st.just(away_s * 10**9),
        away_every_ns=st.integers(away_s * 2 * 10**9, away_s * 9 * 10**9),
    )
)


def dues(schedule: PollSchedule, consumer: int, polls: int) -> list[int]:
    due = [schedule.first_due(consumer)]
    for poll in range(1, polls):
        due.append(schedule.next_due(consumer, poll, due[-1]))
    return due


@given(SCHEDULES, st.integers(0, 10_000))
def test_polls_start_within_one_interval_of_t0_and_never_go_backwards(
    schedule: PollSchedule, consumer: int
) -> None:
    due = dues(schedule, consumer, 30)

    assert T0 <= due[0] <= T0 + schedule.interval_ns
    assert due == sorted(due)


@given(SCHEDULES, st.integers(0, 10_000))
def test_a_poll_stays_within_its_jitter_of_its_place(schedule: PollSchedule, consumer: int) -> None:
    jitter_ns = schedule.interval_ns * schedule.jitter_pct / 100
    # Without jitter, the schedule is the grid of the same seed.
    grid = PollSchedule(T0, schedule.interval_ns, 0, schedule.seed)

    for place, due in zip(dues(grid, consumer, 30), dues(schedule, consumer, 30), strict=True):
        assert abs(due - place) <= jitter_ns + 1


@given(SCHEDULES, st.integers(0, 10_000))
def test_the_mean_interval_is_the_interval_however_long_it_runs(
    schedule: PollSchedule, consumer: int
) -> None:
    last = dues(schedule, consumer, 200)[-1]

    assert last - T0 == pytest.approx(199.5 * schedule.interval_ns, abs=1.6 * schedule.interval_ns)


@given(AWAY, st.integers(0, 10_000))
def test_no_poll_is_due_while_its_class_is_away(schedule: PollSchedule, consumer: int) -> None:
    due = dues(schedule, consumer, 60)
    here_ns = schedule.away_every_ns - schedule.away_ns
    assert all((one - T0) % schedule.away_every_ns < here_ns for one in due)
    assert due == sorted(due)
    # The schedule rests meanwhile: it is that of who is never away, with pauses.
    always = dues(replace(schedule, away_ns=0), consumer, 60)
    assert [one - schedule.away_ns * schedule.absences_before(one) for one in due] == always


@given(st.one_of(SCHEDULES, AWAY), st.integers(0, 10_000), st.data())
def test_polls_due_before_a_time_are_counted_without_walking_through_them(
    schedule: PollSchedule, consumer: int, data: st.DataObject
) -> None:
    due = dues(schedule, consumer, 60)
    # Times around each due time, those before T0 and between two polls.
    around = data.draw(st.sampled_from(due[:50])) + data.draw(st.integers(-2, 2))
    anywhere = T0 + data.draw(st.integers(-schedule.interval_ns, 45 * schedule.interval_ns))

    for unix_ns in (around, anywhere):
        assert schedule.due_before(consumer, unix_ns) == sum(one < unix_ns for one in due)


def test_without_jitter_the_grid_is_exact() -> None:
    due = dues(PollSchedule(T0, 60 * 10**9, 0, seed=1), 3, 5)

    assert {later - earlier for earlier, later in itertools.pairwise(due)} == {60 * 10**9}


def test_first_phases_spread_over_the_interval() -> None:
    schedule = PollSchedule(T0, 60 * 10**9, 0, seed=1)

    by_tenth = [0] * 10
    for consumer in range(10_000):
        by_tenth[(schedule.first_due(consumer) - T0) * 10 // (60 * 10**9)] += 1

    assert min(by_tenth) > 850
    assert max(by_tenth) < 1150


def test_the_seed_decides() -> None:
    one, same, other = (PollSchedule(T0, 10**9, 20, seed) for seed in (1, 1, 2))

    assert dues(one, 5, 50) == dues(same, 5, 50)
    assert dues(one, 5, 50) != dues(other, 5, 50)
    assert dues(one, 5, 50) != dues(one, 6, 50)


def test_draws_are_uniform() -> None:
    draws = [uniform(7, consumer, draw) for consumer in range(100) for draw in range(100)]

    assert all(0 <= value < 1 for value in draws)
    assert statistics.mean(draws) == pytest.approx(0.5, abs=0.01)
    assert statistics.stdev(draws) == pytest.approx(12**-0.5, abs=0.01)
    assert len(set(draws)) == len(draws)


def test_mix64_is_splitmix64() -> None:
    # The first outputs of the reference generator seeded with 0.
    assert mix64(0) == 0xE220A8397B1DCDAF
    assert mix64(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4
