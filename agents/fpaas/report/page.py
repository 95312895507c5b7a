"""report.html: everything about one run on one page that needs no network.

The page carries plotly.js, its data and its styles. A Content-Security-Policy allows the page's own
two scripts, by their hashes, and nothing else: no request leaves it, and text out of a run (ids,
reasons, host names) can never become a script.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from fpaas.measures import histograms
from fpaas.plan import plan_text
from fpaas.report import answers, charts, tables, written
from fpaas.report.series import RunSeries
from fpaas.results.bundle import Bundle, JsonObject
from fpaas.results.summary import Legs, measure_window
from fpaas.spec import Scenario

TEMPLATES = Path(__file__).parent / "templates"
#: Legs whose percentiles are drawn, out of the agents' histogram logs.
CURVES = {
    "shuffler": ("publish_ack", "due_to_ack"),
    "consumers": ("publish_to_fetch", "end_to_end", "fetch_call", "fetch_call_intended"),
}


@dataclass(frozen=True)
class Chart:
    """A figure with its heading; `figure` is None where nothing was measured."""

    key: str
    title: str
    caption: str
    figure: charts.Figure | None


def render(bundle: Bundle, summary: JsonObject) -> str:
    """Return the page's HTML. What is missing from the bundle is said to be not measured."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawing = (TEMPLATES / "draw.js").read_text(encoding="utf-8")
    plotly = get_plotlyjs()
    spec, plan = bundle.spec, summary.get("plan") or {}
    warmup_s = written.pick(summary, "window", "from_s")
    sections = _charts(bundle, spec.warmup_s if warmup_s is None else warmup_s)
    ledger = summary.get("ledger") or {}
    planned_unread = answers.planned_unread(spec, summary)
    notes = summary.get("notes") or []
    if planned_unread:
        # The page has a box of its own for what the verdict's note on this says.
        notes = [note for note in notes if not note.startswith("as planned")]
    return environment.get_template("page.html.j2").render(
        spec=spec,
        heading=_heading(spec.scenario),
        summary=summary,
        verdict=summary.get("verdict") or {"status": "invalid", "reasons": ["there is no verdict"]},
        problems=bundle.problems,
        notes=notes,
        answers=answers.answers(spec, summary),
        planned_unread=planned_unread,
        parameters=tables.parameters(spec),
        plan_rows=tables.plan_rows(summary),
        warnings=plan_text.warnings(spec, plan) if plan else [],
        identities=[
            tables.identity(ledger, "offered", "frames that fell due", tables.PUBLISHED_TERMS),
            tables.identity(ledger, "owed", "deliveries promised", tables.OWED_TERMS),
        ],
        ledger=ledger,
        throughput=tables.throughput_rows(summary),
        latency=tables.latency_rows(summary),
        processes=tables.process_rows(summary),
        hosts=tables.host_rows(summary),
        fetches=tables.fetch_rows(summary),
        connections=tables.connection_rows(summary),
        fidelity=tables.fidelity_rows(summary),
        clock=tables.clock_rows(summary),
        network=tables.network_rows(bundle),
        environment=tables.environment(bundle),
        charts=sections,
        number=written.number,
        pick=written.pick,
        figures_json=_data_block(
            {
                chart.key: chart.figure
                for charts_ in sections.values()
                for chart in charts_
                if chart.figure
            }
        ),
        plotly=Markup(plotly),  # noqa: S704  the package's own file
        drawing=Markup(drawing),  # noqa: S704  our own file
        script_hashes=[_hash(plotly), _hash(drawing)],
    )


def _heading(scenario: Scenario) -> str:
    """Return `Scenario 1: Baseline` for a scenario named scenario-1 with the title Baseline."""
    name = scenario.name.replace("-", " ").capitalize()
    if scenario.title.lower().startswith(name.lower()):
        return scenario.title
    return f"{name}: {scenario.title}" if scenario.title else name


def _charts(bundle: Bundle, warmup_s: float) -> dict[str, list[Chart]]:
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
    # What is wrong with a log was found, and said, when the summary read it.
    aside = dataclasses.replace(bundle, problems=[])
    legs = Legs.read(aside, measure_window(bundle.spec, warmup_s))
    found = {name: legs.get(agent, name) for agent, names in CURVES.items() for name in names}
    return {name: leg for name, leg in found.items() if leg is not None}


def _data_block(content: Any) -> Markup:  # noqa: ANN401
    """Encode as JSON that cannot end its own script element."""
    encoded = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(encoded.replace("<", "\\u003c"))  # noqa: S704  no markup is left in it


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
