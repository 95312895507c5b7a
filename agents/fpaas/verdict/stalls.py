"""Stalls: stretches of a run in which a part did not answer, from its events. Pure.

An agent also notes shorter pauses of itself: they explain why it was late, but are no stall.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fpaas.bundle.found_event import AGENT_DIED, WORKER_DIED
from fpaas.records.events import (
    AGENT_PAUSED,
    AGENT_RESTARTED,
    NATS_RESTARTED,
    NATS_SILENT,
    READER_BLOCKED,
    RELAY_SILENT,
    STREAM_SILENT,
)

#: Kind of event → the part that answered nothing; of an agent, its name is a parameter.
PARTS = {
    NATS_SILENT: "nats",
    STREAM_SILENT: "stream",
    RELAY_SILENT: "relay",
    AGENT_PAUSED: None,
    AGENT_RESTARTED: None,
}
#: An agent that ran again within this time has not stood still.
PAUSE_LEAST_S = 1.0
#: An agent that runs again looks at what it watches within this time.
LOOKS_AGAIN_S = 0.3
#: Kinds of events after which figures are of another run than an undisturbed one.
BREAKING = (*PARTS, AGENT_DIED, WORKER_DIED, NATS_RESTARTED)


@dataclass(frozen=True)
class Stall:
    """A part that answered nothing from `begin_s` to `end_s` after T0; None: to the run's end.

    `host` is the one that noticed, or whose agent did not run; None if an event names none.
    """

    kind: str
    part: str
    host: str | None
    begin_s: float
    end_s: float | None
    #: If it is about consumers, the workers that did not run.
    workers: list[int] = field(default_factory=list)
    #: Its observer had not run before, and only began to look then.
    began_unseen: bool = False

    @property
    def length_s(self) -> float:
        """How long; infinite if it did not end."""
        return math.inf if self.end_s is None else self.end_s - self.begin_s

    @property
    def holds_up(self) -> bool:
        """Whether the load waits for it, and not only what looks on or keeps workers."""
        keeps_workers = self.part == "consumers" and not self.workers
        is_own = self.kind == AGENT_PAUSED
        return not (is_own and (self.part in ("probe", "faults") or keeps_workers))

    def overlaps(self, from_s: float, until_s: float) -> bool:
        """Whether some of it lies in a stretch of the run."""
        return self.begin_s < until_s and (self.end_s is None or self.end_s > from_s)

    def shared_s(self, other: Stall) -> float:
        """How long both lasted at once; infinite if neither ended."""
        ends = [math.inf if one.end_s is None else one.end_s for one in (self, other)]
        return max(0.0, min(ends) - max(self.begin_s, other.begin_s))

    def parameters(self) -> dict[str, Any]:
        """As parameters of a reason."""
        return {name: value for name, value in asdict(self).items() if name != "began_unseen"}


def of(events: Iterable[Mapping[str, Any]]) -> list[Stall]:
    """Return the stalls among the events of summary.json; older ones have no kind."""
    return [
        stall
        for stall in _silences(events)
        if stall.kind != AGENT_PAUSED or stall.length_s >= PAUSE_LEAST_S
    ]


def pauses(events: Iterable[Mapping[str, Any]]) -> list[Stall]:
    """Return when agents themselves did not run, for however short."""
    return [stall for stall in _silences(events) if stall.kind == AGENT_PAUSED]


def blocks(events: Iterable[Mapping[str, Any]]) -> list[Stall]:
    """Return when the relay's reader took nothing from it."""
    return [
        Stall(READER_BLOCKED, "shuffler", event.get("host"), event["begin_s"], event.get("end_s"))
        for event in events
        if event.get("kind") == READER_BLOCKED
    ]


def together(found: Iterable[Stall]) -> list[list[Stall]]:
    """Group what several saw of one part at the same time; agents are not grouped."""
    groups: list[list[Stall]] = []
    for stall in sorted(found, key=lambda one: one.begin_s):
        same = next(
            (
                group
                for group in groups
                if (group[0].kind, group[0].part) == (stall.kind, stall.part)
                and stall.kind in (NATS_SILENT, RELAY_SILENT)
                and any(stall.shared_s(one) > 0 for one in group)
            ),
            None,
        )
        if same is None:
            groups.append([stall])
        else:
            same.append(stall)
    return groups


def as_seen_by_all(group: Sequence[Stall]) -> Stall:
    """Return one stall, from when the last of them heard something to when the first did again.

    Outside of that it answered somebody. Observers that did not run before heard nothing.
    """
    end_s = min((one.end_s for one in group if one.end_s is not None), default=None)
    seen = [one for one in group if not one.began_unseen] or group[:1]
    begins_s = [one.begin_s for one in seen if end_s is None or one.begin_s < end_s]
    return replace(group[0], begin_s=max(begins_s, default=group[0].begin_s), end_s=end_s)


def _silences(events: Iterable[Mapping[str, Any]]) -> list[Stall]:
    every = [event for event in events if event.get("kind") in PARTS]
    paused = [event for event in every if event["kind"] == AGENT_PAUSED]
    return [
        Stall(
            kind=event["kind"],
            part=PARTS[event["kind"]] or _parameters(event).get("agent") or "agent",
            host=event.get("host"),
            begin_s=event["begin_s"],
            end_s=event.get("end_s"),
            workers=_workers(event) if event["kind"] in (AGENT_PAUSED, AGENT_RESTARTED) else [],
            began_unseen=any(_hid_the_begin(one, event) for one in paused),
        )
        for event in every
    ]


def _hid_the_begin(pause: Mapping[str, Any], silence: Mapping[str, Any]) -> bool:
    """Whether who noticed a silence had not run just before, so that it may be longer."""
    if silence["kind"] == AGENT_PAUSED or pause.get("host") != silence.get("host"):
        return False
    observer, who = _parameters(silence), _parameters(pause)
    are_others = set(_workers(silence)).isdisjoint(_workers(pause)) and _workers(silence)
    if observer.get("agent") != who.get("agent") or are_others:
        return False
    end_s = math.inf if pause.get("end_s") is None else pause["end_s"]
    return bool(pause["begin_s"] <= silence["begin_s"] <= end_s + LOOKS_AGAIN_S)


def _parameters(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return event.get("parameters") or {}


def _workers(event: Mapping[str, Any]) -> list[int]:
    return _parameters(event).get("workers") or []


def is_breaking(event: Mapping[str, Any]) -> bool:
    """Whether figures after an event are of another run than an undisturbed one."""
    begin_s, end_s = event.get("begin_s"), event.get("end_s")
    is_short = begin_s is not None and end_s is not None and end_s - begin_s < PAUSE_LEAST_S
    return event.get("kind") in BREAKING and not (event["kind"] == AGENT_PAUSED and is_short)


def causes(found: Iterable[Stall]) -> list[Stall]:
    """Leave out silences of a relay that is known not to have run then."""
    stalls = list(found)
    away = [
        stall
        for stall in stalls
        if stall.kind in (AGENT_PAUSED, AGENT_RESTARTED) and stall.part == "relay"
    ]
    return [
        stall
        for stall in stalls
        if stall.kind != RELAY_SILENT
        or not any(one.overlaps(stall.begin_s, stall.begin_s + stall.length_s) for one in away)
    ]
