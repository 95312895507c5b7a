"""Tables of single sections: rows of written figures out of summary.json."""

from __future__ import annotations

from typing import Any

from fpaas.bundle.parts import JsonObject
from fpaas.latency.lower_bounds import MARK, marked
from fpaas.records.consumers import PULL_ENDS
from fpaas.records.paths import pick
from fpaas.report.written import NOT_MEASURED, number, points, share, with_unit
from fpaas.verdict import generators

PULL_END_MEANINGS = {
    "ok": "brought at least one message",
    "empty": "brought none: there was none",
    "refused": "brought none: NATS answered by another status",
    "client_timeout": "was not answered in time",
    "lost": "was in flight when its connection broke",
    "unanswered": "was in flight when the run ended",
}
STATUS_MEANINGS = {
    "404": "no (more) messages",
    "408": "the pull ran out of time",
    "409": "the consumer cannot serve the pull",
    "503": "nobody serves this consumer",
}
#: (figure, what it is, limit of its p99 in ms; None: it is not the lab's own doing alone).
FIDELITY_LIMITS = (
    ("poll_lateness_own_ms", "poll lateness, own", generators.POLL_LATENESS_P99_LIMIT_MS),
    ("poll_lateness_ms", "poll lateness with what it waited for", None),
    ("loop_lag_ms", "event loop lag", generators.LOOP_LAG_P99_LIMIT_MS),
    ("relay_lateness_own_ms", "relay lateness, own", generators.RELAY_LATENESS_P99_LIMIT_MS),
    ("relay_lateness_ms", "relay lateness with what it waited for", None),
)


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
    return f"{'; '.join(number(pick(content, name)) for name in names)} {unit}"


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
    rows = [
        {
            "name": name.replace("_", " "),
            "meaning": PULL_END_MEANINGS[name],
            "count": number(fetches.get(name)),
            "share": share(fetches.get(name), fetches.get("pulls")),
        }
        for name in PULL_ENDS
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
            is_limited = column == "p99" and limit_ms is not None and value is not None
            rows[f"{word}, {column}"] = marked(
                with_unit(value, "ms"), at_least=column in (pick(fidelity, name, "at_least") or {})
            ) + (f" (limit {limit_ms:g})" if is_limited else "")
        if pick(fidelity, name, "open_count"):
            rows[f"{word}, open"] = (
                f"{number(pick(fidelity, name, 'open_count'))}, the youngest "
                f"{MARK}{with_unit(pick(fidelity, name, 'open_min_ms'), 'ms')}"
            )
    blocked_s = pick(fidelity, "relay_blocked_s")
    if blocked_s is not None:
        rows["relay held up by its readers"] = with_unit(blocked_s, "s")
    spread_ms = pick(fidelity, "start_spread_ms")
    limit = f" (limit {generators.START_SPREAD_LIMIT_MS:g})" if spread_ms is not None else ""
    rows["starts apart by"] = with_unit(spread_ms, "ms") + limit
    return rows
