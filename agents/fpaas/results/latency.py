"""Latency legs as summary.json has them: percentiles of the window, each with its clock error.

Legs from the due time: due → handed to the relay's socket (`due_to_sent`) → read by the shuffler →
acked; stored → first fetched, → fetched by each; due → received by each. The service times,
`publish_ack` and `fetch_call`, begin when the work was begun instead.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from fpaas.measures import first_fetch
from fpaas.results import figures
from fpaas.results.bundle import Bundle, JsonObject, cumulative
from fpaas.results.clocks import Clocks
from fpaas.results.figures import Window
from fpaas.results.legs import Legs

#: Leg → (agent that records it, its name there).
LEGS = {
    "publish_ack": ("shuffler", "publish_ack"),
    "due_to_sent": ("relay", "relay_lateness"),
    "due_to_read": ("shuffler", "due_to_read"),
    "due_to_ack": ("shuffler", "due_to_ack"),
    "end_to_end": ("consumers", "end_to_end"),
    "fetch_call": ("consumers", "fetch_call"),
    "fetch_call_intended": ("consumers", "fetch_call_intended"),
    "publish_to_fetch": ("consumers", "publish_to_fetch"),
}


def legs_ms(
    bundle: Bundle, legs: Legs, clocks: Clocks, window: Window, *, complete: bool
) -> dict[str, JsonObject]:
    """Return latency_ms; `complete` tells that every worker left what it measured."""
    found = {"publish_to_first_fetch": figures.NO_LEG}
    if complete:
        found["publish_to_first_fetch"] = _first_fetch(bundle, clocks, window)
    for name, (agent, recorded) in LEGS.items():
        leg = legs.get(agent, recorded)
        found[name] = figures.leg_ms(leg, clocks.error_ms(name)) if leg else figures.NO_LEG
    return found


def _first_fetch(bundle: Bundle, clocks: Clocks, window: Window) -> JsonObject:
    """Time from stored to the first fetch by anybody, of the fetches in the window."""
    name = "publish_to_first_fetch"
    stored_at = _stored_at(bundle)
    middle_s = (window.from_unix_s + window.until_unix_s) / 2
    parts = []
    for part, worker in bundle.workers:
        if worker.first_fetch is None:
            return figures.NO_LEG
        shift_ms = clocks.shift_us(part.host)(name, middle_s) / 1000
        parts.append((worker.first_fetch, round(shift_ms * first_fetch.UNITS_PER_MS)))
    if not stored_at or not parts:
        return figures.NO_LEG
    earliest = first_fetch.earliest_units(parts)
    counts: Counter[int] = Counter()
    from_ns, until_ns = window.from_unix_ns, window.until_unix_ns
    for (before_ns, before_seq), (at_ns, seq) in pairwise(stored_at):
        if seq <= before_seq:
            continue
        each_ns = (at_ns - before_ns) / (seq - before_seq)
        fetched = enumerate(earliest[before_seq:seq], 1)
        counts.update(
            units
            for number, units in fetched
            if units is not None
            and from_ns <= before_ns + number * each_ns + units * first_fetch.UNIT_NS < until_ns
        )
    return figures.leg_of_counts_ms(counts, first_fetch.UNITS_PER_MS, clocks.error_ms(name))


def _stored_at(bundle: Bundle) -> list[tuple[int, int]]:
    """Tell what was stored by when, as (time, last stream sequence): good enough to cut by.

    By the shuffler's samples, those among them in which nothing was stored.
    """
    for part in bundle.parts("shuffler"):
        samples = cumulative(part.shuffler_samples, "last_stream_seq")
        stored = [(unix_ns, int(seq)) for unix_ns, seq in samples]
        if stored:
            t0_unix_ns = bundle.spec.t0_unix_ns
            return [(t0_unix_ns, 0), *(one for one in stored if one[0] > t0_unix_ns)]
    return []
