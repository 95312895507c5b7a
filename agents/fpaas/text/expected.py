"""What the proof of concept expected, beside what a sweep measured. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fpaas.records.sweep import Sweep, SweepPoint
from fpaas.sweep import scaling
from fpaas.sweep.sweep_figures import CONSUMERS, LAB_CPU, Growth
from fpaas.text.sweep_text import figure, interval

#: The sweep that this is about: playbooks/expected-results.yml.
SWEEP = "expected-results"

MET, NOT_MET, NOT_MEASURED = "met", "not met", "not measured"
HEADS = ("", "expected", "measured", "")

FIREHOSE_PER_S = (400.0, 500.0)
EACH_OF_100_PER_S = (4.0, 5.0)
MEMORY_OF_100_MB = (140.0, 200.0)
POLL_INTERVAL = "bench_poll_interval_s"
POLL_INTERVAL_S = 60.0


@dataclass(frozen=True)
class Expectation:
    """One line of the table."""

    what: str
    expected: str
    measured: str
    status: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The line as cells, as HEADS names them."""
        return (self.what, self.expected, self.measured, self.status)


def table(sweep: Sweep, growths: list[Growth]) -> list[Expectation]:
    """Set the proof of concept's expectations beside the figures of a sweep over consumers."""
    hundred = next((p for p in sweep.points if p.variables.get(CONSUMERS) == 100), None)
    return [
        _firehose(sweep),
        _each_of_100(hundred),
        _memory_of_100(hundred),
        _cpu(growths),
        _slow_consumers(sweep),
    ]


def _median(point: SweepPoint | None, name: str) -> float | None:
    one = ((point.figures if point else None) or {}).get(name)
    return None if one is None else float(one.median)


def _measured(sweep: Sweep, name: str) -> Iterator[float]:
    for point in sweep.points:
        value = _median(point, name)
        if value is not None:
            yield value


def _within(value: float, limits: tuple[float, float]) -> str:
    return MET if limits[0] <= value <= limits[1] else NOT_MET


def _firehose(sweep: Sweep) -> Expectation:
    what, expected = "firehose, stored by NATS", "400 to 500 msg/s"
    rates = list(_measured(sweep, "published_per_s"))
    if not rates:
        return Expectation(what, expected, "-", NOT_MEASURED)
    statuses = {_within(rate, FIREHOSE_PER_S) for rate in rates}
    low, high = figure(min(rates)), figure(max(rates))
    spread = low if low == high else f"{low} to {high}"
    offered = sweep.variables.get("bench_firehose_rate_per_s")
    played = f", our relay offers {offered:g}" if isinstance(offered, int | float) else ""
    measured = f"{spread} msg/s (of {len(rates)} of {len(sweep.points)} points{played})"
    return Expectation(what, expected, measured, NOT_MET if NOT_MET in statuses else MET)


def _each_of_100(hundred: SweepPoint | None) -> Expectation:
    what, expected = "each of 100 consumers, on average", "4 to 5 msg/s"
    processed = _median(hundred, "processed_per_s")
    if processed is None:
        return Expectation(what, expected, "-", NOT_MEASURED)
    each = processed / 100
    return Expectation(what, expected, f"{figure(each)} msg/s", _within(each, EACH_OF_100_PER_S))


def _memory_of_100(hundred: SweepPoint | None) -> Expectation:
    what, expected = "memory of 100 consumers", "140 to 200 MB"
    rss_mb = _median(hundred, "consumers_rss_mb")
    if rss_mb is None:
        return Expectation(what, expected, "-", NOT_MEASURED)
    less = " (less)" if rss_mb < MEMORY_OF_100_MB[0] else ""
    status = MET if rss_mb <= MEMORY_OF_100_MB[1] else NOT_MET
    return Expectation(what, expected, f"{figure(rss_mb)} MB{less}", status)


def _cpu(growths: list[Growth]) -> Expectation:
    what, expected = f"{LAB_CPU.title} over consumers", "sub-linear"
    fit = next((g.exponent for g in growths if g.figure is LAB_CPU), None)
    if fit is None:
        return Expectation(what, expected, "-", NOT_MEASURED)
    measured = f"{fit.judgement}: exponent {interval(fit)}"
    status = {
        scaling.SUB_LINEAR: MET,
        scaling.SUPER_LINEAR: NOT_MET,
        # The runs do not tell; that is neither.
        scaling.UNDECIDED: NOT_MEASURED,
    }[fit.judgement]
    return Expectation(what, expected, measured, status)


def _slow_consumers(sweep: Sweep) -> Expectation:
    what, expected = "slow consumers at 60 s", "none"
    counts = list(_measured(sweep, "slow_consumers"))
    if not counts or sweep.variables.get(POLL_INTERVAL) != POLL_INTERVAL_S:
        return Expectation(what, expected, "-", NOT_MEASURED)
    total = sum(counts)
    measured = (
        f"{figure(total) if total else 'none'} (of {len(counts)} of {len(sweep.points)} points)"
    )
    return Expectation(what, expected, measured, NOT_MET if total else MET)


def text(rows: list[Expectation]) -> str:
    """Write the table for a terminal."""
    cells = [HEADS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def markdown(rows: list[Expectation]) -> str:
    """Write the table as Markdown."""
    lines = ["| " + " | ".join(HEADS) + " |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells) + " |" for row in rows]
    return "\n".join(lines) + "\n"
