"""How certain clocks must be for latencies to mean anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpaas.reason import Reason
from fpaas.spec import NS_PER_S, RunSpec

#: Samples are kept to 0.1 ms at worst.
CLOCK_SLACK_MS = 0.2
#: A fetch within a region takes some milliseconds; with a clock less certain, that says nothing.
CLOCK_BOUND_LIMIT_MS = 10.0


def unsure_clocks(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name hosts whose clock is not known well enough."""
    for host, clock in summary["clock"].items():
        if spec.hosts["nats"] == [host]:
            # The clock that all others are compared with.
            continue
        bound_ms = clock["bound_ms"]
        if bound_ms is None:
            yield Reason("clock_unknown", host)
        elif bound_ms > CLOCK_BOUND_LIMIT_MS:
            bound = {"bound_ms": bound_ms, "limit_ms": CLOCK_BOUND_LIMIT_MS}
            yield Reason("clock_unsure", host, bound)


def wrong_clocks(spec: RunSpec, summary: dict[str, Any]) -> Iterator[Reason]:
    """Name clocks that were set in the run, and latencies that show a wrong one."""
    for host, clock in summary["clock"].items():
        if clock.get("stepped"):
            steps = [
                {
                    "step_ms": step["step_ms"],
                    "at_s": (step["unix_ns"] - spec.t0_unix_ns) / NS_PER_S,
                }
                for step in clock.get("steps") or ()
            ]
            yield Reason("clock_set", host, {"steps": steps})
    for name, leg in summary["latency_ms"].items():
        error_ms = leg["clock_error_ms"]
        if leg["min"] is None or error_ms is None:
            continue
        if leg["min"] < -(error_ms + CLOCK_SLACK_MS):
            negative = {"leg": name, "min_ms": leg["min"], "clock_error_ms": error_ms}
            yield Reason("latency_negative", None, negative)
