"""`sweep.json`: what a sweep or a capacity search is to play, what it played, what came out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from fpaas.records.fields import Count, Number
from fpaas.spec.described import doc

NAME = "sweep.json"
SCHEMA = 1

#: A run's verdict, or why it has none.
PASS, FAIL, INVALID = "pass", "fail", "invalid"
INTERRUPTED = "interrupted"  # the sweep ended before this run did
NO_RUN = "no run"  # the playbook refused, or the run never began
FINISHED = (PASS, FAIL)


class PlayedRun(msgspec.Struct):
    """One attempt at a point."""

    run_id: Annotated[str, doc("its directory under results/")]
    repetition: Annotated[int, Meta(ge=0, description="counted from 0")]
    status: Annotated[
        str | None,
        doc(
            "its verdict; `interrupted` (the sweep ended first); `no run` (it was refused, never "
            "began, or its bundle is gone); null while it is on"
        ),
    ] = None
    reason: Annotated[str, doc("the first of its verdict, or why there is no run")] = ""
    took_s: Annotated[Number | None, doc("its playbook, from start to end")] = None
    limited_by: Annotated[str, doc("what limited it, as its report says")] = ""
    is_long: Annotated[
        bool, doc("in a capacity search: it is to bear out what shorter ones say")
    ] = False
    overload: Annotated[
        str, doc("the goal that could not be missed, as polls take less than is owed")
    ] = ""
    disturbed_by: Annotated[
        str, doc("what kept a host busy beside the lab, if only that made it invalid")
    ] = ""
    trimmed: Annotated[str, doc("which stretch its figures are of, if not its own")] = ""
    unsettled: Annotated[
        str, doc("in a search: what had not settled in its window, so that it does not count")
    ] = ""
    settled_after_s: Annotated[
        Number | None, doc("when that had settled; null if a longer window must tell")
    ] = None


class PointFigure(msgspec.Struct, kw_only=True):
    """One figure over the runs of a point that can be trusted."""

    median: Annotated[Number, doc("of the point's runs")]
    min: Annotated[Number, doc("of the point's runs")]
    max: Annotated[Number, doc("of the point's runs")]
    runs: Annotated[Count, doc("how many it is based on")]
    at_least: Annotated[Count, doc("runs whose figure is a lower bound")] = 0


class SweepPoint(msgspec.Struct):
    """One point and all attempts at it."""

    number: Annotated[int, Meta(ge=1, description="counted from 1")]
    variables: Annotated[dict[str, Any], doc("its values of the grid's variables")]
    runs: Annotated[list[PlayedRun], doc("in the order in which they were tried")] = field(
        default_factory=list
    )
    figures: Annotated[
        dict[str, PointFigure | None] | None,
        doc("of the runs whose verdict is pass or fail; null without any"),
    ] = None

    def finished(self, repetition: int) -> bool:
        """Whether a repetition has a run that can be trusted."""
        return any(r.repetition == repetition and r.status in FINISHED for r in self.runs)

    def was_tried(self, repetition: int) -> bool:
        """Whether a run of a repetition came to its end, whatever its verdict."""
        return any(
            r.repetition == repetition and r.status not in (None, INTERRUPTED) for r in self.runs
        )

    @property
    def trusted(self) -> list[PlayedRun]:
        """Runs whose figures hold."""
        return [run for run in self.runs if run.status in FINISHED]

    @property
    def status(self) -> str:
        """`done` (a run that can be trusted), `invalid` (only others), or `missing`."""
        if self.trusted:
            return "done"
        ended = [run for run in self.runs if run.status in (INVALID, NO_RUN)]
        return "invalid" if ended else "missing"


class SlopeFit(msgspec.Struct, kw_only=True):
    """A least-squares fit with its 95 % interval."""

    value: Annotated[Number, doc("best estimate")]
    low: Annotated[Number | None, doc("null with fewer than three runs")]
    high: Annotated[Number | None, doc("upper end of the 95 % interval")]
    intercept: Annotated[Number, doc("at 0")]
    points: Annotated[Count, doc("runs")]
    judgement: Annotated[
        str | None, doc("of an exponent: `sub-linear`, `super-linear`, or `~`")
    ] = None


class Increment(msgspec.Struct, kw_only=True):
    """What each added unit costs between two neighbours of a line."""

    start: Annotated[Number, doc("value of the variable")] = field(name="from")
    to: Annotated[Number, doc("value of the variable")]
    cost_per_added: Annotated[Number, doc("in the figure's unit")]


class Scaling(msgspec.Struct, kw_only=True):
    """How one figure grows along one line of points."""

    figure: Annotated[str, doc("its name")]
    unit: Annotated[str, doc("of the figure")]
    line: Annotated[str, doc("what its points have in common; empty if all do")]
    over: Annotated[str, doc("the variable that it grows with")]
    cost_per_added: Annotated[SlopeFit | None, doc("slope of a straight line")]
    exponent: Annotated[SlopeFit | None, doc("of a power law")]
    exponent_beyond_least: Annotated[
        SlopeFit | None, doc("of what is needed beyond the line's least point")
    ]
    increments: Annotated[list[Increment], doc("from each point to the next")]
    cost: Annotated[str, doc("in words")]
    sentence: Annotated[str, doc("for people")]


class Question(msgspec.Struct, frozen=True):
    """What a capacity search is for: the most demanding value of `variable` that holds.

    `least` is the lightest load, `most` the heaviest; of a poll interval `least` is the greater
    number.
    """

    variable: Annotated[str, doc("that is searched for")]
    start: Annotated[float, doc("the first value to be tried")]
    least: Annotated[float, doc("lower end of the search")]
    most: Annotated[float, doc("upper end of the search")]
    is_integer: Annotated[bool, doc("whether it takes whole numbers only")]
    resolution: Annotated[float, doc("the widest bracket that answers, as a share")] = 0.05
    needs_long_run: Annotated[bool, doc("whether a long run must agree with the answer")] = False

    @property
    def is_rising(self) -> bool:
        """Whether larger values are heavier loads."""
        return self.most > self.least

    def heaviness(self, value: float) -> float:
        """How heavy a load is, in a unit that doubles when the load does."""
        return value if self.is_rising else 1 / value


class Sweep(msgspec.Struct, kw_only=True):
    """`sweep.json`, written before and after each run.

    A capacity search adds points as it tries them.
    """

    sweep_id: Annotated[str, doc("its directory under results/sweeps/")]
    name: Annotated[str, doc("beginning of the id")]
    title: Annotated[str, doc("of the report")]
    grid: Annotated[dict[str, list[Any]], doc("the values of each variable that is swept")]
    repeats: Annotated[int, Meta(ge=1, description="runs of each point")]
    variables: Annotated[dict[str, Any], doc("that all points share")]
    hosts: Annotated[dict[str, list[str]], doc("the inventory's groups")]
    points: Annotated[list[SweepPoint], doc("of the grid")]
    scaling: Annotated[list[Scaling], doc("how costs grow")] = []
    search: Annotated[Question | None, doc("null if it is no capacity search")] = None
    frontier: Annotated[
        dict[str, list[float]] | None,
        doc(
            "of the search for a frontier: the values of both variables, the lightest load first; "
            "not all points are played then"
        ),
    ] = None
    schema: Annotated[int, doc("version of this file's form")] = SCHEMA

    @property
    def is_search(self) -> bool:
        """Whether runs decide which points are played: none lacks a run."""
        return self.search is not None or self.frontier is not None

    @property
    def shown(self) -> list[SweepPoint]:
        """Points that there is something to say of: of a frontier, others follow from these."""
        if self.frontier is None:
            return self.points
        return [point for point in self.points if point.runs]

    @property
    def alike(self) -> Iterator[tuple[SweepPoint, PlayedRun]]:
        """Iterate over runs that can be trusted and have one window: its length shows in memory.

        In a search the long run has another, and so have runs before windows were made longer.
        """
        runs = [run for point in self.points for run in point.runs]
        # A run's id begins with its time.
        since = max((run.run_id for run in runs if run.unsettled), default="")
        for point in self.points:
            for run in point.trusted:
                if not run.is_long and not run.unsettled and run.run_id > since:
                    yield point, run

    def missing(self) -> Iterator[tuple[int, SweepPoint]]:
        """Iterate over (repetition, point) without a run that can be trusted, in playing order.

        All points are played once before any is played again: what drifts with time then spreads
        over all of them. Points that failed come last, so that they do not keep the others waiting.
        """
        lacking = [
            (repetition, point)
            for repetition in range(self.repeats)
            for point in self.points
            if not point.finished(repetition)
        ]
        yield from sorted(lacking, key=lambda one: one[1].was_tried(one[0]))

    @property
    def incomplete(self) -> list[SweepPoint]:
        """Points that lack a run that can be trusted, or one of its repetitions."""
        lacking = {point.number for _, point in self.missing()}
        return [point for point in self.points if point.number in lacking]
