"""When a class of consumers joins a run, and from which message on it is served.

The run's stream is empty when it begins. So what a class is served besides `all` differs only if it
joins later, and a start that would be the same as another one is refused: it is a mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpaas.errors import SpecError
from fpaas.spec.values import number

ALL, NEW, LAST_MINUTES = "all", "new", "last_minutes"
#: `all`, `new`, or {"last_minutes": N}.
Start = str | dict[str, float]

JOINS_AT = number(0, 0, 604_800, "seconds")
_LAST_MINUTES = number(1, 0.01, 10_080, "minutes")


def read(what: str, value: object) -> Start:
    """Read a start. Raises SpecError."""
    if value in (ALL, NEW):
        return str(value)
    if isinstance(value, Mapping) and [*value] == [LAST_MINUTES]:
        return {LAST_MINUTES: _LAST_MINUTES.read(f"{what}: {LAST_MINUTES}", value[LAST_MINUTES])}
    raise SpecError(
        f"{what}: {value!r} is not allowed; allowed: {ALL}, {NEW}, or {{{LAST_MINUTES}: N}}"
    )


def last_s(start: Start) -> float | None:
    """Return how far back a class starts, in seconds before it joins; None of the other starts."""
    return start[LAST_MINUTES] * 60 if isinstance(start, dict) else None


def written(start: Start) -> str:
    """Say what a class that joins is served."""
    if isinstance(start, dict):
        return f"served the last {start[LAST_MINUTES]:g} min before that, and on"
    return "served what is new then" if start == NEW else "served all that the stream has then"


def check(name: str, start: Start, joins_at_s: float, values: Mapping[str, Any]) -> None:
    """Refuse starts that are the same as another one in this run, and those that bring nothing.

    Raises SpecError that names the class.
    """
    what = f"bench_mix: {name}"
    offer_s = values["bench_warmup_s"] + values["bench_measure_s"]
    end_s = offer_s + values["bench_drain_s"]
    max_age_s = values["bench_stream_max_age_s"]
    back_s = last_s(start)
    if start != ALL and not joins_at_s:
        raise SpecError(
            f"{what}: start: {start} is not allowed without joins_at_s; the stream is empty when "
            f"the run begins, so that it is the same as {ALL}: say when the class joins"
        )
    if joins_at_s >= end_s:
        raise SpecError(
            f"{what}: joins_at_s: {joins_at_s:g} is not allowed; the run ends {end_s:g} s after it "
            "begins (warm-up, measuring and draining)"
        )
    served_from_s = {ALL: joins_at_s - max_age_s, NEW: joins_at_s}.get(
        start if isinstance(start, str) else "", joins_at_s - (back_s or 0)
    )
    if joins_at_s and served_from_s >= offer_s:
        raise SpecError(
            f"{what}: start: {start} with joins_at_s: {joins_at_s:g} is not allowed; the firehose "
            f"ends after {offer_s:g} s (warm-up and measuring), so that nothing would be served"
        )
    if back_s is not None and back_s >= joins_at_s:
        raise SpecError(
            f"{what}: start: {start} is not allowed with joins_at_s: {joins_at_s:g}; the stream "
            f"begins with the run and has nothing older, so that it is the same as {ALL}; allowed: "
            f"less than {joins_at_s / 60:g} minutes"
        )
    if back_s is not None and back_s >= max_age_s:
        raise SpecError(
            f"{what}: start: {start} is not allowed with bench_stream_max_age_s: {max_age_s:g}; "
            f"the stream has nothing older, so that it is the same as {ALL}; allowed: less than "
            f"{max_age_s / 60:g} minutes"
        )
