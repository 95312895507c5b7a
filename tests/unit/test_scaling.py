from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fpaas.sweep import scaling

CONSUMERS = (10, 50, 100, 500, 1000)
numbers = st.floats(-1e3, 1e3)
xs = st.lists(st.integers(1, 10_000).map(float), min_size=3, max_size=12, unique=True)


@given(xs, st.floats(-50, 50), st.floats(-50, 50))
def test_a_line_is_found_exactly(x: list[float], a: float, b: float) -> None:
    fit = scaling.line([(one, a + b * one) for one in x])
    assert fit is not None
    assert fit.low is not None
    assert fit.high is not None
    assert fit.value == pytest.approx(b, abs=1e-5)
    assert fit.low - 1e-5 <= b <= fit.high + 1e-5


@given(xs, st.floats(0.1, 100), st.floats(-1.5, 1.5))
def test_a_power_law_is_found_exactly(x: list[float], c: float, b: float) -> None:
    fit = scaling.exponent([(one, c * one**b) for one in x])
    assert fit is not None
    assert fit.value == pytest.approx(b, abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 99).map(float), numbers), min_size=3, max_size=9))
def test_the_slope_is_that_of_the_standard_library(points: list[tuple[float, float]]) -> None:
    assume(len({x for x, _ in points}) > 1)
    fit = scaling.line(points)
    assert fit is not None
    expected = statistics.linear_regression(*zip(*points, strict=True))
    assert fit.value == pytest.approx(expected.slope, rel=1e-6, abs=1e-6)
    assert fit.intercept == pytest.approx(expected.intercept, rel=1e-6, abs=1e-6)


def test_the_interval_is_that_of_a_textbook() -> None:
    """Anscombe's first set: slope 0.5001, standard error 0.1179, 9 degrees of freedom."""
    x = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    fit = scaling.line([(float(a), b) for a, b in zip(x, y, strict=True)])
    assert fit is not None
    assert fit.value == pytest.approx(0.5001, abs=1e-4)
    assert fit.intercept == pytest.approx(3.0001, abs=1e-4)
    assert fit.low == pytest.approx(0.5001 - 2.262 * 0.1179, abs=2e-4)
    assert fit.high == pytest.approx(0.5001 + 2.262 * 0.1179, abs=2e-4)


def test_the_interval_holds_the_truth_in_95_of_100_cases() -> None:
    noise = random.Random(7)
    held = 0
    for _ in range(2000):
        fit = scaling.line([(x, 3 + 0.05 * x + noise.gauss(0, 4)) for x in CONSUMERS])
        assert fit is not None
        assert fit.low is not None
        assert fit.high is not None
        held += fit.low <= 0.05 <= fit.high
    assert 0.93 < held / 2000 < 0.97


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (3, 3.182), (30, 2.042), (40, 2.0211), (120, 1.9799)]
)
def test_quantiles_of_students_t(degrees: int, quantile: float) -> None:
    assert scaling.t_975(degrees) == pytest.approx(quantile, abs=2e-4)


@pytest.mark.parametrize(
    ("power", "judgement"),
    [(0.5, scaling.SUB_LINEAR), (1.0, scaling.UNDECIDED), (1.6, scaling.SUPER_LINEAR)],
)
def test_growth_is_judged_by_the_interval(power: float, judgement: str) -> None:
    noise = random.Random(3)
    points = [(n, 2 * n**power * noise.uniform(0.95, 1.05)) for n in CONSUMERS]
    fit = scaling.exponent(points)
    assert fit is not None
    assert fit.judgement == judgement


def test_a_constant_part_alone_does_not_make_the_cost_of_more_consumers_fall() -> None:
    points = [(float(n), 20 + 0.05 * n) for n in CONSUMERS]
    total, beyond = scaling.exponent(points), scaling.exponent_beyond_least(points)
    assert total is not None
    assert beyond is not None
    assert total.judgement == scaling.SUB_LINEAR
    assert beyond.value == pytest.approx(1.0)
    assert beyond.judgement == scaling.UNDECIDED
    assert [cost for _, _, cost in scaling.increments(points)] == pytest.approx([0.05] * 4)


@pytest.mark.parametrize("repeats", [1, 3])
def test_noise_of_the_smallest_point_does_not_make_a_constant_cost_fall_or_rise(
    repeats: int,
) -> None:
    noise = random.Random(5)
    judged = []
    for _ in range(500):
        fit = scaling.exponent_beyond_least(
            [
                (float(n), (15 + 0.0333 * n) * noise.gauss(1, 0.02))
                for n in CONSUMERS
                for _ in range(repeats)
            ]
        )
        if fit is not None:
            judged.append(fit.judgement)
    assert judged.count(scaling.UNDECIDED) / len(judged) > 0.93


def test_a_cost_that_falls_is_found_all_the_same() -> None:
    noise = random.Random(5)
    points = [(float(n), (15 + 0.5 * (n - 10) ** 0.7) * noise.gauss(1, 0.02)) for n in CONSUMERS]
    fit = scaling.exponent_beyond_least(points)
    assert fit is not None
    assert fit.judgement == scaling.SUB_LINEAR


def test_nothing_is_fitted_to_too_little() -> None:
    assert scaling.line([]) is None
    assert scaling.line([(1, 2), (1, 3)]) is None
    assert scaling.exponent([(10, 0), (20, 1), (30, 2)]) is None
    assert scaling.exponent_beyond_least([]) is None
    assert scaling.exponent_beyond_least([(10, 5), (20, 4), (30, 6)]) is None
    two = scaling.line([(1, 2), (2, 4)])
    assert two is not None
    assert (two.value, two.low, two.high) == (2, None, None)
    assert two.judgement == scaling.UNDECIDED
