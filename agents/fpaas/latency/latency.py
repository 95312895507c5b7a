"""Latency legs as summary.json has them: percentiles of the window, each with its clock error.

Legs from the due time: due → handed to the relay's socket (`due_to_sent`) → read by the shuffler →
acked; stored → first fetched, → fetched by each; due → received by each. The service times,
`publish_ack` and `fetch_call`, begin when the work was begun instead.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency.clocks import Clocks
from fpaas.latency.leg_kinds import LEGS, legs_by_class
from fpaas.latency.legs import Legs
from fpaas.latency.stored_times import polled_until_unix_ns, stored_at
from fpaas.measures import figures, first_fetch
from fpaas.measures.figures import Window
from fpaas.measures.histogram_log import of_class
from fpaas.measures.histograms import new_leg
from fpaas.measures.intervals import IntervalSet

#: Later than any run.
NEVER_UNIX_NS = 2**63 - 1
FIRST_FETCH = "publish_to_first_fetch"


def legs_ms(
    bundle: Bundle,
    legs: Legs,
    clocks: Clocks,
    window: Window,
    *,
    complete: bool,
) -> dict[str, JsonObject]:
    """Return latency_ms; `complete` tells that every worker left what it measured."""
    found = {}
    for name, kind in LEGS.items():
        if kind.recorded is None:
            found[name] = {**figures.NO_LEG}
            if complete:
                found[name] = _first_fetch(bundle, clocks, window, endless=legs.by_beginning)
        else:
            found[name] = _recorded(name, kind.recorded, legs, clocks)
        found[name]["assigned_by"] = _assigned_by(name, legs)
    return found


def of_class_ms(name: str, legs: Legs, clocks: Clocks) -> dict[str, JsonObject]:
    """Return the legs of one class of consumers; empty of older runs, which have legs of all."""
    found: dict[str, JsonObject] = {}
    for leg in legs_by_class():
        kind = LEGS[leg]
        tag = of_class(kind.recorded or "", name)
        if legs.get(kind.agent, tag) is None and (kind.agent, tag) not in legs.due:
            continue
        found[leg] = _recorded(leg, tag, legs, clocks)
        found[leg]["assigned_by"] = _assigned_by(leg, legs)
    return found


def _recorded(name: str, tag: str, legs: Legs, clocks: Clocks) -> JsonObject:
    """Return a leg that agents recorded under a tag."""
    kind = LEGS[name]
    due_count = legs.due.get((kind.agent, tag))
    leg = legs.get(kind.agent, tag)
    if leg is None and due_count:
        # Nothing that fell due was recorded.
        leg = new_leg()
    if leg is None:
        return {**figures.NO_LEG}
    found = figures.leg_ms(leg, clocks.error_ms(name), due_count)
    undelivered = legs.undelivered.get(tag)
    if kind.agent in legs.cut_short or (kind.is_age and legs.by_beginning and undelivered is None):
        # Nobody knows what ended between a killed process's last sample and its death; or how much
        # was not delivered.
        found["at_least"] = figures.unsure(found)
    if not legs.by_beginning or kind.is_age:
        found |= dict.fromkeys(("open_count", "open_min_ms", "missing_count"))
    if kind.is_age and undelivered is not None:
        found["missing_count"] = undelivered.total()
        found["missing_min_ms"] = min(undelivered) / 1000 if undelivered else None
    return found


def _assigned_by(name: str, legs: Legs) -> str:
    kind = LEGS[name]
    return kind.assigned_by if kind.is_age or legs.by_beginning else "ended"


def _first_fetch(bundle: Bundle, clocks: Clocks, window: Window, *, endless: bool) -> JsonObject:
    """Time from stored to the first fetch by anybody, of the first fetches in a window.

    It may be `endless`, like the windows of other ages: later fetches are in it, too. A stream that
    was lost and made again is two. An event of a lost stream that nobody fetched is missing only if
    it was not stored again.
    """
    fetched_in = Window(window.from_unix_ns, NEVER_UNIX_NS) if endless else window
    lost = bundle.shuffler.lost_streams if bundle.shuffler is not None else []
    count = bundle.spec.stream.count
    # Of several streams, those that are there; else those that were lost, and the last one.
    parts: list[list[tuple[array[int], str]]] = [[] for _ in range(max(len(lost) + 1, count))]
    for part, worker in bundle.workers:
        created = worker.result.streams if worker.result is not None else [None]
        numbers = [_number_of(one, [stream.created for stream in lost]) for one in created]
        if count > 1:
            numbers = list(range(count))
        if len(worker.first_fetches) != len(numbers):
            return {**figures.NO_LEG}
        for number, kept in zip(numbers, worker.first_fetches, strict=True):
            if kept is None:
                return {**figures.NO_LEG}
            parts[number].append((kept, part.host))
    if not parts[-1]:
        return {**figures.NO_LEG}
    counts: Counter[int] = Counter()
    never: Counter[int] = Counter()
    again = bundle.shuffler.replayed_seqs if bundle.shuffler is not None else IntervalSet()
    for number, of_stream in enumerate(parts):
        stored = stored_at(bundle, number)
        if not stored:
            return {**figures.NO_LEG}
        passed_by = IntervalSet()
        if number < len(lost):
            for seq, at, count in lost[number].stream_seqs:
                for first, last in again.within(seq, seq + count - 1):
                    begin, end = max(first, seq), min(last, seq + count - 1)
                    passed_by.add_range(at + begin - seq, at + end - seq)
        earliest = first_fetch.earliest_units(
            _by_common_clock(kept, host, clocks, stored) for kept, host in of_stream
        )
        of_one = _first_fetches(
            earliest, stored, fetched_in, passed_by, end_unix_ns=polled_until_unix_ns(bundle)
        )
        counts += of_one.counts
        never += of_one.never
    leg = figures.leg_of_counts_ms(
        counts,
        first_fetch.UNITS_PER_MS,
        clocks.error_ms(FIRST_FETCH),
        open_counts=never if endless else {},
    )
    youngest_ms = min(never) / first_fetch.UNITS_PER_MS if never else None
    return leg | {"missing_count": never.total(), "missing_min_ms": youngest_ms}


def _by_common_clock(
    kept: array[int], host: str, clocks: Clocks, stored: list[tuple[int, int]]
) -> list[int]:
    shift_us = clocks.shift_us(host)

    def shift_at(unix_s: float) -> int:
        return round(shift_us(FIRST_FETCH, unix_s) * first_fetch.UNITS_PER_MS / 1000)

    if clocks.is_drifting(FIRST_FETCH, host):
        return first_fetch.corrected_by_time(kept, _each_stored_unix_ns(stored), shift_at)
    return first_fetch.corrected(kept, shift_at(0.0))


class _FirstFetches(NamedTuple):
    """For one stream, in units: ages at the first fetch, and at the end if nobody fetched them."""

    counts: Counter[int]
    never: Counter[int]


def _first_fetches(
    earliest: Sequence[int | None],
    stored_at: list[tuple[int, int]],
    window: Window,
    passed_by: IntervalSet,
    *,
    end_unix_ns: int,
) -> _FirstFetches:
    counts: Counter[int] = Counter()
    never: Counter[int] = Counter()
    from_ns, until_ns = window.from_unix_ns, window.until_unix_ns
    for position, stored_ns in enumerate(_each_stored_unix_ns(stored_at)):
        units = earliest[position] if position < len(earliest) else None
        if units is None:
            # The last message before a sample is put at the sample itself.
            if stored_ns <= until_ns and position + 1 not in passed_by:
                never[max(0, int(end_unix_ns - stored_ns) // first_fetch.UNIT_NS)] += 1
        elif from_ns <= stored_ns + units * first_fetch.UNIT_NS < until_ns:
            counts[units] += 1
    return _FirstFetches(counts, never)


def _each_stored_unix_ns(stored_at: list[tuple[int, int]]) -> Iterator[float]:
    """Tell when each stream sequence was stored, from 1 on, evenly between two samples."""
    for (before_ns, before_seq), (at_ns, seq) in pairwise(stored_at):
        if seq > before_seq:
            each_ns = (at_ns - before_ns) / (seq - before_seq)
            for number in range(1, seq - before_seq + 1):
                yield before_ns + number * each_ns


def _number_of(created: str | None, lost: list[str | None]) -> int:
    """Return the number of a stream among those that were lost, -1 for the last."""
    return lost.index(created) if created in lost else -1
