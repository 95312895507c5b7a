"""Per stream sequence, how long after it was stored somebody fetched it first; four bytes each.

A u32 per stream sequence from 1 on: tenths of a millisecond, less than 0 by clocks that disagree,
plus `ZERO`; 0 if nobody fetched it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from fpaas.common_time import NS_PER_S

UNIT_NS = 100_000
UNITS_PER_MS = 10
ZERO = 1 << 31
_MAX = 2**32 - 1
_NEVER = 1 << 40
#: Clocks drift by up to 0.05 ms meanwhile.
_SHIFT_STEP_NS = NS_PER_S // 10


def encode(age_ns: int) -> int:
    """Return an age as it is kept.

    >>> [encode(age_ns) - ZERO for age_ns in (0, 150_000, -1)]
    [0, 1, -1]
    """
    return min(max(age_ns // UNIT_NS + ZERO, 1), _MAX)


def corrected(kept: array[int], shift: int) -> list[int]:
    """Return what one process kept, in units, by a clock that is `shift` units ahead."""
    ahead = shift - ZERO
    return [value + ahead if value else _NEVER for value in kept]


def corrected_by_time(
    kept: array[int], stored_unix_ns: Iterable[float], shift_at: Callable[[float], int]
) -> list[int]:
    """Return what one process kept, in units, by a clock that drifts.

    `stored_unix_ns` tells when each stream sequence was stored; without that it is left out.
    `shift_at` tells by the time of the fetch, in Unix seconds, how many units to add.
    """
    shifts: dict[int, int] = {}
    found = []
    for value, stored_ns in zip(kept, stored_unix_ns, strict=False):
        if not value:
            found.append(_NEVER)
            continue
        units = value - ZERO
        step = int(stored_ns + units * UNIT_NS) // _SHIFT_STEP_NS
        if step not in shifts:
            shifts[step] = shift_at((step + 0.5) * _SHIFT_STEP_NS / NS_PER_S)
        found.append(units + shifts[step])
    return found


def earliest_units(parts: Iterable[list[int]]) -> Sequence[int | None]:
    """Return the earliest fetch of each stream sequence, in units; None if there is none.

    `parts` are what each process kept, corrected.
    """
    earliest: list[int] = []
    for units in parts:
        short, long = sorted((earliest, units), key=len)
        earliest = [*map(min, short, long), *long[len(short) :]]
    return [None if units == _NEVER else units for units in earliest]
