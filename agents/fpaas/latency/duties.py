"""The load generators' own lateness outside of the times in which the run's faults explain it.

A fault explains that its targets are late, from its begin until they are back. Everything else has
to be on time, so duties are judged by the rest of the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency.legs import call_window
from fpaas.measures import histograms
from fpaas.measures.figures import Window
from fpaas.spec import NS_PER_S
from fpaas.spec.faults import CONSUMERS, KINDS, NATS, RELAY, SHUFFLER

LOOP_LAG = "loop_lag"
#: A target has this long to be on time again; histograms are of whole seconds, too.
BACK_WITHIN_S = 3.0
#: If less of the window is left, it says nothing of the rest.
LEFT_MIN_SHARE = 0.3
#: Agents that are late if a part is stopped or ended: itself, and those whose connections it ends.
_HIT = {NATS: (SHUFFLER, CONSUMERS), RELAY: (RELAY, SHUFFLER), SHUFFLER: (SHUFFLER,)}

Hole = tuple[float, float]


@dataclass(frozen=True)
class Duties:
    """p99 in ms of the lateness that is an agent's own; of nothing, if nothing was excused.

    `loop_lag` is by process, the worst of each agent; `own` by leg.
    """

    loop_lag: dict[str, float]
    own: dict[str, float]


def outside(bundle: Bundle, window: Window, faults: Sequence[JsonObject]) -> Duties | None:
    """Judge the agents outside of the faults' times; None if no fault explains anything."""
    holes = {agent: list(_holes(agent, faults)) for agent in (RELAY, SHUFFLER, CONSUMERS)}
    if not any(holes.values()):
        return None
    calls = call_window(bundle.spec, window)
    t0_unix_s = bundle.spec.t0_unix_ns / NS_PER_S
    lags: dict[str, float] = {}
    own: dict[str, float] = {}
    for agent, of_agent in holes.items():
        excused = [(t0_unix_s + since_s, t0_unix_s + until_s) for since_s, until_s in of_agent]
        if _left(window, excused) < LEFT_MIN_SHARE * window.length_s:
            excused = []
        worst: tuple[float, str] | None = None
        for part in bundle.hosts.values():
            for path in part.histogram_logs(agent):
                legs = histograms.merge_logs(
                    [path],
                    from_unix_s=calls.from_unix_ns / NS_PER_S,
                    until_unix_s=calls.until_unix_ns / NS_PER_S,
                    holes=excused,
                )
                for name, leg in legs.items():
                    p99_us = leg.percentile_us(99)
                    if p99_us is None:
                        continue
                    if name == LOOP_LAG:
                        process = f"{path.name.removesuffix('.hlog')} on {part.host}"
                        worst = max(worst or (0.0, ""), (p99_us / 1000, process))
                    elif name.endswith("_own"):
                        own[name] = max(own.get(name, 0.0), p99_us / 1000)
        if worst is not None:
            lags[worst[1]] = worst[0]
    return Duties(lags, own)


def _holes(agent: str, faults: Iterable[JsonObject]) -> Iterable[Hole]:
    for fault in faults:
        if fault["began_s"] is None or fault["ended_s"] is None:
            continue
        is_cut = fault["kind"] == "partition"
        if not is_cut and KINDS[fault["kind"]].shares not in ("process", "clock"):
            continue
        parts = {one.partition(": ")[2].partition(":")[0] for one in fault["on"]}
        parts = {CONSUMERS if part == "worker" else part for part in parts}
        if is_cut:
            parts.add(fault["parameters"]["peer"])
        if agent in parts or any(agent in _HIT.get(part, ()) for part in parts):
            yield fault["began_s"] - 1.0, fault["ended_s"] + BACK_WITHIN_S


def _left(window: Window, holes: Sequence[Hole]) -> float:
    """Return how many seconds of a window are in no hole."""
    left_s, at_s = 0.0, window.from_unix_s
    for since_s, until_s in sorted(holes):
        left_s += max(0.0, min(since_s, window.until_unix_s) - at_s)
        at_s = max(at_s, until_s)
    return left_s + max(0.0, window.until_unix_s - at_s)
