from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpaas.measures.intervals import IntervalSet

NUMBERS = st.lists(st.integers(-5, 60))


def of(numbers: list[int]) -> IntervalSet:
    intervals = IntervalSet()
    for number in numbers:
        intervals.add(number)
    return intervals


def members(intervals: IntervalSet) -> set[int]:
    return {value for first, last in intervals for value in range(first, last + 1)}


@given(NUMBERS)
def test_it_is_a_set_and_says_what_was_there(numbers: list[int]) -> None:
    intervals = IntervalSet()
    seen: set[int] = set()
    for number in numbers:
        assert intervals.add(number) is (number not in seen)
        seen.add(number)

    assert members(intervals) == seen
    assert intervals.total == len(seen)
    assert [value for value in range(-6, 62) if value in intervals] == sorted(seen)
    assert intervals.first == min(seen, default=None)
    assert intervals.last == max(seen, default=None)


@given(NUMBERS)
def test_intervals_are_sorted_disjoint_and_never_touch(numbers: list[int]) -> None:
    pairs = list(of(numbers))

    assert all(first <= last for first, last in pairs)
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(pairs))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 8))))
def test_ranges_equal_their_numbers(ranges: list[tuple[int, int]]) -> None:
    pairs = [(first, first + length) for first, length in ranges]

    expected = of([value for first, last in pairs for value in range(first, last + 1)])

    assert IntervalSet(pairs) == expected


@given(NUMBERS, NUMBERS)
def test_algebra_is_that_of_sets(left: list[int], right: list[int]) -> None:
    a, b = of(left), of(right)

    assert members(a.union(b)) == set(left) | set(right)
    assert members(a.intersection(b)) == set(left) & set(right)
    assert members(a.difference(b)) == set(left) - set(right)
    # Nothing is lost, nothing counted twice.
    assert a.total == a.intersection(b).total + a.difference(b).total


def test_an_empty_set() -> None:
    assert IntervalSet().total == 0
    assert IntervalSet().first is None
    assert 0 not in IntervalSet()


def test_a_backward_range_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it starts"):
        IntervalSet([(3, 2)])


def test_an_interval_as_long_as_a_relays_numbers_takes_no_memory() -> None:
    """A restarted shuffler takes what is up to its cursor out of what it has."""
    settled = IntervalSet([(5, 9), (31_527_021_770, 31_527_021_775)])
    left = settled.difference(IntervalSet([(0, 31_527_021_771)]))
    assert list(left) == [(31_527_021_772, 31_527_021_775)]


def test_nothing_lies_in_an_empty_range() -> None:
    assert IntervalSet([(6, 8)]).count_within(8, 6) == 0
