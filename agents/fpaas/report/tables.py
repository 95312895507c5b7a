"""Tables of the report: rows of written figures out of summary.json and run.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fpaas.plan.plan_text import DELIVERY_WORDS
from fpaas.report.written import (
    NOT_MEASURED,
    flatten,
    megabytes,
    number,
    pick,
    points,
    share,
    with_unit,
)
from fpaas.results import verdict
from fpaas.results.bundle import Bundle, JsonObject
from fpaas.spec import RunSpec

NOT_RESOLVABLE = "not resolvable"

#: Leg of latency_ms → what lies between its two times, in the order of the data's way.
LEGS = {
    "due_to_read": "due at the relay → read by the shuffler",
    "publish_ack": "written to NATS → acked",
    "due_to_ack": "due at the relay → acked by NATS",
    "publish_to_first_fetch": "stored → first fetched by any consumer",
    "publish_to_fetch": "stored → fetched, each delivery",
    "end_to_end": "due at the relay → received by a consumer, each delivery",
    "fetch_call": "pull sent → answered",
    "fetch_call_intended": "pull due → answered",
}

#: (term, what it is, tone) of the two identities.
PUBLISHED_TERMS = (
    ("published", "stored by NATS, and acked or settled", "good"),
    ("duplicates_rejected", "refused as duplicates within the window", "neutral"),
    ("undecodable", "no valid frames", "bad"),
    ("not_read", "sent by the relay, never read", "bad"),
    ("publish_failed", "refused by NATS for good", "bad"),
    ("publish_unknown", "without an answer, not settled", "bad"),
)
OWED_TERMS = (
    ("delivered", "received, each once", "good"),
    ("pending_at_end", "still stored when the run ended, not yet fetched", "neutral"),
    ("expired_unread", "left the stream before they were fetched", "expired"),
    ("lost", "sent by NATS, received by nobody, gone", "bad"),
)

STATUS_MEANINGS = {
    "404": "no (more) messages",
    "408": "the pull ran out of time",
    "409": "the consumer cannot serve the pull",
    "503": "nobody serves this consumer",
}
#: (figure, what it is, limit of its p99 in ms).
FIDELITY_LIMITS = (
    ("poll_lateness_ms", "poll lateness", verdict.POLL_LATENESS_P99_LIMIT_MS),
    ("loop_lag_ms", "event loop lag", verdict.LOOP_LAG_P99_LIMIT_MS),
    ("relay_lateness_ms", "relay lateness", verdict.RELAY_LATENESS_P99_LIMIT_MS),
)


@dataclass(frozen=True)
class Term:
    """One term of an identity."""

    name: str
    meaning: str
    tone: str
    count: int | None
    written: str
    share: str
    width_pct: float


@dataclass(frozen=True)
class Identity:
    """`whole = the sum of the terms`, and by how much it does not balance (None: cannot tell)."""

    whole_name: str
    whole_meaning: str
    whole: str
    terms: list[Term] = field(default_factory=list)
    is_measured: bool = False
    sum_written: str = NOT_MEASURED
    difference: int | None = None


def identity(
    ledger: JsonObject, whole_name: str, meaning: str, terms: tuple[tuple[str, str, str], ...]
) -> Identity:
    """Make one side of the ledger."""
    whole = ledger.get(whole_name)
    counts = {name: ledger.get(name) for name, _, _ in terms}
    measured = [count for count in counts.values() if count is not None]
    total = sum(measured) if len(measured) == len(counts) else None
    return Identity(
        whole_name,
        meaning,
        number(whole),
        [
            Term(
                name,
                what,
                tone,
                counts[name],
                number(counts[name]),
                share(counts[name], whole),
                100 * (counts[name] or 0) / max(sum(measured), 1),
            )
            for name, what, tone in terms
        ],
        total is not None,
        number(total),
        None if total is None or whole is None else whole - total,
    )


def latency_rows(summary: JsonObject) -> list[dict[str, Any]]:
    """Return a row of written percentiles for each leg, contract's legs always among them."""
    measured = summary.get("latency_ms") or {}
    always = ("publish_ack", "publish_to_first_fetch", "end_to_end", "fetch_call")
    names = [name for name in LEGS if name in measured or name in always]
    names += sorted(set(measured) - set(LEGS))
    rows = []
    for name in names:
        leg = measured.get(name) or {}
        bound_ms = leg.get("clock_error_ms")
        rows.append(
            {
                "name": name,
                "meaning": LEGS.get(name, ""),
                "is_measured": bool(leg.get("count")),
                "count": number(leg.get("count")),
                "negative_count": number(leg.get("negative_count")),
                "values": [
                    _latency(leg.get(column), bound_ms)
                    for column in ("min", "p50", "p90", "p99", "p999", "max")
                ],
                "clock": "one clock" if bound_ms == 0 else with_unit(bound_ms, "ms"),
            }
        )
    return rows


def _latency(value_ms: float | None, bound_ms: float | None) -> str:
    """Write a latency; one below what the clocks can tell apart is not resolvable."""
    if value_ms is not None and bound_ms is not None and value_ms < bound_ms:
        return NOT_RESOLVABLE
    return number(value_ms)


def parameters(spec: RunSpec) -> dict[str, str]:
    """Return what the run was told to do."""
    c = spec.consumers
    rate = "as the relay sends"
    if spec.firehose.rate_per_s is not None:
        rate = f"{spec.firehose.rate_per_s:g} frames/s, seed {spec.firehose.seed}"
    return {
        "consumers": f"{c.count:,}",
        "delivery": DELIVERY_WORDS.get(c.delivery, c.delivery),
        "poll interval": f"{c.poll_interval_s:g} s ± {c.poll_jitter_pct:g} %",
        "batch": f"{c.batch_size:,} messages",
        "fetch": "until empty, each poll" if c.fetch == "drain" else "one batch a poll",
        "connections": {"auto": "shared by consumers", "per_consumer": "one a consumer"}.get(
            c.connections, c.connections
        ),
        "firehose": f"{spec.firehose.source}, {rate}",
        "time": (
            f"{spec.warmup_s:g} s warm-up, {spec.measure_s:g} s measured, "
            f"{spec.drain_s:g} s draining"
        ),
        "stream": (
            f"{spec.stream.storage}, max age {spec.stream.max_age_s:g} s, "
            f"{spec.stream.max_bytes / 1e6:,.0f} MB, duplicates for "
            f"{spec.stream.duplicate_window_s:g} s, {spec.stream.replicas} replica(s)"
        ),
    }


def throughput_rows(summary: JsonObject) -> dict[str, str]:
    """Return rates while measuring, and the size of frames."""
    throughput = summary.get("throughput") or {}
    rows = {
        name: with_unit(throughput.get(f"{name}_per_s"), "/s")
        for name in ("offered", "published", "processed")
    }
    each, size = throughput.get("per_consumer_per_s"), summary.get("message_bytes")
    rows["a consumer: least, median, p99, most"] = _listed(each, ("min", "p50", "p99", "max"), "/s")
    rows["frame: mean, median, p99, most"] = _listed(size, ("mean", "p50", "p99", "max"), "bytes")
    return rows


def _listed(content: Any, names: tuple[str, ...], unit: str) -> str:  # noqa: ANN401
    if pick(content, names[0]) is None:
        return NOT_MEASURED
    return f"{', '.join(number(pick(content, name)) for name in names)} {unit}"


def plan_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Set what was planned beside what was measured."""
    plan = summary.get("plan") or {}
    if not plan:
        return []
    pairs: list[tuple[str, str, Any, Any]] = [
        ("offered", "/s", plan.get("offered_per_s"), pick(summary, "throughput", "offered_per_s")),
        (
            "processed, all consumers",
            "/s",
            plan.get("processed_per_s"),
            pick(summary, "throughput", "processed_per_s"),
        ),
        (
            "processed, a consumer (median)",
            "/s",
            plan.get("processed_per_consumer_per_s"),
            pick(summary, "throughput", "per_consumer_per_s", "p50"),
        ),
        *(
            (name.replace("_", " "), "", plan.get(name), pick(summary, "ledger", name))
            for name in ("owed", "delivered", "expired_unread", "pending_at_end")
        ),
        (
            "unread, of what is owed",
            "%",
            _per_cent(plan.get("unread_share")),
            _per_cent(unread_share(summary)),
        ),
        (
            "consumer lag, messages (planned: mean; measured: median)",
            "",
            plan.get("consumer_lag_mean"),
            pick(summary, "jetstream", "consumer_lag", "p50"),
        ),
        (
            "stream, messages",
            "",
            plan.get("stream_messages"),
            pick(summary, "jetstream", "messages"),
        ),
        (
            "stream, size",
            "MB",
            megabytes(plan.get("stream_bytes")),
            megabytes(pick(summary, "jetstream", "bytes")),
        ),
        (
            "memory of NATS, most",
            "MB",
            plan.get("nats_rss_mb"),
            pick(summary, "resources", "processes", "nats", "rss_mb", "max"),
        ),
        (
            "frame, mean size",
            "bytes",
            plan.get("frame_bytes_mean"),
            pick(summary, "message_bytes", "mean"),
        ),
        (
            "connections of consumers",
            "",
            plan.get("connections"),
            pick(summary, "connections", "count"),
        ),
    ]
    return [
        {
            "name": name,
            "planned": _measured(planned, unit),
            "measured": _measured(measured, unit),
            "ratio": _ratio(measured, planned),
        }
        for name, unit, planned, measured in pairs
    ]


def unread_share(summary: JsonObject) -> float | None:
    """Share of what was owed that nobody received; None where not measured."""
    owed, delivered = pick(summary, "ledger", "owed"), pick(summary, "ledger", "delivered")
    if not owed or delivered is None:
        return None
    unread: float = 1 - delivered / owed
    return unread


def _per_cent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _measured(value: Any, unit: str) -> str:  # noqa: ANN401
    if value is None:
        return NOT_MEASURED
    return f"{number(value)}{unit}" if unit == "/s" else with_unit(value, unit).rstrip()


def _ratio(measured: Any, planned: Any) -> str:  # noqa: ANN401
    if not isinstance(measured, int | float) or not isinstance(planned, int | float):
        return ""
    if not planned:
        return "as planned" if not measured else ""
    difference_pct = 100 * (measured - planned) / planned
    return "±0 %" if abs(difference_pct) < 0.05 else f"{difference_pct:+.1f} %"


def process_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Return CPU and memory of each process."""
    processes = pick(summary, "resources", "processes") or {}
    order = ["relay", "shuffler", "nats", "consumers", "probe"]
    names = [name for name in order if name in processes]
    names += sorted(set(processes) - set(order))
    return [
        {
            "name": name,
            "cpu_mean": points(pick(processes[name], "cpu_pct", "mean")),
            "cpu_max": points(pick(processes[name], "cpu_pct", "max")),
            "rss_mean": with_unit(pick(processes[name], "rss_mb", "mean"), "MB"),
            "rss_max": with_unit(pick(processes[name], "rss_mb", "max"), "MB"),
        }
        for name in names
    ]


def fetch_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Return how the consumers' pulls ended, each with its share of all."""
    fetches = summary.get("fetches") or {}
    ends = [
        ("ok", "brought at least one message", fetches.get("ok")),
        ("empty", "brought none", fetches.get("empty")),
        ("client timeout", "was not answered in time", fetches.get("client_timeout")),
    ]
    pulls = sum(count for _, _, count in ends if isinstance(count, int))
    rows = [
        {"name": name, "meaning": meaning, "count": number(count), "share": share(count, pulls)}
        for name, meaning, count in ends
    ]
    for status, count in sorted((fetches.get("by_status") or {}).items()):
        meaning = f"NATS answered: {STATUS_MEANINGS.get(status[:3], 'see the NATS documentation')}"
        rows.append({"name": status, "meaning": meaning, "count": number(count), "share": ""})
    return rows


def connection_rows(summary: JsonObject) -> dict[str, str]:
    """Return how the consumers' connections, and the server, fared."""
    connections = summary.get("connections")
    names = ("count", "errors", "reconnects", "slow_consumer_disconnects")
    rows = {name.replace("_", " "): number(pick(connections, name)) for name in names}
    rows["slow consumers, by the server"] = number(pick(summary, "jetstream", "slow_consumers"))
    return rows


def fidelity_rows(summary: JsonObject) -> dict[str, str]:
    """Return how late the lab itself was; beyond a limit, a run is invalid."""
    fidelity = summary.get("fidelity")
    rows: dict[str, str] = {}
    for name, word, limit_ms in FIDELITY_LIMITS:
        for column in ("p50", "p99", "max"):
            value = pick(fidelity, name, column)
            if value is None and column != "p99":
                continue
            limit = f" (limit {limit_ms:g})" if column == "p99" else ""
            rows[f"{word}, {column}"] = with_unit(value, "ms") + limit * (value is not None)
    spread_ms = pick(fidelity, "start_spread_ms")
    limit = f" (limit {verdict.START_SPREAD_LIMIT_MS:g})" if spread_ms is not None else ""
    rows["starts apart by"] = with_unit(spread_ms, "ms") + limit
    return rows


def host_rows(summary: JsonObject) -> list[dict[str, str]]:
    """Return CPU, memory and network of each host while measuring."""
    return [
        {
            "name": host,
            "cpu": points(pick(figures, "cpu_pct")),
            "steal": points(pick(figures, "steal_pct")),
            "memory": with_unit(pick(figures, "mem_mb"), "MB"),
            "received": with_unit(megabytes(pick(figures, "net_rx_bytes")), "MB"),
            "sent": with_unit(megabytes(pick(figures, "net_tx_bytes")), "MB"),
        }
        for host, figures in (pick(summary, "resources", "hosts") or {}).items()
    ]


@dataclass(frozen=True)
class Machine:
    """One host, the NATS server or the control node: a line that says what it is, and all facts."""

    name: str
    line: str
    facts: dict[str, str]


def environment(bundle: Bundle) -> list[Machine]:
    """Return what the run ran on."""
    machines = []
    for part in bundle.hosts.values():
        probed = {name: value for name, value in (part.probe or {}).items() if name != "own"}
        facts = pick(part.seal, "facts") or probed
        groups = [group for group, names in bundle.spec.hosts.items() if part.host in names]
        known = [
            pick(facts, "os"),
            f"kernel {pick(facts, 'kernel') or 'not known'}",
            f"{number(pick(facts, 'cpu_count'))} cores",
            with_unit(pick(facts, "mem_total_mb"), "MB"),
        ]
        line = ", ".join(str(fact) for fact in known if fact) if facts else NOT_MEASURED
        machines.append(Machine(part.host, line, {"plays": ", ".join(groups), **flatten(facts)}))
    if bundle.server_final is not None:
        server = bundle.server_final.server
        facts = {name: pick(server, name) for name in ("version", "server_id", "start")}
        machines.append(Machine("NATS server", f"version {facts['version']}", flatten(facts)))
    if bundle.control:
        facts = {name: value for name, value in bundle.control.items() if name != "problems"}
        machines.append(Machine("Control node", "started the run", flatten(facts)))
    return machines


def clock_rows(summary: JsonObject) -> dict[str, str]:
    """Return the bound of each host's clock against the NATS host's."""
    return {
        host: f"± {number(pick(clock, 'bound_ms'))} ms ({pick(clock, 'method') or 'not known'})"
        if pick(clock, "bound_ms") is not None
        else NOT_MEASURED
        for host, clock in (summary.get("clock") or {}).items()
    }


def network_rows(bundle: Bundle) -> list[dict[str, str]]:
    """Return round trips and throughput between hosts; nothing where there was only one."""
    return [
        {
            "name": f"{link['from']} → {link['to']}",
            "error": str(link["error"] or ""),
            "rtt_min": number(pick(link, "rtt_ms", "min")),
            "rtt_p50": number(pick(link, "rtt_ms", "p50")),
            "rtt_p99": number(pick(link, "rtt_ms", "p99")),
            "sent": number(pick(link, "sent_mbit_per_s")),
            "received": number(pick(link, "received_mbit_per_s")),
        }
        for part in bundle.hosts.values()
        for link in part.links
    ]
