"""What hosts and processes used in a window, by the probes' samples; None if not measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import HostPart, JsonObject, Sample, cumulative
from fpaas.measures import figures
from fpaas.measures.figures import Window

PROCESSES = ("nats", "shuffler", "consumers", "relay")
#: Only shown if there are any.
WATCHING = ("prometheus", "grafana")
#: Counters of a host, as they grew in the window.
GROWING = (
    *("net_rx_bytes", "net_tx_bytes", "loopback_bytes", "disk_read_bytes", "disk_write_bytes"),
    *("net_errors", "net_drops", "tcp_retransmits", "swap_bytes", "oom_kills"),
)


def hosts(bundle: Bundle, window: Window) -> dict[str, JsonObject]:
    """Return each host's figures: shares and sizes with mean and `_max`, bytes as growth."""
    return {
        host: {
            **_host(part, window),
            "net_measured_mbit_per_s": _measured_mbit_per_s(bundle, host),
        }
        for host, part in bundle.hosts.items()
    }


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
    for name in GROWING:
        figure[name] = grown(name)
    for name in ("cpu", "memory", "io"):
        change = figures.growth(list(cumulative(part.host_samples, f"{name}_pressure_us")), window)
        figure[f"{name}_pressure_pct"] = None if change is None else change[0] / change[1] / 1e4
    held_back = figures.growth(list(cumulative(part.host_samples, "throttled_us")), window)
    figure["throttled_pct"] = None if held_back is None else held_back[0] / held_back[1] / 1e4
    for name in ("cpu_count", "net_speed_mbit_per_s"):
        figure[name] = getattr(part.probe, name, None)
    return figure


def _measured_mbit_per_s(bundle: Bundle, host: str) -> float | None:
    """Return the most that the network carried from or to a host before the run, one way."""
    links = [link for part in bundle.hosts.values() for link in part.links]
    rates = [
        rate
        for link in links
        if host in (link.from_host, link.to)
        for rate in (link.sent_mbit_per_s, link.received_mbit_per_s)
    ]
    return max((rate for rate in rates if rate is not None), default=None)


def by_host(bundle: Bundle, window: Window) -> dict[str, dict[str, JsonObject]]:
    """Return what each host's processes used, workers added up: {host: {process: figures}}."""
    return {
        host: {
            process: {
                name: figures.mean_max(
                    figures.sum_over_processes(_of_host(part, window, process, name))
                )
                for name in ("cpu_pct", "rss_mb")
            }
            for process in dict.fromkeys(sample.process for sample in part.process_samples)
        }
        for host, part in bundle.hosts.items()
    }


def processes(bundle: Bundle, window: Window) -> dict[str, JsonObject]:
    """Return processor share (100: one core) and memory of each of the lab's processes.

    Several processes of one name are added up.
    """
    samples = [sample for part in _parts(bundle) for sample in part.process_samples]
    watching = {sample.process for sample in samples}.intersection(WATCHING)
    return {
        process: {
            name: figures.mean_max(
                figures.sum_over_processes(_samples(bundle, window, process, name))
            )
            for name in ("cpu_pct", "rss_mb")
        }
        for process in (*PROCESSES, *sorted(watching))
    }


def _parts(bundle: Bundle) -> list[HostPart]:
    return [*bundle.hosts.values(), *bundle.watching]


def _samples(
    bundle: Bundle, window: Window, process: str, name: str
) -> Iterator[tuple[tuple[str, int], int, float]]:
    for part in _parts(bundle):
        yield from _of_host(part, window, process, name)


def _of_host(
    part: HostPart, window: Window, process: str, name: str
) -> Iterator[tuple[tuple[str, int], int, float]]:
    for sample in part.process_samples:
        if sample.process == process:
            for unix_ns, value in in_window([sample], name, window):
                yield (part.host, sample.pid), unix_ns, value


def errors_by_host(bundle: Bundle) -> dict[str, dict[str, JsonObject]]:
    """Return what went wrong between each host's processes and others, over the whole run."""
    errors: dict[str, dict[str, JsonObject]] = {host: {} for host in bundle.hosts}
    for host, part in bundle.hosts.items():
        workers = [worker.result for worker in part.workers if worker.result is not None]
        if workers:
            errors[host]["consumers"] = {
                "connection_errors": sum(w.connections.errors for w in workers),
                "reconnects": sum(w.connections.reconnects for w in workers),
                "timeouts": sum(w.fetches.client_timeout for w in workers),
            }
        if part.shuffler is not None:
            errors[host]["shuffler"] = {
                "reconnects": part.shuffler.nats_connections.reconnects,
                "refused": sum(part.shuffler.failures_by_reason.values()),
            }
        if part.relay is not None:
            errors[host]["relay"] = {"slow_disconnects": part.relay.slow_disconnects}
        slow = [
            sample.varz.slow_consumers
            for sample in part.nats_samples
            if sample.varz and sample.varz.slow_consumers is not None
        ]
        if slow:
            errors[host]["nats"] = {"slow_consumers": max(slow)}
    return errors


def agent_cpu_pct(bundle: Bundle, window: Window) -> dict[str, float]:
    """Return each agent process's mean processor share of one core over the window."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for host, part in bundle.hosts.items():
        for sample in part.process_samples:
            if sample.process in ("relay", "shuffler", "consumers"):
                name = f"{sample.process} (pid {sample.pid}) on {host}"
                values[name] += [v for _, v in in_window([sample], "cpu_pct", window)]
    means = {name: figures.mean(shares) for name, shares in values.items()}
    return {name: share for name, share in means.items() if share is not None}


def in_window(samples: Iterable[Sample], name: str, window: Window) -> Iterator[tuple[int, float]]:
    """Iterate over (unix_ns, value) of a figure's samples within a window."""
    return (sample for sample in cumulative(samples, name) if sample[0] in window)
