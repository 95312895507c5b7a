"""What the faults of a run explain, and what is wrong with the faults themselves. Pure.

A fault excuses only what it must bring about, and only if it is known to have happened and to have
been undone. The load generators' lateness and the relay's silence are not among it: they are judged
outside of the faults' times (`fpaas.latency.duties`, `fpaas.bundle.relay_silence`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpaas.latency.leg_kinds import LEGS
from fpaas.reason import Reason
from fpaas.records.events import FAULT
from fpaas.spec import RunSpec
from fpaas.spec.faults import LEADER, targets

#: Frames of these are no CBOR, or half of it.
BAD_FRAMES = ("garbage", "half_frame")
#: Steps of a clock are found to this much.
STEP_SLACK_MS = 100.0
#: A fault that begins or is undone so late is worth knowing. Figures go by when it did.
FAULT_LATE_MS = 100.0


def amiss(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name faults that did not happen, on a host that they are on, and what was not undone."""
    events = [one for one in summary.get("events") or () if one["kind"] == FAULT]
    for number, fault in enumerate(spec.faults):
        said = {"number": number, "do": fault.do, "on": fault.on, "at_s": fault.at_s}
        own = [
            one
            for one in events
            if (one["parameters"].get("number"), one["parameters"].get("do")) == (number, fault.do)
        ]
        hosts = dict.fromkeys(target.host for target in targets(fault, spec.hosts))
        hit = {one["host"] for one in own}
        missing = [host for host in hosts if host not in hit]
        if fault.on == LEADER and len(hit) == 1:
            missing = []
        for host in missing:
            yield Reason("fault_not_injected", host, said)
        for one in own:
            if one["end_s"] is None:
                yield Reason("fault_not_undone", one["host"], said)


def late(summary: dict[str, Any]) -> Iterator[Reason]:
    """Name faults that did not begin, or were not undone, when they should have been."""
    for number, one in enumerate(summary.get("faults") or ()):
        late_ms = {name: one.get(name) or 0.0 for name in ("began_late_ms", "ended_late_ms")}
        if max(late_ms.values()) > FAULT_LATE_MS:
            yield Reason("fault_late", None, {"number": number, "do": one["kind"], **late_ms})


def explaining(reason: Reason, spec: RunSpec, summary: dict[str, Any]) -> list[int]:
    """Return the faults that explain a reason all by themselves; none if it stands."""
    happened = {
        number: one
        for number, one in enumerate(summary.get("faults") or ())
        if one["began_s"] is not None and one["undone"]
    }
    if reason.code == "frames_undecodable":
        return _bad_frames(reason, happened)
    if reason.code in ("clock_set", "clock_unsure", "latency_negative", "start_spread"):
        return _clock(reason, spec, summary, happened)
    return []


def _bad_frames(reason: Reason, happened: dict[int, dict[str, Any]]) -> list[int]:
    bad = {n: one for n, one in happened.items() if one["kind"] in BAD_FRAMES}
    sent = sum(one["parameters"]["frames"] for one in bad.values())
    limit = reason.parameters["limit_frames"]
    return list(bad) if reason.parameters["count"] <= limit + sent else []


def _clock(
    reason: Reason, spec: RunSpec, summary: dict[str, Any], happened: dict[int, dict[str, Any]]
) -> list[int]:
    """Whether all steps of a host's clock are the faults' own, there and back.

    Latencies from one clock to another mean nothing then, so no goal may be about any. A clock that
    was set is one that no bound holds of, and by which agents seem to begin apart.
    """
    goals = spec.scenario.goals or {}
    figures = [name.rpartition(".")[2] for name in goals]
    if any(name.startswith(f"{leg}_") for name in figures for leg in LEGS):
        return []
    steps = {n: one for n, one in happened.items() if one["kind"] == "step_clock"}
    if reason.code == "latency_negative":
        return list(steps)
    if reason.code == "start_spread":
        apart_ms, limit_ms = reason.parameters["clocks_apart_ms"], reason.parameters["limit_ms"]
        is_clocks = apart_ms is not None and reason.parameters["spread_ms"] - apart_ms <= limit_ms
        hosts = [host for host, clock in summary["clock"].items() if clock.get("steps")]
        mine = [_own_steps(host, summary, steps) for host in hosts]
        return list(steps) if is_clocks and mine and all(mine) else []
    return _own_steps(reason.host, summary, steps)


def _own_steps(
    host: str | None, summary: dict[str, Any], steps: dict[int, dict[str, Any]]
) -> list[int]:
    """Return the faults that all steps of a host's clock are of; none if there is another."""
    mine = {
        n: one
        for n, one in steps.items()
        if any(part.startswith(f"{host}: ") for part in one["on"])
    }
    due_ms = [
        sign * 1000 * one["parameters"]["step_s"] for one in mine.values() for sign in (1, -1)
    ]
    found = summary["clock"].get(host, {}).get("steps") or ()
    are_known = all(
        any(abs(step["step_ms"] - due) <= STEP_SLACK_MS for due in due_ms) for step in found
    )
    return list(mine) if found and len(found) <= len(due_ms) and are_known else []
