"""Notes that name what stood still in a run, and in which of its phases. Pure.

Figures of latency and rate are of the window alone. Whoever reads them has to know that something
stood still beside it, too: NATS in the drain, say, kept what consumers were owed until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from fpaas.reason import Reason
from fpaas.records.events import AGENT_RESTARTED, NATS_SILENT, RELAY_SILENT
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.verdict import stalls
from fpaas.verdict.stalls import Stall

LEAD: Final = "lead"
WARMUP: Final = "warmup"
WINDOW: Final = "window"
DRAIN: Final = "drain"
AFTER: Final = "after"


def notes(spec: RunSpec, summary: dict[str, Any], reasons: Sequence[Reason]) -> Iterator[Reason]:
    """Iterate over what stood still, unless it died, or is among the run's reasons."""
    told = {
        (reason.parameters["agent"], reason.parameters["begin_s"])
        for reason in reasons
        if reason.code == "agent_paused"
    }
    dead = {reason.code.removesuffix("_died") for reason in reasons if reason.code.endswith("died")}
    for together in _together(stalls.causes(stalls.of(summary.get("events") or ()))):
        stall = _as_seen_by_all(together)
        has_ended = stall.end_s is not None
        if (stall.part, stall.begin_s) in told or (stall.part in dead and not has_ended):
            continue
        phases = _phases(spec, summary, stall)
        # Those of the window are told with how long they were in all.
        if stall.kind == AGENT_RESTARTED or (stall.kind == RELAY_SILENT and WINDOW in phases):
            continue
        is_drain_hit = DRAIN in phases and stall.part in ("nats", "consumers")
        parameters = {
            **{name: value for name, value in stall.parameters().items() if name != "host"},
            "hosts": sorted({one.host for one in together if one.host is not None}),
            "phases": phases,
            "pending_at_end": summary["ledger"]["pending_at_end"] if is_drain_hit else None,
        }
        yield Reason("stood_still", stall.host if len(together) == 1 else None, parameters)


def _together(found: Sequence[Stall]) -> list[list[Stall]]:
    """Put together what several saw of one part at the same time; each agent is one by itself."""
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


def _as_seen_by_all(together: list[Stall]) -> Stall:
    """Return from when the first missed it, to when the first heard it again."""
    ends_s = [one.end_s for one in together if one.end_s is not None]
    return replace(together[0], end_s=min(ends_s, default=None))


def _phases(spec: RunSpec, summary: dict[str, Any], stall: Stall) -> list[str]:
    """Return the phases of the run that a stall had a part of."""
    window = summary["window"]
    end_s = (spec.end_unix_ns - spec.t0_unix_ns) / NS_PER_S
    edges = [
        (LEAD, float("-inf"), 0.0),
        (WARMUP, 0.0, window["from_s"]),
        (WINDOW, window["from_s"], window["until_s"]),
        (DRAIN, window["until_s"], end_s),
        (AFTER, end_s, float("inf")),
    ]
    return [name for name, from_s, until_s in edges if stall.overlaps(from_s, until_s)]
