"""Statistics of repeats, held against their definitions and published tables."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.summary import repeats

values = st.lists(st.integers(0, 30).map(float), min_size=1, max_size=6)


def _u(before: tuple[float, ...], after: tuple[float, ...]) -> int:
    return sum(new > old for old in before for new in after)


@given(st.permutations(range(8)), st.integers(4, 4))
def test_p_value_is_the_share_of_arrangements_at_least_as_extreme(
    order: list[int], size: int
) -> None:
    ranks = [float(rank) for rank in order]
    before, after = tuple(ranks[:size]), tuple(ranks[size:])
    middle = size * size / 2
    distance = abs(_u(before, after) - middle)
    arrangements = [
        (chosen, tuple(r for r in ranks if r not in chosen))
        for chosen in itertools.combinations(ranks, size)
    ]
    extreme = sum(abs(_u(a, b) - middle) >= distance for a, b in arrangements)
    expected = min(1.0, extreme / len(arrangements))
    p_value = repeats.mann_whitney_p(before, after)
    assert p_value == pytest.approx(expected) or (p_value == 1.0 and distance == 0)


@pytest.mark.parametrize(
    ("m", "n", "critical"),
    [
        (4, 4, 0),
        (5, 5, 2),
        (6, 6, 5),
        (7, 7, 8),
        (8, 8, 13),
        (10, 10, 23),
        (5, 8, 6),
        (20, 20, 127),
    ],
)
def test_critical_values_are_those_of_the_published_table(m: int, n: int, critical: int) -> None:
    """Mann and Whitney's U, two-sided, 5 %: U up to the critical value is significant."""

    def p_value(u: int) -> float:
        # n values of which each lies above as many of 0 … m - 1 that U is as asked for.
        after = [min(max(u - m * i, 0), m) - 0.5 for i in range(n)]
        found = repeats.mann_whitney_p([float(i) for i in range(m)], after)
        assert found is not None
        return found

    assert p_value(critical) <= 0.05 < p_value(critical + 1)


@given(values, values)
def test_the_test_is_symmetric(a: list[float], b: list[float]) -> None:
    assert repeats.mann_whitney_p(a, b) == repeats.mann_whitney_p(b, a)


def test_three_runs_a_side_can_never_be_significant() -> None:
    assert repeats.mann_whitney_p([1, 2, 3], [10, 11, 12]) is None
    assert repeats.mann_whitney_p([1, 2, 3, 4], [10, 11, 12, 13]) == pytest.approx(2 / 70)


def test_equal_runs_are_not_significant() -> None:
    assert repeats.mann_whitney_p([5.0] * 6, [5.0] * 6) == 1.0


@pytest.mark.parametrize(
    ("count", "ranks", "confidence"),
    [
        (2, (1, 2), 0.5),
        (5, (1, 5), 0.9375),
        (6, (1, 6), 0.96875),
        (9, (2, 8), 0.9609),
        (20, (6, 15), 0.9586),
    ],
)
def test_an_interval_of_a_median_is_that_of_the_published_table(
    count: int, ranks: tuple[int, int], confidence: float
) -> None:
    interval = repeats.median_interval([float(i) for i in range(count, 0, -1)])
    assert interval is not None
    assert interval[:2] == ranks
    assert interval[2] == pytest.approx(confidence, abs=1e-4)


def test_a_single_value_has_no_interval() -> None:
    assert repeats.median_interval([1.0]) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=10), st.floats(0.5, 20))
def test_the_noise_floor_scales_with_the_noise_alone(runs: list[float], scale: float) -> None:
    floor = repeats.noise_floor(runs)
    assert floor is not None
    assert 0 <= floor <= max(runs) - min(runs)
    assert repeats.noise_floor([1e4 + one * scale for one in runs]) == pytest.approx(
        floor * scale, abs=1e-6 * max(1, *map(abs, runs)) * scale
    )
    assert repeats.noise_floor(runs[::-1]) == floor


def test_repeats_stay_below_their_own_noise_floor() -> None:
    """Two halves of the same repeats differ by more in at most 5 of 100 cases."""
    runs = [float(x) for x in (10, 11, 9, 12, 10, 14, 8, 11)]
    floor = repeats.noise_floor(runs)
    assert floor is not None
    gaps = [
        abs(
            statistics.median(half)
            - statistics.median([r for i, r in enumerate(runs) if i not in chosen])
        )
        for chosen in itertools.combinations(range(8), 4)
        for half in [[runs[i] for i in chosen]]
    ]
    assert len(gaps) == math.comb(8, 4)
    assert sum(gap > floor for gap in gaps) <= 0.05 * len(gaps)
    assert repeats.noise_floor(runs[:3]) is None
    assert repeats.noise_floor([5.0] * 20) == 0
