"""Calls that fell due in a run's window, and those that were never answered.

Agents record calls that end, and those that they give up. Missing ones are found by counts that do
not depend on answers: the relay's schedule, the consumers' poll schedule, the publishes and pulls
written. If an agent died, or calls are known never to have been read or sent, the rest is open:
nobody answered it as long as anybody looked. Any other rest is a difference that the verdict names.
Pure; times are Unix ns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from fpaas.bundle.parts import AgentSample
from fpaas.consumers.schedule import PollSchedule
from fpaas.firehose.pace import pace_of
from fpaas.measures.calls import Bins
from fpaas.measures.histograms import Leg, new_leg, start_ms
from fpaas.measures.intervals import IntervalSet
from fpaas.measures.wake_ups import wake_ups_between
from fpaas.spec import NS_PER_S, RunSpec

#: A process that died lived on for less than this after its last sample: they are a second apart.
SAMPLED_WITHIN_NS = 3 * NS_PER_S // 2


class Due(Protocol):
    """Calls of one leg in one process that fell due, and are held against what was recorded."""

    def count(self, from_ns: int, until_ns: int) -> int:
        """Return how many fell due in [from, until)."""

    def unanswered(self, from_ns: int, until_ns: int) -> int:
        """Return how many of them are known to have had no answer."""


@dataclass(frozen=True)
class FramesDue:
    """Frames of our relay, less those that are no events or could not be decoded.

    `done` holds the indices that were sent, or read.
    """

    spec: RunSpec
    offered: int
    done: IntervalSet
    excluded: IntervalSet = field(default_factory=IntervalSet)

    def count(self, from_ns: int, until_ns: int) -> int:
        """See Due."""
        first, last = self._indices(from_ns, until_ns)
        return max(0, last + 1 - first) - self._within(self.excluded, first, last)

    def unanswered(self, from_ns: int, until_ns: int) -> int:
        """See Due."""
        first, last = self._indices(from_ns, until_ns)
        return self.count(from_ns, until_ns) - self._within(self.done, first, last)

    @staticmethod
    def _within(seqs: IntervalSet, first: int, last: int) -> int:
        return seqs.count_within(first, last) if first <= last else 0

    def _indices(self, from_ns: int, until_ns: int) -> tuple[int, int]:
        """Return the first and last index that is due in [from, until)."""
        pace = pace_of(self.spec.firehose)
        first, end = (
            min(self.offered, pace.due_count(unix_ns - 1 - self.spec.t0_unix_ns))
            for unix_ns in (from_ns, until_ns)
        )
        return first, end - 1


@dataclass(frozen=True)
class PollsDue:
    """Polls of consumers from when on they were its own until they stopped polling.

    `schedules` have those whose they are.

    `begun` are calls that no schedule foretells, by the start of their bin: a drain's next pulls.
    """

    schedules: Sequence[tuple[PollSchedule, Sequence[int]]]
    until_unix_ns: int
    begun: BegunDue
    from_unix_ns: int = 0

    def with_begun(self, by_start: Mapping[int, int]) -> PollsDue:
        """Return the same with calls that no schedule foretells."""
        return replace(self, begun=BegunDue(by_start))

    def count(self, from_ns: int, until_ns: int) -> int:
        """See Due."""
        from_ns, until_ns = (
            max(self.from_unix_ns, min(one, self.until_unix_ns)) for one in (from_ns, until_ns)
        )
        return self.begun.count(from_ns, until_ns) + sum(
            schedule.due_before(consumer, until_ns) - schedule.due_before(consumer, from_ns)
            for schedule, consumers in self.schedules
            for consumer in consumers
        )

    def unanswered(self, _from_ns: int, _until_ns: int) -> int:
        """See Due; an agent that ends in order gives up its open calls."""
        return 0


@dataclass(frozen=True)
class BegunDue:
    """Calls that were counted when they began, by the start of their bin."""

    by_start: Mapping[int, int]

    def count(self, from_ns: int, until_ns: int) -> int:
        """See Due."""
        return sum(n for start, n in self.by_start.items() if from_ns <= start < until_ns)

    def unanswered(self, _from_ns: int, _until_ns: int) -> int:
        """See Due."""
        return 0


@dataclass(frozen=True)
class WakeUpsDue:
    """Wake-ups of an event loop that lived through the window."""

    t0_unix_ns: int

    def count(self, from_ns: int, until_ns: int) -> int:
        """See Due."""
        return wake_ups_between(self.t0_unix_ns, from_ns, until_ns)

    def unanswered(self, _from_ns: int, _until_ns: int) -> int:
        """See Due."""
        return 0


@dataclass(frozen=True)
class Process:
    """One process of an agent: what it left of its calls.

    `looked_until_unix_ns` is when nobody looked for answers any longer. `last_sample` is the last
    line of its samples.
    """

    bins: Bins
    due: Mapping[str, Due]
    last_sample: AgentSample | None
    died: bool
    looked_until_unix_ns: int


@dataclass(frozen=True)
class CallWindow:
    """The bins of a run's window: those whose middle lies in it."""

    bounds: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, bins: Bins, from_unix_ns: int, until_unix_ns: int) -> CallWindow:
        """Return the bins of [from, until)."""
        found = []
        start = bins.t0_unix_ns
        while start < until_unix_ns:
            first, last = bins.bounds(start)
            if from_unix_ns <= (first + last) // 2 < until_unix_ns:
                found.append((first, last))
            start = last
        # A window of less than half a bin has that bin.
        return cls(tuple(found) or (bins.bounds(until_unix_ns - 1),))

    @property
    def from_unix_ns(self) -> int:
        """Start of the first bin."""
        return self.bounds[0][0]

    @property
    def until_unix_ns(self) -> int:
        """End of the last bin."""
        return self.bounds[-1][1]


def complete(legs: dict[str, Leg], process: Process, window: CallWindow) -> dict[str, int]:
    """Add to a process's legs what is open; return by leg what fell due in the window.

    `legs` are those that its log has of the window; legs that were due and have no line are added.
    """
    last = process.last_sample
    for name, found in ((last and last.calls) or {}).items():
        for start, count, age_us in _open_at_last(found.open, process.bins, window):
            of_leg = _leg(legs, name)
            of_leg.add_open({age_us: count})
            of_leg.by_start[start] += count
    counts = {}
    for name, due in process.due.items():
        counts[name] = due.count(window.from_unix_ns, window.until_unix_ns)
        leg = legs.get(name)
        left = counts[name] - (0 if leg is None else leg.count + leg.open_count)
        if left <= 0:
            continue
        unanswered = due.unanswered(window.from_unix_ns, window.until_unix_ns)
        if process.died or left == unanswered:
            of_leg = _leg(legs, name)
            for age_us, calls in list(_ages_of_rest(of_leg, due, process, window)):
                of_leg.add_open({age_us: calls})
    return counts


def _leg(legs: dict[str, Leg], name: str) -> Leg:
    return legs.setdefault(name, new_leg())


def _open_at_last(
    bins_open: Iterable[tuple[float, int, float]], bins: Bins, window: CallWindow
) -> Iterator[tuple[int, int, int]]:
    """Iterate over (start in Unix ms, calls, least age in µs) of calls open in the window."""
    for since_t0_s, count, least_age_ms in bins_open:
        start, end = bins.at(since_t0_s)
        if window.from_unix_ns <= start and end <= window.until_unix_ns:
            yield start_ms(start / NS_PER_S), count, round(least_age_ms * 1000)


def _ages_of_rest(
    leg: Leg, due: Due, process: Process, window: CallWindow
) -> Iterator[tuple[int, int]]:
    """Iterate over (least age in µs, calls) of calls that fell due and left no trace, bin by bin.

    Calls answered between a process's last sample and its death may have taken no time.
    """
    last = process.last_sample
    sampled_ns = process.bins.t0_unix_ns if last is None else last.unix_ns
    dead_by_ns = sampled_ns + SAMPLED_WITHIN_NS if process.died else 0
    for start, end in window.bounds:
        left = due.count(start, end) - leg.by_start[start_ms(start / NS_PER_S)]
        if left > 0:
            age_ns = process.looked_until_unix_ns - end if start >= dead_by_ns else 0
            yield max(0, age_ns) // 1000, left
