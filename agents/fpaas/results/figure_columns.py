"""The columns of `figures/*`: which are numbers, and which are text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: All others are text.
NUMERIC = frozenset(
    (
        *("value", "limit", "measured", "at_least", "count", "due_count", "open_count"),
        *("open_min_ms", "out_of_range_count", "missing_count", "missing_min_ms"),
        *("percentile", "ms", "clock_error_ms", "resolvable", "highest_ms"),
        *("seconds_since_t0", "begin_s", "end_s"),
    )
)

Column = list[float | None] | list[str | None]


def columns(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> dict[str, Column]:
    """Turn rows of cells into typed columns; an empty cell, or None, is None.

    Raises ValueError if a row is not as long as the heads, or a column of numbers has something
    else.
    """
    rows = list(rows)
    for number, row in enumerate(rows, 1):
        if len(row) != len(heads):
            raise ValueError(f"row {number} has {len(row)} of {len(heads)} cells")
    cells = list(zip(*rows, strict=True)) or [()] * len(heads)
    return {
        head: [_number(cell) for cell in column]
        if head in NUMERIC
        else [_text(cell) for cell in column]
        for head, column in zip(heads, cells, strict=True)
    }


def _number(cell: object) -> float | None:
    if cell is None or cell == "":
        return None
    try:
        return float(str(cell))
    except ValueError:
        raise ValueError(f"{cell!r} is not a number") from None


def _text(cell: object) -> str | None:
    return None if cell is None or cell == "" else str(cell)
