"""Utilisation, saturation and errors of each host, a row a resource."""

from __future__ import annotations

from typing import Any

from fpaas import agreement
from fpaas.bundle.parts import JsonObject
from fpaas.report.written import NOT_MEASURED, number

#: Figure of the view → how it is written: the figure, and words that agree with it.
WORDS = {
    "busy_pct": "{} % busy",
    "busy_pct_max": "{} % at most",
    "waited_pct": "some task waited {} % of the time",
    "load_per_core": "load {} a core",
    "steal_pct": "{} % stolen",
    "throttled_pct": "its quota held it back {} % of the time, added up over cores",
    "used_pct_max": "{} % at most",
    "swapped_mb": "{} MB swapped",
    "oom_kills": "{} killed for want of it",
    "received_mbit_per_s": "{} Mbit/s in",
    "sent_mbit_per_s": "{} Mbit/s out",
    "loopback_mbit_per_s": "{} Mbit/s to itself",
    "of_link_pct": "{} % of the link",
    "of_measured_pct": "{} % of what was measured before the run",
    "dropped": "{} {:packet|packets} dropped",
    "tcp_retransmits": "{} {:segment|segments} sent again",
    "net_errors": "{} {:error|errors}",
    "read_mb_per_s": "{} MB/s read",
    "written_mb_per_s": "{} MB/s written",
    "iowait_pct": "{} % of cores waited for it",
    "cpu_pct": "{} % of a core",
    "cpu_pct_max": "{} % at most",
    "rss_mb_max": "{} MB",
    "loop_lag_p99_ms": "event loop {} ms late (p99)",
    "connection_errors": "{} connection {:error|errors}",
    "reconnects": "{} {:reconnect|reconnects}",
    "timeouts": "{} {:timeout|timeouts}",
    "refused": "{} {:publish|publishes} refused",
    "slow_disconnects": "{} slow {:reader|readers} cut off",
    "slow_consumers": "{} slow {:consumer|consumers}",
}
#: Left out if there are none, or nobody can tell.
SELDOM = (
    *("swapped_mb", "steal_pct", "throttled_pct", "of_link_pct", "of_measured_pct", "iowait_pct"),
    "loopback_mbit_per_s",
)
PROCESS_ORDER = ("relay", "shuffler", "nats", "consumers", "probe")


def hosts(summary: JsonObject) -> dict[str, list[dict[str, str]]]:
    """Return each host's rows: resource, utilisation, saturation, errors."""
    return {host: _rows(use) for host, use in (summary.get("use") or {}).items()}


def _rows(use: JsonObject) -> list[dict[str, str]]:
    resources = ["cpu", "memory", "network", "disk"]
    names = [name for name in (*resources, *PROCESS_ORDER) if name in use]
    names += sorted(set(use) - set(names))
    return [
        {
            "name": name,
            **{
                kind: _written(use[name].get(kind) or {})
                for kind in ("utilisation", "saturation", "errors")
            },
        }
        for name in names
    ]


def _written(figures: dict[str, Any]) -> str:
    if figures and all(value is None for value in figures.values()):
        return NOT_MEASURED
    parts = []
    for name, value in figures.items():
        if value is None or (name in SELDOM and not value):
            continue
        words = WORDS.get(name, f"{name.replace('_', ' ')} {{}}")
        parts.append(agreement.rendered(words, _number(value), value))
    return ", ".join(parts)


def _number(value: float) -> str:
    return number(round(value, 1)) if abs(value) >= 1 else number(value, 2)
