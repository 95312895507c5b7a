"""Goals: what a scenario is to reach, as data, read and judged. Pure.

A goal is a figure's name with `_max` (at most) or `_min` (at least) behind it, and a limit. With
the name of a class of a mix and a dot before it, it is about the consumers of that class.
Scenarios state theirs in their playbooks, run.json keeps them, and `judge` sets each beside what
was measured. Goals that the parameters rule out are called that, and do not count as missed: it was
known before the run.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fpaas.digits import significant
from fpaas.finite import is_plain
from fpaas.reason import Reason
from fpaas.spec import RunSpec, SpecError
from fpaas.verdict.goal_figures import FIGURES, OF_EACH_CLASS, OF_ONE_CLASS
from fpaas.verdict.measured import Figure, Measured, Open

MET = "met"
MISSED = "missed"
RULED_OUT = "ruled out"
NOT_MEASURED = "not measured"

AT_MOST, AT_LEAST = "_max", "_min"
#: Between the name of a class and a figure's.
DOT = "."
#: For scenarios that state none.
DEFAULT_GOALS: dict[str, float] = {
    "consumers_fetched_pct_min": 100,
    "frames_lost_max": 0,
    "deliveries_lost_max": 0,
    "unexplained_max": 0,
    "expired_beyond_plan_pct_max": 10,
    "errors_max": 0,
    "failures_max": 0,
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


def read(content: object, source: str = "scenario_goals") -> dict[str, float | None]:
    """Check goals as a playbook or a user gives them; null takes one out.

    A class's null stays: it keeps a goal that each class has from that one. Raises SpecError that
    names the goal and what is wrong with it.
    """
    if not isinstance(content, Mapping):
        raise SpecError(f"{source}: {content!r} is not allowed; expected goals as name: limit")
    goals: dict[str, float | None] = {}
    for name, limit in content.items():
        if figure_of(str(name)) is None:
            raise SpecError(f"{source}: there is no goal named {name}; {_hint(str(name))}")
        if limit is not None:
            goals[str(name)] = _limit(limit, f"{source}: {name}")
        elif DOT in str(name):
            goals[str(name)] = None
    return goals


def check_classes(goals: Mapping[str, float | None], classes: Sequence[str]) -> None:
    """Refuse goals of a class that the run does not have. Raises SpecError that names it."""
    for name in goals:
        consumers, dot, _ = name.rpartition(DOT)
        if not dot or consumers in classes:
            continue
        near = difflib.get_close_matches(consumers, classes, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = f"its classes: {', '.join(classes)}" if classes else "it has none"
        raise SpecError(f"goals: {name}: bench_mix has no class named {consumers}; {hint}{known}")


def _limit(value: object, what: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        if not is_plain(value):
            raise ValueError
        limit = float(value)
        if not math.isfinite(limit) or limit < 0:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise SpecError(
            f"{what}: {value!r} is not allowed; allowed: a number from 0 on, or null for no goal"
        ) from None
    return int(limit) if limit == int(limit) else limit


def _hint(name: str) -> str:
    consumers, dot, goal = name.rpartition(DOT)
    figures = OF_ONE_CLASS if dot else tuple(FIGURES)
    if dot and _figure_name(goal) in FIGURES:
        return f"of a class there are: {', '.join(figures)}"
    known = [figure + end for figure in figures for end in (AT_MOST, AT_LEAST)]
    near = difflib.get_close_matches(goal, known, n=3)
    if goal in figures:
        near = [goal + AT_MOST, goal + AT_LEAST]
    if near:
        return f"did you mean {' or '.join(consumers + dot + one for one in near)}?"
    return f"known, each with {AT_MOST} or {AT_LEAST} behind it: {', '.join(figures)}"


def figure_of(name: str) -> Figure | None:
    """Return what a goal is about; None if there is no such goal."""
    _, dot, goal = name.rpartition(DOT)
    figure = _figure_name(goal)
    return None if figure is None or (dot and figure not in OF_ONE_CLASS) else FIGURES.get(figure)


def _figure_name(goal: str) -> str | None:
    return goal[: -len(AT_MOST)] if goal.endswith((AT_MOST, AT_LEAST)) else None


def judge(run: Measured) -> list[Goal]:
    """Judge each goal of a run in the order in which they were stated, then those of classes.

    Each class is judged alone, so that none hides behind the others.
    """
    goals = stated(run.spec)
    judged = [
        _judge_one(name, limit, run)
        for name, limit in goals.items()
        if limit is not None and DOT not in name
    ]
    for consumers, of_class in run.by_class():
        for name, limit in _of_class(goals, consumers).items():
            one = _judge_one(name, limit, of_class)
            meaning = f"{consumers}: {one.meaning}"
            judged.append(replace(one, meaning=meaning, consumers=consumers))
    # Plans refuse goals of other classes; a run.json that was changed is not to pass by them.
    told = {one.name for one in judged}
    of_nobody = {name: limit for name, limit in goals.items() if DOT in name and name not in told}
    judged += [_unknown(name, limit) for name, limit in of_nobody.items() if limit is not None]
    return judged


def _unknown(name: str, limit: float) -> Goal:
    why = [Reason("figure_unknown")]
    return Goal(name, name, "", _comparison(name), limit, None, NOT_MEASURED, why)


def _comparison(name: str) -> str:
    return "at least" if name.endswith(AT_LEAST) else "at most"


def stated(spec: RunSpec) -> Mapping[str, float | None]:
    """Return a run's goals; those of every run if its scenario states none."""
    return DEFAULT_GOALS if spec.scenario.goals is None else spec.scenario.goals


def _of_class(goals: Mapping[str, float | None], consumers: str) -> dict[str, float]:
    """Return the goals of one class: those that each class has, and its own in their place."""
    own = f"{consumers}{DOT}"
    limits = {
        name: limit
        for name, limit in goals.items()
        if name.startswith(own)
        or (_figure_name(name) in OF_EACH_CLASS and f"{own}{name}" not in goals)
    }
    return {name: limit for name, limit in limits.items() if limit is not None}


def ruled_out(
    spec: RunSpec, plan: Mapping[str, Any], plans_by_class: Mapping[str, Mapping[str, Any]]
) -> dict[str, Reason]:
    """Tell, before a run, which of its goals the parameters do not allow, and why."""
    classes = {name: {"plan": own} for name, own in plans_by_class.items()}
    whole = Measured(spec, {"plan": plan, "classes": classes}, None)
    by_class = dict(whole.by_class())
    found = {}
    for name, limit in stated(spec).items():
        consumers, dot, _ = name.rpartition(DOT)
        run, figure = by_class.get(consumers) if dot else whole, figure_of(name)
        if limit is None or run is None or figure is None:
            continue
        if excuse := figure.ruled_out(run):
            found[name] = excuse
    return found


def _judge_one(name: str, limit: float, run: Measured) -> Goal:
    figure = figure_of(name)
    comparison = _comparison(name)
    if figure is None:
        return _unknown(name, limit)
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


def written(value: float, unit: str) -> str:
    """Write a figure with as many digits as tell."""
    number = f"{value:,.0f}" if value == int(value) else significant(value)
    return f"{number}{'' if unit == '/s' else ' '}{unit}".strip()
