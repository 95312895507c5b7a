"""Per stream sequence, how long after it was stored somebody fetched it first; four bytes each.

A u32 per stream sequence from 1 on: tenths of a millisecond, less than 0 by clocks that disagree,
plus `ZERO`; 0 if nobody fetched it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fpaas.common_time import NS_PER_S

UNIT_NS = 100_000
UNITS_PER_MS = 10
ZERO = 1 << 31
_MAX = 2**32 - 1
#: In place of an age if nobody fetched the message; more than any.
NEVER = 1 << 40
#: Clocks drift by up to 0.05 ms meanwhile.
_SHIFT_STEP_NS = NS_PER_S // 10


def encode(age_ns: int) -> int:
    """Return an age as it is kept.

    >>> [encode(age_ns) - ZERO for age_ns in (0, 150_000, -1)]
    [0, 1, -1]
    """
    return min(max(age_ns // UNIT_NS + ZERO, 1), _MAX)


@dataclass(frozen=True)
class Stored:
    """The messages of a stream that were stored between two samples, evenly.

    `begin` and `end` are their indices, their stream sequences less 1.
    """

    begin: int
    end: int
    before_unix_ns: int
    at_unix_ns: int

    @property
    def count(self) -> int:
        """How many these are."""
        return self.end - self.begin

    def times_ns(self) -> Iterator[float]:
        """Tell when each was stored; the last one at the sample."""
        each_ns = (self.at_unix_ns - self.before_unix_ns) / self.count
        for number in range(1, self.count + 1):
            yield self.before_unix_ns + number * each_ns


def corrected(kept: array[int], shift: int) -> list[int]:
    """Return what one process kept, in units, by a clock that `shift` is added to."""
    ahead = shift - ZERO
    return [value + ahead if value else NEVER for value in kept]


def corrected_by_time(
    kept: array[int], stored: Stored, shift_at: Callable[[float], int]
) -> list[int]:
    """Return what one process kept of messages, in units, by a clock that drifts.

    `shift_at` tells by the time of the fetch, in Unix seconds, how many units to add.
    """
    shifts: dict[int, int] = {}
    found = []
    # A process that kept no more did not fetch the last ones.
    for value, stored_ns in zip(kept, stored.times_ns(), strict=False):
        if not value:
            found.append(NEVER)
            continue
        units = value - ZERO
        step = int(stored_ns + units * UNIT_NS) // _SHIFT_STEP_NS
        if step not in shifts:
            shifts[step] = shift_at((step + 0.5) * _SHIFT_STEP_NS / NS_PER_S)
        found.append(units + shifts[step])
    return found


def earliest_units(parts: Iterable[list[int]]) -> list[int]:
    """Return the earliest fetch of each stream sequence, in units, or `NEVER`.

    `parts` are what each process kept, corrected. Later sequences that none of them kept are left
    out.
    """
    earliest: list[int] = []
    for units in parts:
        short, long = sorted((earliest, units), key=len)
        earliest = [*map(min, short, long), *long[len(short) :]]
    return earliest
