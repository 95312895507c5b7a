"""When a relay's frames are due: in integer nanoseconds after T0, without drift.

All paces promise: `due_ns` never falls, and `due_count(t)` is the number of frames i with
`due_ns(i) <= t`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from fpaas.spec import NS_PER_S, Firehose
from fpaas.spec.rates import RATE_PER_S, STEPS_MAX, RateSchedule, RateStep

#: Rates and speeds come as floats: 0.1 is meant as one tenth.
_DENOMINATOR_MAX = 1_000_000


class AtRate:
    """Frame i is due i / rate seconds after the start."""

    def __init__(self, rate_per_s: float) -> None:
        rate = Fraction(rate_per_s).limit_denominator(_DENOMINATOR_MAX)
        if rate <= 0:
            raise ValueError(f"rate {rate_per_s} is not above 0")
        self._frames = rate.numerator
        self._in_ns = rate.denominator * NS_PER_S

    def due_ns(self, index: int) -> int:
        """Return when frame `index` is due."""
        return index * self._in_ns // self._frames

    def due_count(self, elapsed_ns: int) -> int:
        """Return how many frames are due by then; 0 before T0."""
        if elapsed_ns < 0:
            return 0
        return ((elapsed_ns + 1) * self._frames - 1) // self._in_ns + 1


def pace_of(firehose: Firehose) -> AtRate | RateSchedule:
    """Return the pace of our relay in a run. Raises ValueError of a foreign relay."""
    if firehose.rate_steps:
        return RateSchedule(firehose.rate_steps)
    return AtRate(firehose.rate_per_s or 0)


class AsCaptured:
    """Frames come as far apart as their own times say, divided by a speed; loops follow on.

    `offsets_ns` never falls. A loop begins one mean gap after the last frame of the one before.
    """

    def __init__(self, offsets_ns: Sequence[int], speed: float) -> None:
        ratio = Fraction(speed).limit_denominator(_DENOMINATOR_MAX)
        if ratio <= 0:
            raise ValueError(f"speed {speed} is not above 0")
        self._ratio = ratio
        self._offsets_ns = offsets_ns
        length_ns = offsets_ns[-1]
        # Frames that all bear one time still need a loop of some length.
        self._loop_ns = length_ns + max(1, length_ns // max(1, len(offsets_ns) - 1))

    def due_ns(self, index: int) -> int:
        """Return when frame `index` is due."""
        loop, position = divmod(index, len(self._offsets_ns))
        captured_ns = loop * self._loop_ns + self._offsets_ns[position]
        return captured_ns * self._ratio.denominator // self._ratio.numerator

    def due_count(self, elapsed_ns: int) -> int:
        """Return how many frames are due by then; 0 before T0."""
        if elapsed_ns < 0:
            return 0
        latest_ns = ((elapsed_ns + 1) * self._ratio.numerator - 1) // self._ratio.denominator
        loops, rest_ns = divmod(latest_ns, self._loop_ns)
        return loops * len(self._offsets_ns) + bisect_right(self._offsets_ns, rest_ns)

    def steps(self) -> list[RateStep]:
        """Return a loop as steps of a second, or longer ones if those are too many.

        A step without frames has the least rate that there is.
        """
        length_s = float(self._loop_ns / self._ratio / NS_PER_S)
        count = min(STEPS_MAX, max(1, round(length_s)))
        frames = Counter(offset_ns * count // self._loop_ns for offset_ns in self._offsets_ns)
        for_s = length_s / count
        return [RateStep(for_s, max(RATE_PER_S.minimum, frames[at] / for_s)) for at in range(count)]
