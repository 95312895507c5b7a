"""A run's faults in words, from summary.json: what each did, and what it cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpaas.agreement import agreeing, count_of

#: Terms of the ledger that say what a fault cost, and how they are called.
COSTS = {
    "not_read": "event not read|events not read",
    "publish_failed": "publish failed|publishes failed",
    "publish_unknown": "publish unknown|publishes unknown",
    "duplicates_rejected": "duplicate rejected|duplicates rejected",
    "lost": "delivery lost|deliveries lost",
    "redelivered": "delivery repeated|deliveries repeated",
    "duplicate_deliveries": "duplicate delivered|duplicates delivered",
}
UNKNOWN = "-"


def what(fault: Mapping[str, Any]) -> str:
    """Name a fault: `pause of nats, delay_ms 5`."""
    parameters = fault["parameters"]
    more = {k: v for k, v in parameters.items() if k not in ("do", "on", "at_s", "for_s")}
    named = "".join(
        f", {name} {value:g}" if isinstance(value, int | float) else f", {name} {value}"
        for name, value in more.items()
    )
    return f"{fault['kind']} on {parameters['on']}{named}"


def seconds(value: float | None) -> str:
    """Write how long something took."""
    return UNKNOWN if value is None else f"{value:.1f} s"


def when(fault: Mapping[str, Any]) -> str:
    """Say from when to when it was."""
    if fault["began_s"] is None:
        return "never happened"
    if fault["ended_s"] is None:
        return f"from {fault['began_s']:.1f} s on"
    return f"{fault['began_s']:.1f} s to {fault['ended_s']:.1f} s"


def cost(fault: Mapping[str, Any]) -> str:
    """Say what it cost, in terms of the ledger."""
    terms = fault["cost"]
    known = {name: terms[name] for name in COSTS if terms[name] is not None}
    why = {"lost": causes(terms.get("lost_by_cause"))}
    found = [f"{count_of(n, COSTS[name])}{why.get(name, '')}" for name, n in known.items() if n]
    said = ", ".join(found)
    if len(known) == len(COSTS):
        return said or "nothing"
    shared = [agreeing(None, words) for name, words in COSTS.items() if name not in known]
    return "; ".join(
        part
        for part in (said, f"not told apart from the run's other faults: {', '.join(shared)}")
        if part
    )


def causes(by_cause: Mapping[str, int] | None) -> str:
    """Write why something was lost, to be appended to how much: ` (40 in delivery)`."""
    found = [f"{n:,} {why.replace('_', ' ')}" for why, n in (by_cause or {}).items() if n]
    return f" ({', '.join(found)})" if found else ""
