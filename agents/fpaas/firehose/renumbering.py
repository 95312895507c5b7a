"""How our relay renumbers its frames, as a run's faults have it, and how its readers count on.

The relay's frames have indices 0, 1, …, and their seqs follow from its numberings. A reader counts
in positions (`fpaas.firehose.numbering`): they are the seqs as long as these go up, gaps included,
and go on by one if the seqs go back or leap.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from fpaas.firehose.numbering import LEAP_MAX
from fpaas.spec import NS_PER_S, Fault

_FOREVER = 2**62
REWIND, RENUMBER = "rewind", "renumber"


class Numbered(NamedTuple):
    """From frame `first_index` on, frame i has seq i + `shift`, until the next numbering."""

    first_index: int
    shift: int


def numberings(
    due_count: Callable[[int], int], faults: Sequence[Fault], first_seq: int
) -> Iterator[Numbered]:
    """Iterate over the numberings in order; what is undone leaves the one that it replaced.

    `due_count` tells how many frames are due by a time, in ns after T0.
    """
    changes = [fault for fault in faults if fault.do in (REWIND, RENUMBER)]
    moments = [(round(fault.at_s * NS_PER_S), fault) for fault in changes]
    moments += [(round(fault.until_s * NS_PER_S), fault) for fault in changes if fault.for_s]
    in_force: list[tuple[int, Fault | None]] = [(first_seq, None)]
    yield Numbered(0, first_seq)
    for at_ns, fault in sorted(moments, key=lambda moment: moment[0]):
        at_index = due_count(at_ns)
        left = [(shift, by) for shift, by in in_force if by is not fault]
        if len(left) == len(in_force):
            left.append((_shift(fault, at_index, in_force[-1][0]), fault))
        in_force = left
        yield Numbered(at_index, in_force[-1][0])


def _shift(fault: Fault, at_index: int, before: int) -> int:
    if fault.do == RENUMBER:
        return (fault.first_seq or 1) - at_index
    # There is no seq below 1.
    return max(before - (fault.frames or 0), 1 - at_index)


def positions(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Iterate over (first position, frames) of numberings that are (first seq, frames)."""
    base, following = 0, None
    for first_seq, count in runs:
        ahead = 0 if following is None else first_seq + base - following
        if following is not None and not 0 <= ahead <= LEAP_MAX:
            base = following - first_seq
        yield first_seq + base, count
        following = first_seq + base + count


def index_of(numbered: Sequence[Numbered]) -> Callable[[int], int]:
    """Return what finds a frame's index by its position."""
    ends = [one.first_index for one in numbered[1:]]
    # The last one has no end.
    lengths = [end - one.first_index for one, end in zip(numbered, [*ends, _FOREVER], strict=True)]
    kept = [(one, length) for one, length in zip(numbered, lengths, strict=True) if length > 0]
    runs = ((one.first_index + one.shift, count) for one, count in kept)
    firsts = [first for first, _ in positions(runs)]
    indices = [one.first_index for one, _ in kept]

    def find(position: int) -> int:
        at = max(0, bisect_right(firsts, position) - 1)
        return indices[at] + position - firsts[at]

    return find
