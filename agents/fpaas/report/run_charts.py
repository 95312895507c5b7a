"""The charts of one run, section by section."""

from __future__ import annotations

from fpaas.measures import histograms
from fpaas.report import charts
from fpaas.report.document import Chart
from fpaas.report.series import RunSeries
from fpaas.results.bundle import Bundle
from fpaas.results.legs import Legs
from fpaas.results.summary import measure_window

#: Legs whose percentiles are drawn, out of the agents' histogram logs.
CURVES = {
    "shuffler": ("publish_ack", "due_to_ack"),
    "consumers": ("publish_to_fetch", "end_to_end", "fetch_call", "fetch_call_intended"),
}


def of_run(bundle: Bundle, warmup_s: float) -> dict[str, list[Chart]]:
    """Return the charts of each section that has some; `warmup_s` is left out of percentiles."""
    run = RunSeries(bundle, warmup_s)
    return {
        "throughput": [
            Chart(
                "throughput",
                "Messages a second",
                "Offered by the relay, read and published by the shuffler, processed by all "
                "consumers together.",
                charts.time_chart(run.throughput(), "/s", run),
            )
        ],
        "latency": [
            Chart(
                "percentiles",
                "Latency by percentile",
                "Both axes are logarithmic; each step to the right is another nine. Warm-up and "
                "draining are left out.",
                charts.percentile_chart(_curves(bundle, warmup_s)),
            )
        ],
        "resources": [
            Chart(
                "process-cpu",
                "CPU of each process",
                "100 % is one core.",
                charts.time_chart(run.processes("cpu_pct"), "%", run),
            ),
            Chart(
                "process-memory",
                "Memory of each process",
                "Resident set.",
                charts.time_chart(run.processes("rss_mb"), "MB", run),
            ),
            Chart(
                "host-cpu",
                "CPU of each host",
                "100 % is the whole host. Steal is what its hypervisor gave to others.",
                charts.time_chart(
                    {
                        **run.hosts("cpu_pct"),
                        **{f"{host} steal": s for host, s in run.hosts("steal_pct").items()},
                    },
                    "%",
                    run,
                ),
            ),
            Chart(
                "host-memory",
                "Memory of each host",
                "Used, without caches.",
                charts.time_chart(run.hosts("mem_mb"), "MB", run),
            ),
            Chart(
                "host-network",
                "Network of each host",
                "A lab on one host talks over its loopback, and over nothing else.",
                charts.time_chart(run.host_traffic_mbit_per_s(), "Mbit/s", run),
            ),
        ],
        "jetstream": [
            Chart(
                "stream-messages",
                "Messages in the stream",
                "",
                charts.time_chart({"messages": run.nats("stream", "messages")}, "messages", run),
            ),
            Chart(
                "stream-bytes",
                "Size of the stream",
                f"At most {bundle.spec.stream.max_bytes / 1e6:,.0f} MB.",
                charts.time_chart({"size": run.nats_megabytes()}, "MB", run),
            ),
            Chart(
                "consumer-lag",
                "Consumer lag",
                "Messages that a consumer is owed and was not yet sent.",
                charts.time_chart(
                    {
                        name: run.nats("lag", column)
                        for name, column in (("median", "p50"), ("p99", "p99"), ("most", "max"))
                    },
                    "messages",
                    run,
                ),
            ),
        ],
    }


def _curves(bundle: Bundle, warmup_s: float) -> dict[str, histograms.Leg]:
    """Return the legs to draw, over the measured time."""
    legs = Legs.read(bundle, measure_window(bundle.spec, warmup_s))
    found = {name: legs.get(agent, name) for agent, names in CURVES.items() for name in names}
    return {name: leg for name, leg in found.items() if leg is not None}
