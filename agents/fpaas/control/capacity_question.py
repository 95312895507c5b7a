"""The question of a capacity search, checked before anything is started."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from fpaas.plan import capacity as plan
from fpaas.records.sweep import Question
from fpaas.search.capacity import STEP
from fpaas.spec import VARIABLES, RunSpec, SpecError, kinds
from fpaas.spec.values import Variable
from fpaas.text import plan_advice

#: Variables that can be searched, and whether larger values are heavier loads.
RISING = {
    "bench_consumers": True,
    "bench_firehose_rate_per_s": True,
    "bench_batch_size": True,
    "bench_poll_interval_s": False,
}
#: Resources that the load needs, of which a search finds the least: fewer are a heavier load.
DEMANDS = {
    "lab_consumers_hosts": Variable(None, "integer", "expected a number of hosts", minimum=1),
    "nats_cpu_max_cores": Variable(
        None, "number", "expected a number of cores, 0.1 or more", minimum=0.1
    ),
}
#: How many sentences of a plan are about effects by design, and about what spoils the run.
Troubles = tuple[int, int]
RESOLUTION_PCT_MIN, RESOLUTION_PCT_MAX = 0.1, 50.0


def read(
    asked: Mapping[str, Any],
    current: Any,  # noqa: ANN401
    spec_at: Callable[[float], RunSpec],
    limits_of: Callable[[RunSpec], dict[str, Any]],
    available: Mapping[str, float] | None = None,
) -> Question:
    """Return the question for `{variable, least, most, resolution_pct, long_run}`.

    `current` is the variable's value; the search starts from there, or further up as far as the
    plan foresees no trouble. `spec_at` checks a value as a run would, `limits_of` returns those of
    the machine for `plan_advice.warnings`. `available` is how much there is of `DEMANDS`; a search
    begins with all of it. None: the lab cannot be given less. Raises SpecError that names the
    variable.
    """
    name = asked["variable"]
    if name not in RISING and name not in DEMANDS:
        allowed = ", ".join([*RISING, *DEMANDS])
        raise SpecError(f"capacity_variable: {name!r} is not allowed; allowed: {allowed}")
    if name in DEMANDS and available is None:
        raise SpecError(
            f"capacity_variable: {name} is of hosts with systemd; name an inventory of some"
        )
    is_demand = name in DEMANDS
    variable = DEMANDS[name] if is_demand else VARIABLES[name]
    bounds = variable.minimum, (available or {}).get(name, variable.maximum)
    if asked["most"] is None and bounds[1] == math.inf:
        raise SpecError(f"capacity_most: say how much of {name} there is, as in -e capacity_most=2")
    ends = [
        float(variable.read(f"capacity_{end}", asked[end] or bound))
        for end, bound in zip(("least", "most"), bounds, strict=True)
    ]
    if ends[0] >= ends[1]:
        raise SpecError(
            f"capacity_least: {ends[0]:g} is not allowed; it must be below "
            f"{'capacity_most' if asked['most'] else f'{ends[1]:g}'}"
        )
    least, most = ends if RISING.get(name) else reversed(ends)
    start = ends[1] if is_demand else float(variable.read(name, current))
    start = min(max(start, ends[0]), ends[1])
    question = Question(
        variable=name,
        start=start,
        least=least,
        most=most,
        is_integer=variable.kind == "integer",
        resolution=_resolution(asked["resolution_pct"]) / 100,
        needs_long_run=bool(asked["long_run"]),
    )

    if is_demand:
        return question
    at_start = spec_at(start)
    if at_start.consumers.is_pushed and name in kinds.OF_POLLS:
        raise SpecError(
            f"capacity_variable: {name} is not allowed with bench_consumer_kind="
            f"{at_start.consumers.kind}: it is about polls, and has no effect"
        )

    def troubles(value: float) -> Troubles:
        spec = spec_at(value)
        planned = plan.predict(spec)
        warned = plan_advice.warnings(spec, planned, **limits_of(spec))
        return len(plan_advice.expectations(spec, planned)), len(warned)

    return _started_by_plan(question, troubles)


def _resolution(value: Any) -> float:  # noqa: ANN401
    try:
        resolution_pct = float(value)
    except (TypeError, ValueError):
        resolution_pct = 0.0
    if not RESOLUTION_PCT_MIN <= resolution_pct <= RESOLUTION_PCT_MAX:
        raise SpecError(
            f"capacity_resolution_pct: {value!r} is not allowed; allowed: "
            f"{RESOLUTION_PCT_MIN:g} to {RESOLUTION_PCT_MAX:g} (per cent)"
        )
    return resolution_pct


def _started_by_plan(question: Question, troubles: Callable[[float], Troubles]) -> Question:
    """Start at the heaviest load, by doubling, at which the plan foresees nothing more.

    If polls take less than is owed because of the variable itself, start below, by halving.
    """
    step = STEP if question.is_rising else 1 / STEP
    start, at_start = question.start, troubles(question.start)
    if at_start[0] and not troubles(question.least)[0]:
        while troubles(start)[0]:
            start = max(start / step, question.least, key=question.heaviness)
        return replace(question, start=start)
    while question.heaviness(start * step) <= question.heaviness(question.most):
        if any(now > then for now, then in zip(troubles(start * step), at_start, strict=True)):
            break
        start *= step
    return replace(question, start=start)
