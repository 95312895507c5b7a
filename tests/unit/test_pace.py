from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fpaas.errors import SpecError
from fpaas.firehose.pace import AsCaptured, AtRate
from fpaas.spec.rates import RATE, RateSchedule, RateStep, frames_in

rates = st.floats(0.1, 50_000)
offsets = st.lists(st.integers(0, 10**12), min_size=1, max_size=20).map(
    lambda times: [time - min(times) for time in sorted(times)]
)
indices = st.integers(0, 10**9)


@given(rates, indices)
def test_rate_counts_a_frame_from_when_it_is_due(rate_per_s: float, index: int) -> None:
    pace = AtRate(rate_per_s)
    due_ns = pace.due_ns(index)
    assert pace.due_count(due_ns) == index + 1
    assert pace.due_count(due_ns - 1) == index


steps = st.lists(
    st.builds(
        RateStep,
        for_s=st.floats(0.1, 30),
        rate_per_s=st.floats(0.1, 5000),
        to_per_s=st.one_of(st.none(), st.floats(0.1, 5000)),
    ),
    min_size=1,
    max_size=6,
)


@given(steps, indices)
def test_schedule_counts_a_frame_from_when_it_is_due(few: list[RateStep], index: int) -> None:
    pace = RateSchedule(few)
    due_ns = pace.due_ns(index)
    assert pace.due_count(due_ns) >= index + 1
    assert pace.due_count(due_ns - 1) <= index
    assert pace.due_ns(index + 1) >= due_ns


def test_steps_follow_each_other_and_repeat() -> None:
    pace = RateSchedule([RateStep(2, 10), RateStep(1, 100)])
    assert [pace.due_count(at * 10**9 - 1) for at in (1, 2, 3, 4, 6)] == [10, 20, 120, 130, 240]
    assert pace.due_ns(20) == 2 * 10**9
    assert pace.due_ns(120 * 1000 + 25) == 3000 * 10**9 + 2_050_000_000
    assert frames_in([RateStep(2, 10), RateStep(1, 100)], 3) == 120
    # A ramp offers as much as its mean, and more of it later.
    ramp = RateSchedule([RateStep(10, 0.1, 1999.9)])
    assert ramp.due_count(10 * 10**9 - 1) == pytest.approx(10_000, abs=1)
    assert ramp.due_count(5 * 10**9) == pytest.approx(2500, abs=20)
    # One step is a steady rate.
    steady = RateSchedule([RateStep(7, 450)])
    assert [steady.due_ns(i) for i in range(9000)] == [AtRate(450).due_ns(i) for i in range(9000)]


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [{"for_s": 1}],
        [{"for_s": 0, "rate_per_s": 5}],
        [{"for_s": 1, "rate_per_s": 0}],
        [{"for_s": 1, "rate_per_s": 5, "to": 6}],
        "[5",
        [5],
        "fast",
    ],
)
def test_what_is_no_schedule_is_refused(bad: object) -> None:
    with pytest.raises(SpecError, match="bench_firehose_rate_per_s"):
        RATE.read("bench_firehose_rate_per_s", bad)


@given(offsets, st.floats(0.01, 1000), st.integers(0, 1000))
def test_capture_counts_a_frame_from_when_it_is_due(
    offsets_ns: list[int], speed: float, index: int
) -> None:
    pace = AsCaptured(offsets_ns, speed)
    due_ns = pace.due_ns(index)
    assert pace.due_count(due_ns) >= index + 1
    assert pace.due_count(due_ns - 1) <= index


@given(offsets, st.floats(0.01, 1000))
def test_capture_never_goes_back(offsets_ns: list[int], speed: float) -> None:
    pace = AsCaptured(offsets_ns, speed)
    due = [pace.due_ns(index) for index in range(3 * len(offsets_ns))]
    assert all(one <= other for one, other in itertools.pairwise(due))


def test_rate_does_not_drift() -> None:
    pace = AtRate(450)
    assert pace.due_ns(1) == 2_222_222
    assert pace.due_ns(450 * 604_800) == 604_800 * 10**9
    assert AtRate(0.1).due_ns(7) == 70 * 10**9


def test_speed_divides_time_and_loops_follow_after_a_mean_gap() -> None:
    pace = AsCaptured([0, 100, 400], speed=2)
    assert [pace.due_ns(index) for index in range(6)] == [0, 50, 200, 300, 350, 500]


def test_frames_of_one_moment_do_not_stand_still() -> None:
    pace = AsCaptured([0, 0], speed=1)
    assert [pace.due_ns(index) for index in range(4)] == [0, 0, 1, 1]


def test_nothing_is_due_before_t0() -> None:
    assert AtRate(450).due_count(-1) == 0
    assert AsCaptured([0], 1).due_count(-1) == 0


@pytest.mark.parametrize("bad", [0, -1])
def test_standing_still_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        AtRate(bad)
    with pytest.raises(ValueError, match="above 0"):
        AsCaptured([0], bad)


@given(offsets, st.floats(0.5, 100))
def test_steps_of_a_capture_offer_as_many_as_it_has(some: list[int], speed: float) -> None:
    captured = AsCaptured(some, speed)
    schedule = RateSchedule(captured.steps())
    loop_ns = captured.due_ns(len(some))
    assume(loop_ns > 10**9)
    silent = sum(one.rate_per_s == 0.1 for one in captured.steps())
    # A rate is a thousandth of a frame per second exact.
    slack = 1 + 0.1 * silent * max(1, loop_ns / 10**12) + 0.0005 * loop_ns / 10**9
    assert schedule.due_count(loop_ns - 1) == pytest.approx(len(some), abs=slack)


def test_a_captures_pace_is_played_to_the_second() -> None:
    # Ten frames in the first second, none in the next, two in the third and last.
    offsets_ns = [i * 10**8 for i in range(10)] + [2 * 10**9, 2_750_000_000]
    captured = AsCaptured(offsets_ns, 1)
    assert [one.rate_per_s for one in captured.steps()] == [10, 0.1, 2]
    twice = AsCaptured(offsets_ns, 2).steps()
    assert sum(one.for_s for one in twice) == pytest.approx(captured.due_ns(12) / 2e9)
    assert sum(one.for_s * one.rate_per_s for one in twice) == pytest.approx(12, abs=0.1)
    day = AsCaptured([i * 10**9 for i in range(86_400)], 1).steps()
    assert len(day) == 1000
    assert {round(one.rate_per_s, 2) for one in day} <= {0.99, 1.0, 1.01}
