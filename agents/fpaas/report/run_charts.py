"""The charts of one run, section by section."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import JsonObject
from fpaas.latency.leg_kinds import LEGS
from fpaas.latency.legs import Legs
from fpaas.records.paths import pick
from fpaas.records.summary import Event
from fpaas.report import percentile_charts, time_charts
from fpaas.report.document import Chart
from fpaas.report.series import RunSeries
from fpaas.report.written import number
from fpaas.summary.summary import measure_window

#: The agent whose legs are drawn together; those of all others are on the way into the stream.
OUT_OF_THE_STREAM = "consumers"
#: Known by its percentiles only.
FIRST_FETCH = "publish_to_first_fetch"
FIRST_FETCH_SHARES = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def of_run(bundle: Bundle, summary: JsonObject, warmup_s: float) -> dict[str, list[Chart]]:
    """Return the charts of each section that has some; `warmup_s` is left out of percentiles."""
    run = RunSeries(bundle, warmup_s)
    events = msgspec.convert(summary.get("events") or [], list[Event])
    # No chart's axis has what the playbook did before and after the run.
    happened = [event for event in events if 0 <= event.at_s <= run.end_s]
    drawn = curves(bundle, summary, warmup_s)
    legs_out = [name for name, kind in LEGS.items() if kind.agent == OUT_OF_THE_STREAM]
    legs_in = [name for name in LEGS if name not in legs_out]
    return {
        "throughput": [
            Chart(
                "throughput",
                "Messages a second",
                "Offered by the relay, read and published by the shuffler, processed by all "
                "consumers together.",
                time_charts.time_chart(run.throughput(), "/s", run, happened),
            ),
            Chart(
                "backpressure",
                "Where events wait",
                "Events so far. Between offered and read they wait in the relay. Between read and "
                "acked they are in flight in the shuffler, which has room for few.",
                time_charts.time_chart(run.backpressure(), "events", run, happened),
            ),
        ],
        "latency": [
            Chart(
                "percentiles-in",
                "On the way into the stream",
                "Both axes are logarithmic; each step to the right is another nine. Warm-up and "
                "draining are left out. Dashed: a lower bound, because calls without an answer "
                "could raise it." + _out_of_range(summary, legs_in),
                percentile_charts.percentile_chart(_those(drawn, legs_in)),
            ),
            Chart(
                "percentiles-out",
                "On the way out of it",
                "The band around a curve is ± the clocks' bound. Dotted: below the bound, so not "
                "resolvable. Dashed: a lower bound." + _out_of_range(summary, legs_out),
                percentile_charts.percentile_chart(_those(drawn, legs_out)),
            ),
            Chart(
                "calls-open",
                "Calls still without an answer",
                "How many publishes and pulls waited for an answer, each second; the measured "
                "window is not shaded.",
                time_charts.time_chart(run.open_calls(), "calls", run, happened),
            ),
        ],
        "resources": [
            Chart(
                "process-cpu",
                "CPU of each process",
                "100 % is one core.",
                time_charts.time_chart(run.processes("cpu_pct"), "%", run, happened),
            ),
            Chart(
                "process-memory",
                "Memory of each process",
                "Resident set.",
                time_charts.time_chart(run.processes("rss_mb"), "MB", run, happened),
            ),
            Chart(
                "host-cpu",
                "CPU of each host",
                "100 % is the whole host. Steal is CPU time that its hypervisor gave to others.",
                time_charts.time_chart(
                    {
                        **run.hosts("cpu_pct"),
                        **{f"{host} steal": s for host, s in run.hosts("steal_pct").items()},
                    },
                    "%",
                    run,
                    happened,
                ),
            ),
            Chart(
                "host-memory",
                "Memory of each host",
                "Used, without caches.",
                time_charts.time_chart(run.hosts("mem_mb"), "MB", run, happened),
            ),
            Chart(
                "host-network",
                "Network of each host",
                "A lab on one host uses only its loopback interface.",
                time_charts.time_chart(run.host_traffic_mbit_per_s(), "Mbit/s", run, happened),
            ),
        ],
        "jetstream": [
            Chart(
                "stream-messages",
                "Messages in the stream",
                "",
                time_charts.time_chart(
                    {"messages": run.nats("stream", "messages")}, "messages", run, happened
                ),
            ),
            Chart(
                "stream-bytes",
                "Size of the stream",
                f"At most {bundle.spec.stream.max_bytes / 1e6:,.0f} MB.",
                time_charts.time_chart({"size": run.nats_megabytes()}, "MB", run, happened),
            ),
            Chart(
                "consumer-lag",
                "Consumer lag",
                "Messages that a consumer is owed and has not been sent yet.",
                time_charts.time_chart(
                    {
                        name: run.nats("lag", column)
                        for name, column in (("median", "p50"), ("p99", "p99"), ("most", "max"))
                    },
                    "messages",
                    run,
                    happened,
                ),
            ),
        ],
    }


def curves(
    bundle: Bundle, summary: JsonObject, warmup_s: float
) -> dict[str, percentile_charts.Curve]:
    """Return every leg's percentiles over the measured time."""
    legs = Legs.read(bundle, measure_window(bundle.spec, warmup_s))
    found = _first_fetch(summary)
    for name, kind in LEGS.items():
        leg = legs.get(kind.agent, kind.recorded) if kind.recorded else None
        if leg is not None:
            bound_ms = pick(summary, "latency_ms", name, "clock_error_ms")
            found[name] = percentile_charts.Curve(percentile_charts.percentile_curve(leg), bound_ms)
    return found


def _those(
    found: dict[str, percentile_charts.Curve], names: Iterable[str]
) -> dict[str, percentile_charts.Curve]:
    return {name: found[name] for name in names if name in found}


def _out_of_range(summary: JsonObject, names: Iterable[str]) -> str:
    """Return what curves cannot show: samples of more than an hour."""
    counts = {name: pick(summary, "latency_ms", name, "out_of_range_count") for name in names}
    found = [f"{name} {number(count)}" for name, count in counts.items() if count]
    return f" Out of range, more than an hour: {', '.join(found)}." if found else ""


def _first_fetch(summary: JsonObject) -> dict[str, percentile_charts.Curve]:
    leg = pick(summary, "latency_ms", FIRST_FETCH) or {}
    if not leg.get("count"):
        return {}
    shares = {**FIRST_FETCH_SHARES, "max": 1 - 1 / (leg["count"] + 1)}
    points = sorted(
        percentile_charts.Point(share, max(leg[column], percentile_charts.DRAWN_MIN_MS))
        for column, share in shares.items()
        if leg.get(column) is not None and share <= shares["max"]
    )
    return {FIRST_FETCH: percentile_charts.Curve(points, leg.get("clock_error_ms"))}
