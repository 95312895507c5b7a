from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.measures import figures
from fpaas.measures.figures import Window
from fpaas.measures.histograms import Leg, new_histogram
from fpaas.spec import NS_PER_S

WINDOW = Window(10 * NS_PER_S, 20 * NS_PER_S)


def counter(*samples: tuple[float, float]) -> list[tuple[int, float]]:
    return [(round(at_s * NS_PER_S), value) for at_s, value in samples]


def every_second(last_s: int) -> list[tuple[int, float]]:
    """Return a counter of ten a second."""
    return counter(*((second, 10 * second) for second in range(last_s + 1)))


def test_a_rate_is_cut_at_the_window() -> None:
    samples = counter((0, 0), (9.5, 0), (10.5, 100), (19.5, 1000), (20.5, 1100), (30, 9000))
    assert figures.rate_per_s([samples], WINDOW) == pytest.approx(100)


def test_rates_of_several_workers_add_up() -> None:
    each = every_second(30)
    assert figures.rate_per_s([each, each, each], WINDOW) == pytest.approx(30)


def test_rates_of_several_workers_are_over_one_span() -> None:
    died_at_15_s, came_at_12_s = every_second(15), every_second(30)[12:]
    assert figures.rate_per_s([died_at_15_s], WINDOW) == pytest.approx(50 / 10)
    both = [every_second(30), died_at_15_s]
    assert figures.rate_per_s(both, WINDOW) == pytest.approx((100 + 50) / 10)
    assert figures.rate_per_s([*both, came_at_12_s], WINDOW) == pytest.approx((80 + 30 + 80) / 8)


@pytest.mark.parametrize("edge_s", [10, 20])
def test_nobody_knows_what_a_frozen_agent_had_counted_at_an_end_of_the_window(edge_s: int) -> None:
    samples = every_second(30)
    frozen = [one for one in samples if not edge_s - 2 < one[0] / NS_PER_S < edge_s + 2]
    assert figures.rate_per_s([frozen], WINDOW) is None
    assert figures.rate_per_s([samples, frozen], WINDOW) is None
    one_left_out = [one for one in samples if one[0] != edge_s * NS_PER_S]
    assert figures.rate_per_s([one_left_out], WINDOW) == pytest.approx(10)


def test_a_freeze_within_the_window_is_in_its_rate() -> None:
    frozen = [one for one in every_second(30) if not 12 < one[0] / NS_PER_S < 17]
    assert figures.rate_per_s([frozen], WINDOW) == pytest.approx(10)


@pytest.mark.parametrize("samples", [[], counter((0, 1)), counter((0, 1), (5, 2))])
def test_a_rate_that_was_not_measured_is_none(samples: list[tuple[int, float]]) -> None:
    measured = every_second(30)
    assert figures.rate_per_s([measured, samples], WINDOW) is None
    assert figures.rate_per_s([], WINDOW) is None


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 100)), min_size=2, max_size=30),
    st.integers(0, 10**10),
)
def test_a_cumulative_counter_stays_monotonic_between_samples(
    steps: list[tuple[int, int]], at_ns: int
) -> None:
    samples = []
    now = total = 0
    for step_ns, more in steps:
        now, total = now + step_ns, total + more
        samples.append((now, float(total)))
    value = figures.value_at(samples, at_ns)
    if at_ns < samples[0][0] or at_ns > samples[-1][0]:
        assert value is None
    else:
        assert value is not None
        below = max(v for t, v in samples if t <= at_ns)
        above = min(v for t, v in samples if t >= at_ns)
        assert below <= value <= above


@given(st.dictionaries(st.integers(0, 10_000), st.integers(1, 50), min_size=1, max_size=50))
def test_weighted_figures_equal_those_of_the_values_written_out(counts: dict[int, int]) -> None:
    values = sorted(value for value, count in counts.items() for _ in range(count))
    weighted = figures.weighted(counts)
    assert weighted["count"] == len(values)
    assert weighted["mean"] == pytest.approx(statistics.fmean(values))
    assert weighted["p50"] == figures.percentile(values, 50)
    assert weighted["p99"] == figures.percentile(values, 99)
    assert weighted["max"] == values[-1]


def test_nothing_has_no_figures() -> None:
    assert figures.weighted({}) == {"count": 0, "mean": None, "p50": None, "p99": None, "max": None}
    assert figures.distribution([], "min", "p99") == {"min": None, "p99": None}
    assert figures.mean_max([]) == {"mean": None, "max": None}
    absent = figures.tail_ms(None, "p50", "max")
    assert {"p50", "max", "count", "open_count", "at_least"} <= absent.keys()
    assert set(absent.values()) == {None}


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 100))
def test_a_percentile_is_one_of_the_values_with_enough_below(
    values: list[float], pct: float
) -> None:
    ordered = sorted(values)
    found = figures.percentile(ordered, pct)
    assert found in ordered
    at_most = sum(value <= found for value in ordered)
    assert at_most >= pct / 100 * len(ordered) - 1e-6


def test_a_leg_in_milliseconds_counts_negative_samples() -> None:
    leg = Leg(new_histogram(), new_histogram())
    for value_us in (1000, 2000, 3000):
        leg.positive.record_value(value_us)
    leg.negative.record_value(500)
    shown = figures.leg_ms(leg, 0.25)
    assert shown["count"] == 4
    assert shown["negative_count"] == 1
    assert shown["min"] == pytest.approx(-0.5, rel=0.01)
    assert shown["p50"] == pytest.approx(1.0, rel=0.01)
    assert shown["max"] == pytest.approx(3.0, rel=0.01)
    assert shown["clock_error_ms"] == 0.25


def test_processes_are_added_up_second_by_second() -> None:
    s = NS_PER_S
    samples = [
        (("a", 1), 1 * s, 10.0),
        (("a", 1), 2 * s, 20.0),
        (("a", 1), 3 * s, 30.0),
        (("b", 7), 1 * s + 5, 1.0),  # missed a tick: counts with its last value
        (("b", 7), 3 * s + 5, 3.0),
    ]
    assert figures.sum_over_processes(samples) == [11.0, 21.0, 33.0]
