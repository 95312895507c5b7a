"""Notes that name what stood still in a run, and in which of its phases. Pure.

Figures of latency and rate cover only the window. Readers should also know if something stood
still outside of it: NATS in the drain, for example, held back what consumers were owed until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fpaas.reason import Reason
from fpaas.records.events import AGENT_RESTARTED, RELAY_SILENT
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
    for together in stalls.together(stalls.causes(stalls.of(summary.get("events") or ()))):
        stall = stalls.as_seen_by_all(together)
        has_ended = stall.end_s is not None
        if (stall.part, stall.begin_s) in told or (stall.part in dead and not has_ended):
            continue
        phases = _phases(spec, summary, stall)
        # Those of the window are told with how long they were in all.
        if stall.kind == AGENT_RESTARTED or (stall.kind == RELAY_SILENT and WINDOW in phases):
            continue
        is_drain_hit = DRAIN in phases and stall.holds_up
        parameters = {
            **{name: value for name, value in stall.parameters().items() if name != "host"},
            "hosts": sorted({one.host for one in together if one.host is not None}),
            "phases": phases,
            "pending_at_end": summary["ledger"]["pending_at_end"] if is_drain_hit else None,
            "holds_up": stall.holds_up,
        }
        yield Reason("stood_still", stall.host if len(together) == 1 else None, parameters)


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
