"""Per stream sequence, how long after it was stored somebody fetched it first; four bytes each.

A u32 per stream sequence from 1 on: tenths of a millisecond, less than 0 by clocks that disagree,
plus `ZERO`; 0 if nobody fetched it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

UNIT_NS = 100_000
UNITS_PER_MS = 10
ZERO = 1 << 31
_MAX = 2**32 - 1
_NEVER = 1 << 40


def encode(age_ns: int) -> int:
    """Return an age as it is kept.

    >>> [encode(age_ns) - ZERO for age_ns in (0, 150_000, -1)]
    [0, 1, -1]
    """
    return min(max(age_ns // UNIT_NS + ZERO, 1), _MAX)


def earliest_units(parts: Iterable[tuple[array[int], int]]) -> Sequence[int | None]:
    """Return the earliest fetch of each stream sequence, in units; None if there is none.

    `parts` are (what one process kept, units to add to correct its clock).
    """
    earliest: list[int] = []
    for kept, shift in parts:
        ahead = shift - ZERO
        units = [value + ahead if value else _NEVER for value in kept]
        short, long = sorted((earliest, units), key=len)
        earliest = [*map(min, short, long), *long[len(short) :]]
    return [None if units == _NEVER else units for units in earliest]
