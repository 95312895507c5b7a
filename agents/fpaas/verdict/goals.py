"""Goals: what a scenario is to reach, as data, read and judged. Pure.

A goal is a figure's name with `_max` (at most) or `_min` (at least) behind it, and a limit.
Scenarios state theirs in their playbooks, run.json keeps them, and `judge` sets each beside what
was measured. What the parameters themselves rule out is said to be so, and missed by nobody: that
was known before the run.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fpaas.reason import Reason
from fpaas.spec import RunSpec, SpecError
from fpaas.verdict.goal_figures import FIGURES, OF_CLASSES, Figure, Measured, Open

MET = "met"
MISSED = "missed"
RULED_OUT = "ruled out"
NOT_MEASURED = "not measured"

AT_MOST, AT_LEAST = "_max", "_min"
#: Of a scenario that states none.
DEFAULT_GOALS: dict[str, float] = {
    "consumers_fetched_pct_min": 100,
    "frames_lost_max": 0,
    "deliveries_lost_max": 0,
    "unexplained_max": 0,
    "expired_beyond_plan_pct_max": 10,
    "errors_max": 0,
    "slow_consumers_max": 0,
}


@dataclass(frozen=True)
class Goal:
    """One goal of a run, judged; `why` is why it was missed, ruled out or not measured.

    `consumers` is the class of a mix that it is judged for, None: all consumers.
    """

    name: str
    meaning: str
    unit: str
    comparison: str
    limit: float
    measured: float | None
    status: str
    why: list[Reason]
    consumers: str | None = None


def read(content: object, source: str = "scenario_goals") -> dict[str, float]:
    """Check goals as a playbook or a user gives them; null takes one out.

    Raises SpecError that names the goal and what is wrong with it.
    """
    if not isinstance(content, Mapping):
        raise SpecError(f"{source}: {content!r} is not allowed; expected goals as name: limit")
    goals = {}
    for name, limit in content.items():
        if figure_of(str(name)) is None:
            raise SpecError(f"{source}: there is no goal named {name}; {_hint(str(name))}")
        if limit is None:
            continue
        goals[str(name)] = _limit(limit, f"{source}: {name}")
    return goals


def _limit(value: object, what: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        limit = float(value)
        if not math.isfinite(limit) or limit < 0:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise SpecError(
            f"{what}: {value!r} is not allowed; allowed: a number from 0 on, or null for no goal"
        ) from None
    return int(limit) if limit == int(limit) else limit


def _hint(name: str) -> str:
    known = [figure + end for figure in FIGURES for end in (AT_MOST, AT_LEAST)]
    near = difflib.get_close_matches(name, known, n=3)
    if name in FIGURES:
        near = [name + AT_MOST, name + AT_LEAST]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known, each with {AT_MOST} or {AT_LEAST} behind it: {', '.join(FIGURES)}"


def figure_of(name: str) -> Figure | None:
    """Return what a goal is about; None if there is no such goal."""
    return FIGURES.get(name[: -len(AT_MOST)]) if name.endswith((AT_MOST, AT_LEAST)) else None


def judge(run: Measured) -> list[Goal]:
    """Judge each goal of a run, in the order in which they were stated; then those of classes.

    A class is held against its goals by itself, so that none hides behind the others.
    """
    stated = run.spec.scenario.goals
    goals = DEFAULT_GOALS if stated is None else stated
    judged = [_judge_one(name, limit, run) for name, limit in goals.items()]
    for consumers, of_class in run.by_class():
        for name, limit in goals.items():
            if name.removesuffix(AT_MOST).removesuffix(AT_LEAST) in OF_CLASSES:
                one = _judge_one(name, limit, of_class)
                meaning = f"{consumers}: {one.meaning}"
                judged.append(replace(one, meaning=meaning, consumers=consumers))
    return judged


def ruled_out(spec: RunSpec, plan: Mapping[str, Any]) -> dict[str, Reason]:
    """Tell, before a run, which of its goals the parameters do not allow, and why."""
    run = Measured(spec, {"plan": plan}, None)
    stated = DEFAULT_GOALS if spec.scenario.goals is None else spec.scenario.goals
    return {
        name: excuse
        for name in stated
        if (figure := figure_of(name)) and (excuse := figure.ruled_out(run))
    }


def _judge_one(name: str, limit: float, run: Measured) -> Goal:
    figure = figure_of(name)
    comparison = "at least" if name.endswith(AT_LEAST) else "at most"
    if figure is None:
        why = [Reason("figure_unknown")]
        return Goal(name, name, "", comparison, limit, None, NOT_MEASURED, why)
    measured, excuse, still_open = figure.measure(run), figure.ruled_out(run), figure.open(run)
    status = _status(measured, limit, still_open, at_least=comparison == "at least")
    why = []
    if status != MET and excuse is not None:
        status, why = RULED_OUT, [excuse]
    elif status == MISSED:
        why = list(figure.causes(run))
    elif status == NOT_MEASURED and still_open is not None:
        why = [still_open.reason()]
    return Goal(name, figure.meaning, figure.unit, comparison, limit, measured, status, why)


def _status(
    measured: float | None, limit: float, still_open: Open | None, *, at_least: bool
) -> str:
    """Hold a figure against its limit, whatever becomes of open calls."""
    if measured is None:
        return NOT_MEASURED
    lowest, highest = measured, measured
    if still_open is not None:
        highest = math.inf if still_open.highest is None else still_open.highest
    # As good, and as bad, as it can have been.
    worst, best = (lowest, highest) if at_least else (highest, lowest)
    if worst >= limit if at_least else worst <= limit:
        return MET
    if best < limit if at_least else best > limit:
        return MISSED
    return NOT_MEASURED


def written(value: float, unit: str, thousands: str = " ") -> str:
    """Write a figure with thousands apart and as many digits as tell."""
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{number.replace(',', thousands)}{'' if unit == '/s' else ' '}{unit}".strip()
