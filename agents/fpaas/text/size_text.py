"""What a number of consumers needs, as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fpaas.search.sizing import Prediction, Size

HEADS = (
    *("consumers", "NATS, cores", "NATS, MB", "to consumers, Mbit/s"),
    *("agents, cores", "agents, MB", "agents hosts", "measured"),
)
#: Loads up to this much beyond the largest measured one count as measured.
MEASURED_UP_TO = 1.05


def row(size: Size) -> list[str]:
    """Write one number of consumers."""
    return [
        f"{size.consumers:,}",
        *map(
            _prediction,
            (
                size.nats_cores,
                size.nats_rss_mb,
                size.delivered_mbit_per_s,
                size.agents_cores,
                size.agents_rss_mb,
            ),
        ),
        "not measured" if size.agents_hosts is None else str(size.agents_hosts),
        is_measured(size),
    ]


def is_measured(size: Size) -> str:
    """Say whether anything as large was measured."""
    if size.beyond <= MEASURED_UP_TO:
        return "within what was measured"
    return f"extrapolated, {_number(size.beyond)} times the largest load measured"


def _prediction(one: Prediction | None) -> str:
    if one is None:
        return "not measured"
    if one.low is None or one.high is None:
        return f"{_number(one.value)} (no interval: too few runs)"
    return f"{_number(one.value)} [{_number(one.low)}, {_number(one.high)}]"


def _number(value: float) -> str:
    """Write three digits that tell, and no exponent: `14,900`."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:g}"


def lines(sizes: Sequence[Size]) -> Iterator[str]:
    """Iterate over the table's lines."""
    rows = [list(HEADS), *(row(size) for size in sizes)]
    widths = [max(len(one[column]) for one in rows) for column in range(len(HEADS))]
    for one in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)).rstrip()
