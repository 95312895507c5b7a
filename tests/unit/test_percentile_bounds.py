"""Percentiles with calls that had no answer: whatever those come to, they are in the bounds."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.measures.histogram_log import HIGHEST_US
from fpaas.measures.histograms import Leg, new_leg, record_counts, start_ms

VALUES_US = st.lists(st.integers(0, HIGHEST_US), max_size=40)
PERCENTILES = st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0])
#: Of a histogram with three digits.
PRECISION = 0.001


def leg_of(answered: list[int], negative: list[int], open_ages: list[int], beyond: int) -> Leg:
    leg = new_leg()
    record_counts(leg.positive, Counter(answered))
    record_counts(leg.negative, Counter(negative))
    leg.add_open(Counter(open_ages))
    leg.beyond = beyond
    return leg


def nearest_rank(values: list[float], percentile: float) -> float:
    return sorted(values)[max(0, math.ceil(percentile / 100 * len(values) - 1e-9) - 1)]


@given(
    VALUES_US,
    st.lists(st.integers(1, HIGHEST_US), max_size=5),
    VALUES_US,
    st.integers(0, 3),
    PERCENTILES,
)
def test_bounds_are_those_of_open_calls_at_their_ages_and_at_infinity(
    answered: list[int], negative: list[int], open_ages: list[int], beyond: int, percentile: float
) -> None:
    leg = leg_of(answered, negative, open_ages, beyond)
    known = [*map(float, answered), *(-float(one) for one in negative)]
    known += [float(HIGHEST_US)] * beyond

    least, most = leg.percentile_bounds_us(percentile)

    if not known and not open_ages:
        assert (least, most) == (None, None)
        return
    assert least == pytest.approx(
        nearest_rank([*known, *map(float, open_ages)], percentile), rel=PRECISION
    )
    # What is out of range is not bounded either.
    known = [*map(float, answered), *(-float(one) for one in negative)]
    unbounded = [math.inf] * (beyond + len(open_ages))
    highest = nearest_rank([*known, *unbounded], percentile)
    assert most == (None if highest == math.inf else pytest.approx(highest, rel=PRECISION))


@given(VALUES_US, VALUES_US, st.data(), PERCENTILES)
def test_whatever_open_calls_come_to_is_within_the_bounds(
    answered: list[int], open_ages: list[int], data: st.DataObject, percentile: float
) -> None:
    leg = leg_of(answered, [], open_ages, 0)
    finally_took = [data.draw(st.integers(age, 10 * HIGHEST_US)) for age in open_ages]
    least, most = leg.percentile_bounds_us(percentile)
    if least is None:
        return
    truth = nearest_rank([*map(float, answered), *map(float, finally_took)], percentile)

    assert least * (1 - PRECISION) <= truth
    assert most is None or truth <= most * (1 + PRECISION)


@given(st.integers(1_600_000_000 * 10**6, 2_000_000_000 * 10**6))
def test_a_start_is_the_same_before_and_after_it_was_written(start_us: int) -> None:
    start_s = start_us / 1e6

    assert start_ms(float(f"{start_s:.3f}")) == start_ms(start_s)
