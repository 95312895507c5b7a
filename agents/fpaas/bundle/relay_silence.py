"""When the relay was silent: stretches of a run without an event, though it was read.

Only events count: pongs, #info, other kinds, and frames that cannot be decoded or were read before
are none. How long makes a silence follows from how often an
event is due, so that a relay that sends one every few seconds is not silent between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import HostPart, cumulative
from fpaas.measures import figures
from fpaas.measures.figures import Window
from fpaas.measures.quiet import Stretch
from fpaas.records.events import AGENT_PAUSED
from fpaas.records.status import State
from fpaas.spec import NS_PER_S, Fault, RunSpec

#: Shorter stretches are no silence at any rate.
LEAST_S = 1.0
#: If events come at random, the longest wait for one of N is about ln N mean ones; this many more
#: happen in one run of 150.
MARGIN_INTERVALS = 5.0
#: The last event may be that much older than a fault, and things recover after it is undone.
BEFORE_FAULT_S = 0.5
AFTER_FAULT_S = 5.0
#: A shuffler that did not run, and goes on, has read what is there within this time.
READ_AFTER_PAUSE_NS = NS_PER_S // 2
#: Parts whose faults keep events from being read, and faults that do not, whatever they are on.
ON_THE_WAY = ("relay", "shuffler", "nats")
BESIDE_THE_WAY = ("fill_disk", "step_clock")


@dataclass(frozen=True)
class Silences:
    """Silences of a window, in order, by the wall clock in ns; a stretch of `least_s` is one.

    `unasked` is the rest of them, outside the times of the run's faults.
    """

    stretches: list[Stretch]
    unasked: list[Stretch]
    least_s: float
    window: Window

    def lengths_s(self, stretches: list[Stretch]) -> list[float]:
        """Return how much of each lies in the window."""
        return _lengths_s(stretches, self.window)


def find(bundle: Bundle, window: Window) -> Silences | None:
    """Return the silences of a window; None if they were not measured."""
    part = next((part for part in bundle.parts("shuffler") if part.shuffler is not None), None)
    if part is None or part.shuffler is None or part.shuffler.quiet is None:
        return None
    due = filter(None, (while_due(bundle, one) for one in part.shuffler.quiet))
    pauses = _own_pauses(part)
    quiet = list(filter(None, (unless_paused(one, pauses) for one in due)))
    least_s = _least_s(bundle.spec, part, quiet)
    long_enough = [one for one in quiet if one[1] - one[0] > least_s * NS_PER_S]
    unasked = _without(long_enough, _faults(bundle.spec))
    return Silences(_in(long_enough, window), _in(unasked, window), least_s, window)


def while_due(bundle: Bundle, stretch: Stretch) -> Stretch | None:
    """Return the part of a stretch in which events are due: between T0 and the firehose's end.

    If the run was ended early, the firehose ends when our relay is stopped, before its readers are.
    """
    spec = bundle.spec
    ends = [spec.offer_until_unix_ns]
    for part in bundle.parts("relay"):
        status = part.statuses.get("relay")
        if status is not None and status.state == State.STOPPED:
            ends.append(max(part.last_samples("relay"), default=ends[0]))
    since, until = max(stretch[0], spec.t0_unix_ns), min(stretch[1], *ends)
    return (since, until) if since < until else None


def unless_paused(stretch: Stretch, pauses: Sequence[Stretch]) -> Stretch | None:
    """Return a stretch without the shuffler's own pauses at its end; `pauses` are in order.

    What came in a pause is read right after it. So if it was still quiet then, it was all the time.
    """
    since, until = stretch
    for paused_since, paused_until in reversed(pauses):
        if paused_since >= until:
            continue
        if paused_until < until - READ_AFTER_PAUSE_NS:
            break
        until = paused_since
    return (since, until) if since < until else None


def _in(stretches: Iterable[Stretch], window: Window) -> list[Stretch]:
    return [
        one for one in stretches if one[0] < window.until_unix_ns and one[1] > window.from_unix_ns
    ]


def _lengths_s(stretches: Iterable[Stretch], window: Window) -> list[float]:
    first, end = window.from_unix_ns, window.until_unix_ns
    return [(min(until, end) - max(since, first)) / NS_PER_S for since, until in stretches]


def _faults(spec: RunSpec) -> list[Stretch]:
    """Return when faults of the run's own may keep events away."""
    return sorted(
        (
            spec.t0_unix_ns + round((fault.at_s - BEFORE_FAULT_S) * NS_PER_S),
            spec.t0_unix_ns + round((fault.until_s + AFTER_FAULT_S) * NS_PER_S),
        )
        for fault in spec.faults
        if _keeps_events_away(spec, fault)
    )


def _keeps_events_away(spec: RunSpec, fault: Fault) -> bool:
    """Whether a fault is on the events' way; without NATS, none is read either."""
    if fault.do in BESIDE_THE_WAY:
        return False
    on_the_way = {*ON_THE_WAY, *(host for part in ON_THE_WAY for host in spec.hosts.get(part, ()))}
    return any(
        target is not None and target.partition(":")[0] in on_the_way
        for target in (fault.on, fault.peer)
    )


def _least_s(spec: RunSpec, part: HostPart, quiet: list[Stretch]) -> float:
    """Return how long is too long for chance, by all that the relay was to send."""
    offered = Window(spec.t0_unix_ns, spec.offer_until_unix_ns)
    grown = figures.growth(list(cumulative(part.shuffler_samples, "read")), offered)
    events = grown[0] if grown is not None else 0.0
    rate_per_s = spec.firehose.slowest_per_s
    if rate_per_s is None:
        # From its rate outside of its longest silence, or a dead relay would pass for a slow one.
        longest_s = max(_lengths_s(_in(quiet, offered), offered), default=0.0)
        rate_per_s = events / max(offered.length_s - longest_s, LEAST_S)
    if not rate_per_s:
        return LEAST_S
    return max(LEAST_S, (math.log(max(events, 1.0)) + MARGIN_INTERVALS) / rate_per_s)


def _own_pauses(part: HostPart) -> list[Stretch]:
    """Return when the shuffler itself did not run, and could hear nobody."""
    return sorted(
        (event.begin_unix_ns, event.end_unix_ns)
        for event in part.events.get("shuffler", [])
        if event.kind == AGENT_PAUSED and event.end_unix_ns is not None
    )


def _without(stretches: Iterable[Stretch], holes: list[Stretch]) -> Iterator[Stretch]:
    for since, until in stretches:
        begin = since
        for hole_since, hole_until in holes:
            if hole_until <= begin or hole_since >= until:
                continue
            if hole_since > begin:
                yield begin, hole_since
            begin = hole_until
        if begin < until:
            yield begin, until
