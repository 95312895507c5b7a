"""Calls: they have a beginning, and an end that may never come.

A call (a publish, a pull, a frame that is due) belongs to the stretch of the run in which it began,
whatever becomes of it later: otherwise calls that hang at the end of a window would be missing from
it. Calls that were given up keep the age that they had then; those that are open when an agent is
killed are known from its last sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fpaas.common_time import NS_PER_S
from fpaas.measures.histogram_log import OPEN_SUFFIX, Line, lines_of


@dataclass(frozen=True)
class Bins:
    """Stretches of time that calls are filed under: whole seconds since T0, split at `cuts`."""

    t0_unix_ns: int
    cuts_unix_ns: tuple[int, ...] = ()

    def bounds(self, unix_ns: int) -> tuple[int, int]:
        """Return the stretch [start, end) that a time lies in, in Unix ns."""
        start = unix_ns - (unix_ns - self.t0_unix_ns) % NS_PER_S
        end = start + NS_PER_S
        for cut in self.cuts_unix_ns:
            if start < cut <= unix_ns:
                start = cut
            elif unix_ns < cut < end:
                end = cut
        return start, end

    def since_t0_s(self, unix_ns: int) -> float:
        """Return seconds since T0, as sample files have them."""
        return round((unix_ns - self.t0_unix_ns) / NS_PER_S, 6)

    def at(self, start_s: float) -> tuple[int, int]:
        """Return the stretch that sample files name by its start, as `since_t0_s` has it."""
        # Into it by more than starts are rounded by.
        return self.bounds(self.t0_unix_ns + round(start_s * NS_PER_S) + 1_000)

    def split(
        self, began_unix_ns: Sequence[int], values: Sequence[int]
    ) -> Iterator[tuple[int, int, list[int]]]:
        """Sort values by the stretch in which they began: (start, end, values), Unix ns."""
        if not began_unix_ns:
            return
        start, end = self.bounds(max(began_unix_ns))
        if min(began_unix_ns) >= start:
            yield start, end, list(values)
            return
        # Most began in the latest stretch.
        pairs = list(zip(began_unix_ns, values, strict=True))
        yield start, end, [value for began, value in pairs if began >= start]
        earlier: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for began, value in pairs:
            if began < start:
                earlier[self.bounds(began)].append(value)
        for (first, last), found in earlier.items():
            yield first, last, found


class CallRecorder:
    """Collects one leg's calls.

    On the hot path an answered call appends its latency to `samples_ns` and its beginning to
    `began_unix_ns`. `still_open` returns the beginnings of calls that wait for their answer now.
    Without `bins`, which only a run has, nothing is written and `forget` keeps memory bounded.
    """

    __slots__ = ("_begun", "_given_up", "began_unix_ns", "bins", "leg", "samples_ns", "still_open")

    def __init__(self, leg: str, bins: Bins | None = None) -> None:
        self.leg = leg
        self.bins = bins
        self.samples_ns: list[int] = []
        self.began_unix_ns: list[int] = []
        self.still_open: Callable[[], Iterable[int]] = tuple
        self._begun: list[tuple[int, int]] = []
        self._given_up: list[tuple[int, int]] = []

    def begin(self, unix_ns: int, count: int = 1) -> None:
        """Count calls that begin: what their answers are held against."""
        self._begun.append((unix_ns, count))

    def end(self, began_unix_ns: int, now_unix_ns: int) -> None:
        """Take in an answered call; the hot loops write this out."""
        self.samples_ns.append(now_unix_ns - began_unix_ns)
        self.began_unix_ns.append(began_unix_ns)

    def give_up(self, began_unix_ns: int, now_unix_ns: int) -> None:
        """Take in a call that nobody waits for any longer."""
        self._given_up.append((began_unix_ns, max(0, now_unix_ns - began_unix_ns)))

    def forget(self) -> None:
        """Drop what was recorded."""
        self.samples_ns = []
        self.began_unix_ns = []
        self._begun = []
        self._given_up = []

    def take(self, _start_unix_s: float, _until_unix_s: float) -> Iterator[Line]:
        """Return the calls that ended since the last time, by when they began, and forget them."""
        samples_ns, self.samples_ns = self.samples_ns, []
        began, self.began_unix_ns = self.began_unix_ns, []
        given_up, self._given_up = self._given_up, []
        yield from self._lines(self.leg, began, samples_ns)
        yield from self._lines(
            self.leg + OPEN_SUFFIX, [one for one, _ in given_up], [age for _, age in given_up]
        )

    def _lines(self, tag: str, began: Sequence[int], values_ns: Sequence[int]) -> Iterator[Line]:
        if self.bins is None:
            return
        for start, end, values in self.bins.split(began, values_ns):
            yield from lines_of(tag, values, start / NS_PER_S, end / NS_PER_S)

    def begun_and_open(
        self, now_unix_ns: int
    ) -> tuple[list[tuple[float, int]], list[tuple[float, int, float]]]:
        """Return the calls begun since the last time, and those open now, by stretch.

        `[(start, calls), …]` and `[(start, calls, age of the youngest in ms), …]`; starts are of
        stretches, in seconds since T0.
        """
        begun_at, self._begun = self._begun, []
        if self.bins is None:
            return [], []
        bins = self.bins
        begun: defaultdict[int, int] = defaultdict(int)
        for unix_ns, count in begun_at:
            begun[bins.bounds(unix_ns)[0]] += count
        open_since = list(self.still_open())
        waiting = list(bins.split(open_since, open_since))
        return (
            [(bins.since_t0_s(start), count) for start, count in sorted(begun.items())],
            [
                (
                    bins.since_t0_s(start),
                    len(since),
                    round(max(0, now_unix_ns - max(since)) / 1e6, 3),
                )
                for start, _, since in sorted(waiting)
            ],
        )
