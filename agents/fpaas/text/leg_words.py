"""What a leg's percentiles count and what they leave out, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fpaas.agreement import agreeing
from fpaas.latency.leg_kinds import DUE, FIRST_FETCH, LEGS, RECEIVED, SENT
from fpaas.latency.lower_bounds import MARK

#: How `assigned_by` of a leg reads, as the end of "belongs to the window in which it was …".
ASSIGNED_BY = {
    DUE: "due",
    SENT: "sent",
    RECEIVED: "received",
    FIRST_FETCH: "first fetched",
    "ended": "answered",
}
_CALLS = "call|calls"
#: For runs whose logs are of the older kind.
BY_END = (
    "This run's calls were counted in the second in which they ended, as older versions did: calls "
    "that were still open when the window ended are missing."
)


def is_by_end(summary: Mapping[str, Any]) -> bool:
    """Whether a run's calls are filed under their ends, so that open ones are missing."""
    return (summary.get("window") or {}).get("calls_by") == "end"


def is_measured(leg: Mapping[str, Any]) -> bool:
    """Whether a leg has percentiles: of samples, or of calls that were not answered."""
    return bool(leg.get("count") or leg.get("open_count"))


def remarks(name: str, leg: Mapping[str, Any], number: Callable[[Any], str]) -> Iterator[str]:
    """Iterate over what a reader must know of a leg beside its percentiles; `number` writes one."""
    if leg.get("open_count"):
        yield (
            f"counts {number(leg['open_count'])} {agreeing(leg['open_count'], _CALLS)} without "
            f"answer by age, the youngest {MARK}{number(leg.get('open_min_ms'))} ms"
        )
    missing = leg.get("missing_count")
    if missing and LEGS[name].is_age:
        age_ms = leg.get("missing_min_ms")
        age = "" if age_ms is None else f", the youngest {MARK}{number(age_ms)} ms old"
        # Runs of earlier versions do not.
        counts = "counts by age" if "max" in (leg.get("at_least") or {}) else "leaves out"
        yield f"{counts} {number(missing)} {agreeing(missing, LEGS[name].never)}{age}"
    elif missing:
        due = f"{number(leg.get('due_count'))} {agreeing(leg.get('due_count'), _CALLS)}"
        yield (
            f"leaves out {number(missing)} of {due} that fell due and left no trace"
            if missing > 0
            else f"counts {number(-missing)} more than the {due} that fell due"
        )
    if leg.get("out_of_range_count"):
        beyond = leg["out_of_range_count"]
        samples = agreeing(beyond, "sample is|samples are")
        yield f"{number(beyond)} {samples} out of range: more than an hour"
