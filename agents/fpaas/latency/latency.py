"""Latency legs as summary.json has them: percentiles of the window, each with its clock error.

Legs from the due time: due → handed to the relay's socket (`due_to_sent`) → read by the shuffler →
acked; stored → first fetched, → fetched by each; due → received by each. The service times,
`publish_ack` and `fetch_call`, begin when the work was begun instead.
"""

from __future__ import annotations

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency import first_fetches
from fpaas.latency.clocks import Clocks
from fpaas.latency.leg_kinds import LEGS, legs_by_class
from fpaas.latency.legs import Legs
from fpaas.measures import figures
from fpaas.measures.figures import Window
from fpaas.measures.histogram_log import of_class
from fpaas.measures.histograms import new_leg


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
                found[name] = first_fetches.leg_ms(
                    bundle, clocks, window, endless=legs.by_beginning
                )
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
