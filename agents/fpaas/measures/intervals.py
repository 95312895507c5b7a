"""Sets of integers as sorted, disjoint, inclusive intervals: exact and small.

Sequence numbers arrive nearly in order, so millions of them are a handful of intervals.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class IntervalSet:
    """A set of integers. `add` is O(1) for the next number in order, O(log n) otherwise."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last in intervals:
            self.add_range(first, last)

    def add(self, value: int) -> bool:
        """Add one number; returns False if it was there already."""
        ends = self._ends
        if ends and value == ends[-1] + 1:
            ends[-1] = value
            return True
        if not ends or value > ends[-1]:
            self._starts.append(value)
            ends.append(value)
            return True
        if value in self:
            return False
        self.add_range(value, value)
        return True

    def add_range(self, first: int, last: int) -> None:
        """Add `first` … `last`, both included. Raises ValueError if last < first."""
        if last < first:
            raise ValueError(f"interval {first}…{last} ends before it starts")
        low = bisect_right(self._ends, first - 2)
        # Everything that touches [first - 1, last + 1] melts into one interval.
        high = bisect_right(self._starts, last + 1)
        if low < high:
            first = min(first, self._starts[low])
            last = max(last, self._ends[high - 1])
        self._starts[low:high] = [first]
        self._ends[low:high] = [last]

    def __contains__(self, value: int) -> bool:
        """Whether the number is in the set."""
        at = bisect_right(self._starts, value) - 1
        return at >= 0 and value <= self._ends[at]

    def __bool__(self) -> bool:
        """Whether there is any number."""
        return bool(self._starts)

    # Not its length: that would be taken for how many intervals there are to iterate over, and
    # memory be reserved for them.
    @property
    def total(self) -> int:
        """How many numbers, not how many intervals."""
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    def count_within(self, first: int, last: int) -> int:
        """How many numbers of the set lie in [first, last], which may be empty."""
        if last < first:
            return 0
        low = bisect_right(self._ends, first - 1)
        high = bisect_right(self._starts, last)
        if low >= high:
            return 0
        count = sum(self._ends[low:high]) - sum(self._starts[low:high]) + high - low
        count -= max(0, first - self._starts[low])
        return count - max(0, self._ends[high - 1] - last)

    def within(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Iterate over the intervals that touch [first, last], whole, in order."""
        low = bisect_right(self._ends, first - 1)
        high = bisect_right(self._starts, last)
        return zip(self._starts[low:high], self._ends[low:high], strict=True)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over `(first, last)`, in order."""
        return zip(self._starts, self._ends, strict=True)

    def __eq__(self, other: object) -> bool:
        """Compare as sets."""
        if not isinstance(other, IntervalSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the intervals."""
        return f"IntervalSet({list(self)!r})"

    def union(self, other: IntervalSet) -> IntervalSet:
        """Numbers in either."""
        result = IntervalSet()
        for first, last in sorted([*self, *other]):
            result.add_range(first, last)
        return result

    def intersection(self, other: IntervalSet) -> IntervalSet:
        """Numbers in both; linear in the number of intervals."""
        result = IntervalSet()
        mine, theirs = list(self), list(other)
        i = j = 0
        while i < len(mine) and j < len(theirs):
            first = max(mine[i][0], theirs[j][0])
            last = min(mine[i][1], theirs[j][1])
            if first <= last:
                result.add_range(first, last)
            if mine[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return result

    def difference(self, other: IntervalSet) -> IntervalSet:
        """Numbers in this set that are not in the other."""
        result = IntervalSet()
        holes = list(other)
        for start, last in self:
            first = start
            for hole_first, hole_last in holes[bisect_right(other._ends, first - 1) :]:
                if hole_first > last:
                    break
                if hole_first > first:
                    result.add_range(first, hole_first - 1)
                first = max(first, hole_last + 1)
            if first <= last:
                result.add_range(first, last)
        return result

    @property
    def first(self) -> int | None:
        """The smallest number, None if the set is empty."""
        return self._starts[0] if self._starts else None

    @property
    def last(self) -> int | None:
        """The largest number, None if the set is empty."""
        return self._ends[-1] if self._ends else None
