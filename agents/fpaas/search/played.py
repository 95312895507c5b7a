"""A capacity search as its sweep's record has it. Pure."""

from __future__ import annotations

from collections import defaultdict

from fpaas.records.sweep import (
    FAIL,
    INTERRUPTED,
    INVALID,
    NO_RUN,
    PASS,
    PlayedRun,
    Question,
    Sweep,
    SweepPoint,
)
from fpaas.search.capacity import FAILS, Answer, Evidence, Try, decide

#: A run that the lab refused says as much about the lab as one that it could not measure.
VERDICTS = {NO_RUN: INVALID}


def question(sweep: Sweep) -> Question:
    """Return what a search is for."""
    assert sweep.search is not None, "a sweep over a grid searches for nothing"  # noqa: S101
    return sweep.search


def evidence(sweep: Sweep) -> Evidence:
    """Return the verdicts of all runs that came to their end, and were not disturbed."""
    variable = question(sweep).variable
    found: dict[bool, dict[float, list[str]]] = {False: defaultdict(list), True: defaultdict(list)}
    for point in sweep.points:
        for run in point.runs:
            if (verdict := verdict_of(run)) is not None:
                found[run.is_long][float(point.variables[variable])].append(verdict)
    return Evidence(found[False], found[True])


def verdict_of(run: PlayedRun) -> str | None:
    """Return what a run says of its load; None of one that was interrupted, or says nothing."""
    if run.status in (None, INTERRUPTED) or run.disturbed_by or run.unsettled:
        return None
    return FAILS if _falls_short(run) else VERDICTS.get(run.status, run.status)


def state(sweep: Sweep) -> Try | Answer:
    """Return what is to be played next, or the answer."""
    return decide(question(sweep), evidence(sweep))


def has_answer(sweep: Sweep) -> bool:
    """Whether a search is over and found a load that holds."""
    found = state(sweep)
    return isinstance(found, Answer) and found.holds_at is not None


def point_at(sweep: Sweep, value: float | None) -> SweepPoint | None:
    """Return the point of a value, None if it was never tried."""
    variable = question(sweep).variable
    return next((one for one in sweep.points if one.variables[variable] == value), None)


def deciding_run(sweep: Sweep, value: float | None) -> PlayedRun | None:
    """Return the last run at a value that did not hold: it says why."""
    point = point_at(sweep, value)
    runs = [] if point is None else point.runs
    against = [
        run
        for run in runs
        if (run.status in (FAIL, INVALID, NO_RUN) or _falls_short(run))
        and not run.disturbed_by
        and not run.unsettled
    ]
    return against[-1] if against else None


def _falls_short(run: PlayedRun) -> bool:
    """Whether it passed only because nobody could expect it to reach a goal.

    A scenario states its load on purpose, and is not blamed for it; here the load is the question.
    """
    return run.status == PASS and bool(run.overload)
