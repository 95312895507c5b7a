"""A run's figures as CSV and as Parquet, for spreadsheets and notebooks: `figures/` of a bundle.

One header line, a comma between cells, a dot in numbers; an empty cell: nothing was measured.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency.lower_bounds import is_goal_at_least
from fpaas.measures.figures import resolvable
from fpaas.records.consumers import PULL_ENDS
from fpaas.report import parquet, run_charts
from fpaas.report.series import RunSeries, Series
from fpaas.results.figure_columns import columns

DIRECTORY = "figures"
#: File → what is in it.
FILES = {
    "summary.csv": "every number of summary.json",
    "goals.csv": "goals, limits and what was measured",
    "ledger.csv": "the ledger's terms, and their causes",
    "statuses.csv": "how pulls ended, and how often each status answered one",
    "legs.csv": "what each leg counts, what was open, out of range or missing",
    "percentiles.csv": "latency of each leg by percentile, with its clocks' bound",
    "series.csv": "rates, processors, memory, network, stream and lag second by second",
    "events.csv": "what happened beside the load",
}
LEG_FIGURES = (
    *("assigned_by", "count", "due_count", "open_count", "open_min_ms", "out_of_range_count"),
    *("missing_count", "missing_min_ms", "clock_error_ms"),
)
HOST_FIGURES = ("cpu_pct", "steal_pct", "iowait_pct", "mem_mb", "load1")
STREAM_FIGURES = (
    *(("stream", name) for name in ("messages", "bytes", "first_seq", "last_seq")),
    *(("lag", name) for name in ("p50", "p99", "max", "sum")),
)

Row = Iterable[Any]


def of_run(bundle: Bundle, summary: JsonObject, warmup_s: float) -> dict[str, str]:
    """Return the content of each file by its name."""
    tables: dict[str, tuple[Row, Iterable[Row]]] = {
        "summary.csv": (("figure", "value"), _numbers(summary)),
        "goals.csv": (
            ("goal", "meaning", "comparison", "limit", "unit", "measured", "at_least", "status"),
            (
                [goal[name] for name in ("name", "meaning", "comparison", "limit", "unit")]
                + [goal["measured"], int(is_goal_at_least(summary, goal["name"])), goal["status"]]
                for goal in summary.get("goals") or []
            ),
        ),
        "ledger.csv": (("term", "cause", "count"), _ledger(summary.get("ledger") or {})),
        "statuses.csv": (("status", "count"), _statuses(summary)),
        "legs.csv": (
            ("leg", *LEG_FIGURES),
            (
                [name, *(leg.get(figure) for figure in LEG_FIGURES)]
                for name, leg in (summary.get("latency_ms") or {}).items()
            ),
        ),
        "percentiles.csv": (
            (
                *("leg", "percentile", "ms", "clock_error_ms", "resolvable"),
                *("at_least", "highest_ms"),
            ),
            _percentiles(bundle, summary, warmup_s),
        ),
        "series.csv": (
            ("series", "of", "seconds_since_t0", "value"),
            _series(bundle, warmup_s),
        ),
        "events.csv": (
            (
                *("seconds_since_t0", "event", "sentence", "begin_s", "end_s", "kind"),
                *("source", "host", "faults"),
            ),
            (
                [event["at_s"], event["short"], event["sentence"]]
                + [event[name] for name in ("begin_s", "end_s", "kind", "source", "host")]
                + [" ".join(map(str, event["faults"]))]
                for event in summary.get("events") or []
            ),
        ),
    }
    return {name: _written(head, rows) for name, (head, rows) in tables.items()}


def as_parquet(csv_text: str) -> bytes:
    """Return the same table as Parquet, its columns typed."""
    heads, *rows = csv.reader(io.StringIO(csv_text))
    return parquet.table(columns(heads, rows))


def _written(head: Row, rows: Iterable[Row]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(head)
    out.writerows(rows)
    return text.getvalue()


def _numbers(content: Any, path: str = "") -> Iterator[Row]:  # noqa: ANN401
    """Iterate over (dotted path, value) of every number, and of every figure without one."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _numbers(value, f"{path}.{name}" if path else str(name))
    elif isinstance(content, list):
        for position, value in enumerate(content):
            if isinstance(value, dict):
                yield from _numbers(value, f"{path}.{position}")
    elif content is None or (isinstance(content, int | float) and not isinstance(content, bool)):
        yield path, content


def _ledger(ledger: JsonObject) -> Iterator[Row]:
    for term, value in ledger.items():
        if term.endswith("_by_cause"):
            for cause, count in (value or {}).items():
                yield term.removesuffix("_by_cause"), cause, count
        elif not isinstance(value, dict | list):
            yield term, "", value


def _statuses(summary: JsonObject) -> Iterator[Row]:
    fetches = summary.get("fetches") or {}
    for name in ("pulls", *PULL_ENDS, "unsent"):
        yield name, fetches.get(name)
    yield from (fetches.get("by_status") or {}).items()


def _percentiles(bundle: Bundle, summary: JsonObject, warmup_s: float) -> Iterator[Row]:
    for name, curve in run_charts.curves(bundle, summary, warmup_s).items():
        bound_ms = curve.bound_ms
        for share, value_ms, is_at_least, highest_ms in curve.points:
            can_tell = "" if bound_ms is None else int(resolvable(value_ms, bound_ms))
            highest = "" if highest_ms is None else f"{highest_ms:.6g}"
            percentile = f"{100 * share:.6g}"
            yield name, percentile, f"{value_ms:.6g}", bound_ms, can_tell, int(is_at_least), highest


def _series(bundle: Bundle, warmup_s: float) -> Iterator[Row]:
    run = RunSeries(bundle, warmup_s)
    for name, line in run.throughput().items():
        yield from _points("messages_per_s", name, line)
    for figure in ("cpu_pct", "rss_mb"):
        for process, line in run.processes(figure).items():
            yield from _points(f"process_{figure}", process, line)
    for figure in HOST_FIGURES:
        for host, line in run.hosts(figure).items():
            yield from _points(f"host_{figure}", host, line)
    for name, line in run.open_calls().items():
        yield from _points("calls_open", name, line)
    for name, line in run.host_traffic_mbit_per_s().items():
        yield from _points("host_traffic_mbit_per_s", name, line)
    for group, figure in STREAM_FIGURES:
        yield from _points(f"{group}_{figure}", "nats", run.nats(group, figure))


def _points(series: str, of: str, line: Series) -> Iterator[Row]:
    for at_s, value in zip(*line, strict=True):
        yield series, of, f"{at_s:.2f}", f"{value:.10g}"
