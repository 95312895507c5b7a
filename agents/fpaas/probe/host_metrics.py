"""The host as Prometheus metrics, named as node_exporter does; read when they are scraped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

_CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
#: Left out by node_exporter, too.
_NO_DISK = re.compile(r"(z?ram|loop|fd)\d+$")
_MEMORY = {
    "MemTotal": "total",
    "MemFree": "free",
    "MemAvailable": "available",
    "Buffers": "buffers",
    "Cached": "cached",
}


def metrics() -> Iterator[Metric]:
    """Yield the host's metrics."""
    yield _cpu()
    memory = psutil.virtual_memory()
    for name, attribute in _MEMORY.items():
        if (value := getattr(memory, attribute, None)) is not None:
            yield GaugeMetricFamily(
                f"node_memory_{name}_bytes", f"{name} of /proc/meminfo.", value=value
            )
    for minutes, load in zip((1, 5, 15), os.getloadavg(), strict=True):
        yield GaugeMetricFamily(f"node_load{minutes}", f"Load, {minutes} min average.", value=load)
    yield from _network()
    yield from _disk()
    yield GaugeMetricFamily(
        "node_boot_time_seconds", "When the host was started.", value=psutil.boot_time()
    )


def _cpu() -> CounterMetricFamily:
    family = CounterMetricFamily(
        "node_cpu_seconds", "Processor time by core and mode.", labels=["cpu", "mode"]
    )
    for core, times in enumerate(psutil.cpu_times(percpu=True)):
        for mode in _CPU_MODES:
            if (value := getattr(times, mode, None)) is not None:
                family.add_metric([str(core), mode], value)
    return family


def _network() -> Iterator[Metric]:
    counters = psutil.net_io_counters(pernic=True, nowrap=True)
    for name, attribute, text in (
        ("receive_bytes", "bytes_recv", "Bytes received."),
        ("transmit_bytes", "bytes_sent", "Bytes sent."),
        ("receive_packets", "packets_recv", "Packets received."),
        ("transmit_packets", "packets_sent", "Packets sent."),
        ("receive_errs", "errin", "Errors while receiving."),
        ("transmit_errs", "errout", "Errors while sending."),
        ("receive_drop", "dropin", "Packets dropped while receiving."),
        ("transmit_drop", "dropout", "Packets dropped while sending."),
    ):
        family = CounterMetricFamily(f"node_network_{name}", text, labels=["device"])
        for device, counter in counters.items():
            family.add_metric([device], getattr(counter, attribute))
        yield family


def _disk() -> Iterator[Metric]:
    counters = psutil.disk_io_counters(perdisk=True, nowrap=True) or {}
    for name, attribute, text in (
        ("read_bytes", "read_bytes", "Bytes read."),
        ("written_bytes", "write_bytes", "Bytes written."),
    ):
        family = CounterMetricFamily(f"node_disk_{name}", text, labels=["device"])
        for device, counter in counters.items():
            if not _NO_DISK.match(device):
                family.add_metric([device], getattr(counter, attribute))
        yield family
