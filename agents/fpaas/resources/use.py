"""Utilisation, saturation and errors of each host's resources: where a bottleneck would show. Pure.

Out of summary.json's `resources`; a figure that was not measured is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fpaas.bundle.parts import JsonObject


def view(
    hosts: Mapping[str, JsonObject],
    processes: Mapping[str, Mapping[str, JsonObject]],
    window_s: float,
    loop_lag_p99_ms: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, JsonObject]],
) -> JsonObject:
    """Return {host: {resource: {utilisation, saturation, errors}}}, each {figure: value}.

    `processes`, `loop_lag_p99_ms` and `errors` are by host and process.
    """
    return {
        host: {
            "cpu": _cpu(figures),
            "memory": _memory(figures),
            "network": _network(figures, window_s),
            "disk": _disk(figures, window_s),
            **{
                process: _process(
                    used,
                    loop_lag_p99_ms.get(host, {}).get(process),
                    errors.get(host, {}).get(process, {}),
                )
                for process, used in processes.get(host, {}).items()
            },
        }
        for host, figures in hosts.items()
    }


def _cpu(host: JsonObject) -> JsonObject:
    cores, load = host.get("cpu_count"), host.get("load1")
    return {
        "utilisation": {"busy_pct": host.get("cpu_pct"), "busy_pct_max": host.get("cpu_pct_max")},
        "saturation": {
            "waited_pct": host.get("cpu_pressure_pct"),
            "load_per_core": load / cores if cores and load is not None else None,
            "steal_pct": host.get("steal_pct"),
            "throttled_pct": host.get("throttled_pct"),
        },
        "errors": {},
    }


def _memory(host: JsonObject) -> JsonObject:
    used, total = host.get("mem_mb_max"), host.get("mem_total_mb")
    return {
        "utilisation": {"used_pct_max": 100 * used / total if used and total else None},
        "saturation": {
            "waited_pct": host.get("memory_pressure_pct"),
            "swapped_mb": _mega(host.get("swap_bytes")),
        },
        "errors": {"oom_kills": host.get("oom_kills")},
    }


def _network(host: JsonObject, window_s: float) -> JsonObject:
    received = mbit_per_s(host.get("net_rx_bytes"), window_s)
    sent = mbit_per_s(host.get("net_tx_bytes"), window_s)
    speed, measured = host.get("net_speed_mbit_per_s"), host.get("net_measured_mbit_per_s")
    busiest = max((rate for rate in (received, sent) if rate is not None), default=None)
    return {
        "utilisation": {
            "received_mbit_per_s": received,
            "sent_mbit_per_s": sent,
            "loopback_mbit_per_s": mbit_per_s(host.get("loopback_bytes"), window_s),
            "of_link_pct": 100 * busiest / speed if speed and busiest is not None else None,
            # A link that names no speed.
            "of_measured_pct": 100 * busiest / measured
            if measured and not speed and busiest is not None
            else None,
        },
        "saturation": {
            "dropped": host.get("net_drops"),
            "tcp_retransmits": host.get("tcp_retransmits"),
        },
        "errors": {"net_errors": host.get("net_errors")},
    }


def _disk(host: JsonObject, window_s: float) -> JsonObject:
    read, written = _mega(host.get("disk_read_bytes")), _mega(host.get("disk_write_bytes"))
    return {
        "utilisation": {
            "read_mb_per_s": None if read is None else read / window_s,
            "written_mb_per_s": None if written is None else written / window_s,
        },
        "saturation": {
            "waited_pct": host.get("io_pressure_pct"),
            "iowait_pct": host.get("iowait_pct"),
        },
        "errors": {},
    }


def _process(used: JsonObject, loop_lag_p99_ms: float | None, errors: JsonObject) -> JsonObject:
    """Describe one process; 100 % is one core, and its queue is its event loop's."""
    saturation: dict[str, Any] = {}
    if loop_lag_p99_ms is not None:
        saturation["loop_lag_p99_ms"] = loop_lag_p99_ms
    return {
        "utilisation": {
            "cpu_pct": used["cpu_pct"]["mean"],
            "cpu_pct_max": used["cpu_pct"]["max"],
            "rss_mb_max": used["rss_mb"]["max"],
        },
        "saturation": saturation,
        "errors": errors,
    }


def mbit_per_s(count: float | None, window_s: float) -> float | None:
    """Convert bytes in a window."""
    return None if count is None else count * 8 / 1e6 / window_s


def _mega(count: float | None) -> float | None:
    return None if count is None else count / 1e6
