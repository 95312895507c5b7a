"""What hosts and processes used in a window, by the probes' samples; None where not measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from fpaas.results import figures
from fpaas.results.bundle import Bundle, HostPart, JsonObject, cumulative
from fpaas.results.figures import Window

PROCESSES = ("nats", "shuffler", "consumers", "relay")


def hosts(bundle: Bundle, window: Window) -> dict[str, JsonObject]:
    """Return each host's figures: shares and sizes with mean and `_max`, bytes as growth."""
    return {host: _host(part, window) for host, part in bundle.hosts.items()}


def _host(part: HostPart, window: Window) -> JsonObject:
    def values(name: str) -> list[float]:
        return [value for _, value in in_window(part.host_samples, name, window)]

    def grown(name: str) -> int | None:
        change = figures.growth(list(cumulative(part.host_samples, name)), window)
        return None if change is None else round(change[0])

    figure: JsonObject = {}
    for name in ("cpu_pct", "mem_mb", "steal_pct", "iowait_pct", "load1"):
        measured = values(name)
        figure[name] = figures.mean(measured)
        figure[f"{name}_max"] = max(measured, default=None)
    figure["mem_total_mb"] = max(values("mem_total_mb"), default=None)
    for name in ("net_rx_bytes", "net_tx_bytes", "disk_read_bytes", "disk_write_bytes"):
        figure[name] = grown(name)
    return figure


def processes(bundle: Bundle, window: Window) -> dict[str, JsonObject]:
    """Return processor share (100: one core) and memory of each of the lab's processes.

    Several processes of one name are added up.
    """
    return {
        process: {
            name: figures.mean_max(
                figures.sum_over_processes(_samples(bundle, window, process, name))
            )
            for name in ("cpu_pct", "rss_mb")
        }
        for process in PROCESSES
    }


def _samples(
    bundle: Bundle, window: Window, process: str, name: str
) -> Iterator[tuple[tuple[str, int], int, float]]:
    for host, part in bundle.hosts.items():
        for sample in part.process_samples:
            if sample.get("process") == process:
                for unix_ns, value in in_window([sample], name, window):
                    yield (host, sample.get("pid", 0)), unix_ns, value


def agent_cpu_pct(bundle: Bundle, window: Window) -> dict[str, float]:
    """Return each agent process's mean processor share of one core over the window."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for host, part in bundle.hosts.items():
        for sample in part.process_samples:
            if sample.get("process") in ("relay", "shuffler", "consumers"):
                name = f"{sample['process']} (pid {sample.get('pid')}) on {host}"
                values[name] += [v for _, v in in_window([sample], "cpu_pct", window)]
    means = {name: figures.mean(shares) for name, shares in values.items()}
    return {name: share for name, share in means.items() if share is not None}


def in_window(
    samples: Iterable[JsonObject], name: str, window: Window
) -> Iterator[tuple[int, float]]:
    """Iterate over (unix_ns, value) of a figure's samples within a window."""
    return (sample for sample in cumulative(samples, name) if sample[0] in window)
