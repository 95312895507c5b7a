"""A frontier in words: a sentence for each row, and what is played next. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from fpaas.records.sweep import Sweep
from fpaas.search import frontier_played
from fpaas.search.capacity import StoppedBy
from fpaas.search.frontier import Load, Row
from fpaas.text.capacity_text import quantity

WHY = {
    StoppedBy.SYSTEM: "fails at",
    StoppedBy.GENERATOR: "could not be generated or measured at",
    StoppedBy.NOISE: "runs do not agree at",
}


def progress(sweep: Sweep, load: Load, run_number: int) -> str:
    """Write `run 7: 4,000 consumers, a poll every 2 s`."""
    return f"run {run_number}: {_at(sweep, load)}"


def _at(sweep: Sweep, load: Load) -> str:
    names = frontier_played.variables(sweep)
    return ", ".join(quantity(name, one) for name, one in zip(names, load, strict=True))


def lines(sweep: Sweep) -> Iterator[str]:
    """Iterate over the frontier row by row, if there is one."""
    state = frontier_played.state(sweep)
    if not isinstance(state, list):
        yield "No frontier yet."
        return
    tried = sum(bool(point.runs) for point in sweep.points)
    yield f"Where the load holds, found by {tried} of {len(sweep.points)} points:"
    for row in state:
        yield f"  {_row(sweep, row)}"


def _row(sweep: Sweep, row: Row) -> str:
    first, second = frontier_played.variables(sweep)
    stopped = (
        "the most that was asked for"
        if row.stopped_at is None
        else f"{WHY.get(row.stopped_by, 'fails at')} {quantity(first, row.stopped_at)}"
    )
    holds = "holds nowhere" if row.holds_at is None else f"holds at {quantity(first, row.holds_at)}"
    return f"{quantity(second, row.value)}: {holds}, {stopped}"
