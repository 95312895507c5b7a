"""A results folder as a terminal shows it. Pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from fpaas.agreement import count_of
from fpaas.latency.lower_bounds import marked
from fpaas.results import entry
from fpaas.results.entry import KEY_FIGURES, Entry, Trend, Value
from fpaas.text import sparks

SPARK_WIDTH = 20
#: Columns are so far apart; name and verdict are always there.
GAP, COLUMNS_MIN = 2, 2
INDENT = " " * 4


def lines(entries: Sequence[Entry], width: int | None = None) -> Iterator[str]:
    """Iterate over rows, newest first, then a line for each scenario's figures over time.

    On a terminal of `width` columns the last figures are left out if they have no room.
    """
    if not entries:
        yield "no runs and no sweeps"
        return
    heads = [
        "run",
        "verdict",
        *(f"{one.title}{' ' + one.unit if one.unit else ''}" for one in KEY_FIGURES),
    ]
    table = [heads, *([one.name, _status(one), *_cells(one)] for one in entries)]
    widths = [max(len(row[at]) for row in table if at < len(row)) for at in range(len(heads))]
    if width is not None:
        while len(widths) > COLUMNS_MIN and sum(widths) + GAP * (len(widths) - 1) > width:
            widths.pop()
    for row, one in zip(table, [None, *entries], strict=True):
        cells = [
            cell.ljust(room) if at < COLUMNS_MIN else cell.rjust(room)
            for at, (cell, room) in enumerate(zip(row, widths, strict=False))
        ]
        yield (" " * GAP).join(cells).rstrip()
        if one is not None and (one.problem or one.why):
            yield from _remark(one.problem or one.why, width)
    for trend in entry.trends(entries):
        drawn = list(_drawn(trend))
        if drawn:
            runs = count_of(trend.runs, "run|runs")
            yield ""
            yield f"{trend.scenario or 'without a name'}, {runs}, oldest to newest:"
            yield from drawn


def _drawn(trend: Trend) -> Iterator[str]:
    """Iterate over the lines of figures that at least two runs have."""
    for key in KEY_FIGURES:
        values = trend.lines[key.name]
        measured = [value for value in values if value is not None]
        if len(measured) > 1:
            last = f"{_number(measured[-1])} {key.unit}".rstrip()
            yield f"  {key.title:<16}{sparks.line(values, SPARK_WIDTH):<{SPARK_WIDTH}}  {last}"


def _remark(text: str, width: int | None) -> list[str]:
    if width is None:
        return [INDENT + text]
    return textwrap.wrap(
        text,
        max(width, 2 * SPARK_WIDTH),
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def as_json(entries: Sequence[Entry]) -> str:
    """Write all rows for programs: null is not measured."""
    content = [
        {
            "name": one.name,
            "kind": one.kind,
            "began": one.began.isoformat(),
            "report": one.path,
            "scenario": one.scenario,
            "status": one.status,
            "why": one.why,
            "problem": one.problem,
            "trimmed": one.trimmed,
            "figures": {name: _figure(value) for name, value in one.figures.items()},
        }
        for one in entries
    ]
    return json.dumps(content, indent=2)


def _figure(one: Value) -> dict[str, Any]:
    return {
        "value": one.value,
        "at_least": one.is_at_least,
        "resolvable": one.is_resolvable,
    }


def _status(one: Entry) -> str:
    status = one.status or one.kind
    return f"{status}, {one.trimmed}" if one.trimmed else status


def _cells(one: Entry) -> list[str]:
    if one.kind != entry.RUN:
        return []
    return [_cell(one.figures[key.name]) for key in KEY_FIGURES]


def _cell(one: Value) -> str:
    if one.value is None:
        return "-"
    if not one.is_resolvable:
        return "< ±"
    return marked(_number(one.value), at_least=one.is_at_least)


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
