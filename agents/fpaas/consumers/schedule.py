"""When polls are due: a function of seed, consumer and poll number, nothing else.

Each consumer polls at a fixed interval from a random first phase, so that everybody polls in the
first interval; every later poll is jittered around its own place in that grid, so that lateness
never adds up. A hash draws the numbers: no state per consumer, and a consumer's schedule is the
same whatever host or worker plays it.

While a class is away, its schedule rests: no poll is due then, and none is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fpaas.spec import NS_PER_S, RunSpec

_MASK = (1 << 64) - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
#: In place of a poll's number in a consumer's draws, draws its phase.
_PHASE = -1


def mix64(value: int) -> int:
    """Scramble 64 bits, one to one: the output function of SplitMix64.

    Source: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    value = (value + _GOLDEN_GAMMA) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def uniform(seed: int, consumer: int, draw: int) -> float:
    """Return the number in [0, 1) that belongs to this seed, consumer and draw."""
    return (mix64(mix64(mix64(seed) + consumer) + draw) >> 11) / (1 << 53)


@dataclass(frozen=True)
class PollSchedule:
    """Due times of polls in Unix nanoseconds; consumers are counted over all hosts.

    They begin at the run's T0, or when the class joins.
    """

    t0_unix_ns: int
    interval_ns: int
    jitter_pct: float
    seed: int
    #: Consumers are away for the last `away_ns` of each period of `away_every_ns`.
    away_ns: int = 0
    away_every_ns: int = 0

    @classmethod
    def of(cls, spec: RunSpec) -> PollSchedule:
        """Return the schedule of a run's consumers, which all poll alike."""
        one = spec.consumers.only_class
        return cls(
            spec.t0_unix_ns + (round(one.joins_at_s * NS_PER_S) if one else 0),
            round(spec.consumers.poll_interval_s * NS_PER_S),
            spec.consumers.poll_jitter_pct,
            spec.seed,
            round(one.away_s * NS_PER_S) if one else 0,
            round(one.away_every_s * NS_PER_S) if one else 0,
        )

    def first_due(self, consumer: int) -> int:
        """Return when a consumer's poll 0 is due: within one interval from T0."""
        return self._at(round(self._phase(consumer) * self.interval_ns))

    def next_due(self, consumer: int, poll: int, previous_due: int) -> int:
        """Return when a poll is due: on its place in the grid, and never before the previous."""
        return max(previous_due, self._place(consumer, poll))

    def due_before(self, consumer: int, unix_ns: int) -> int:
        """Return how many polls of a consumer are due before a time, whatever became of them.

        Polls are due in order, so the first whose place is not before it ends the count; only
        those around it need to be looked at.
        """
        if unix_ns <= self.first_due(consumer):
            return 0
        reach = self.jitter_pct / 100
        elapsed = self._spent_here(unix_ns) / self.interval_ns - self._phase(consumer)
        poll = max(1, math.ceil(elapsed - reach) - 1)
        while self._place(consumer, poll) < unix_ns:
            poll += 1
        return poll

    def _place(self, consumer: int, poll: int) -> int:
        jitter = (2 * uniform(self.seed, consumer, poll) - 1) * self.jitter_pct / 100
        return self._at(round((self._phase(consumer) + poll + jitter) * self.interval_ns))

    def absences_before(self, due: int) -> int:
        """Return how often consumers were away before a time at which they are not."""
        return (due - self.t0_unix_ns) // self.away_every_ns if self.away_ns else 0

    def _at(self, here_ns: int) -> int:
        """Return when consumers have been present for `here_ns` since T0, absences left out."""
        absences = here_ns // (self.away_every_ns - self.away_ns) if self.away_ns else 0
        return self.t0_unix_ns + here_ns + absences * self.away_ns

    def _spent_here(self, unix_ns: int) -> int:
        """Return for how long consumers have been there by a time."""
        since_t0 = unix_ns - self.t0_unix_ns
        if not self.away_ns:
            return since_t0
        periods, rest = divmod(since_t0, self.away_every_ns)
        here_ns = self.away_every_ns - self.away_ns
        return periods * here_ns + min(rest, here_ns)

    def _phase(self, consumer: int) -> float:
        return uniform(self.seed, consumer, _PHASE)
