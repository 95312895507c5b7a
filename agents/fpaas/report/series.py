"""Time series of a run: raw samples made small enough to draw, without hiding peaks.

Times are seconds since T0. A series is a pair of lists, x and y, of the same length.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import AgentSample, HostPart, Sample, cumulative
from fpaas.records.probe import ProcessSample
from fpaas.spec import NS_PER_S

#: More points than this in one trace cost bytes and show nothing more.
POINTS_MAX = 2_000

TRAFFIC_WORDS = {
    "net_rx_bytes": "received",
    "net_tx_bytes": "sent",
    "loopback_bytes": "loopback",
}

Series = tuple[list[float], list[float]]


def downsample(x: Sequence[float], y: Sequence[float], points_max: int = POINTS_MAX) -> Series:
    """Thin a series out; of each stretch the lowest and the highest point stay, in order."""
    if len(x) <= points_max:
        return list(x), list(y)
    kept_x: list[float] = []
    kept_y: list[float] = []
    stretches = points_max // 2
    for stretch in range(stretches):
        first = stretch * len(x) // stretches
        last = (stretch + 1) * len(x) // stretches
        lowest = min(range(first, last), key=y.__getitem__)
        highest = max(range(first, last), key=y.__getitem__)
        for index in sorted({lowest, highest}):
            kept_x.append(x[index])
            kept_y.append(y[index])
    return kept_x, kept_y


def rate_per_s(counters: Iterable[Series], until_s: float) -> Series:
    """Add cumulative counters up and return their growth in each second from 0 to `until_s`.

    A counter is taken as 0 before its first sample and as constant after its last. Each x is the
    middle of its second. Empty if no counter has samples.
    """
    series = [counter for counter in counters if counter[0]]
    if not series:
        return [], []
    # Whole seconds only: in a part of one, less has happened.
    ends = max(0, min(math.ceil(until_s), math.floor(max(x[-1] for x, _ in series))))
    totals = [0.0] * (ends + 1)
    for x, y in series:
        position = 0
        for second in range(ends + 1):
            while position < len(x) and x[position] <= second:
                position += 1
            totals[second] += _between(x, y, position, second)
    growth = [max(0.0, after - before) for before, after in itertools.pairwise(totals)]
    return [second + 0.5 for second in range(ends)], growth


def _between(x: Sequence[float], y: Sequence[float], position: int, at: float) -> float:
    """Interpolate at a time; `position` is the first sample that is later."""
    if position == 0:
        return 0.0
    if position == len(x):
        return y[-1]
    share = (at - x[position - 1]) / (x[position] - x[position - 1])
    return y[position - 1] + share * (y[position] - y[position - 1])


class RunSeries:
    """The series of one run, out of its bundle; each is empty if nothing was sampled."""

    def __init__(self, bundle: Bundle, warmup_s: float) -> None:
        self._bundle = bundle
        spec = bundle.spec
        self._t0_unix_ns = spec.t0_unix_ns
        self.warmup_s = warmup_s
        self.offer_s = spec.warmup_s + spec.measure_s
        self.end_s = self.offer_s + spec.drain_s

    def throughput(self) -> dict[str, Series]:
        """Return messages per second: offered, read, published, processed."""
        bundle = self._bundle
        relay = [part.relay_samples for part in bundle.parts("relay")]
        shuffler = [part.shuffler_samples for part in bundle.parts("shuffler")]
        workers = [worker.samples for _, worker in bundle.workers]
        return {
            "offered": self._rate(relay, "events"),
            "read": self._rate(shuffler, "read"),
            "published": self._rate(shuffler, "published"),
            "processed": self._rate(workers, "processed"),
        }

    def backpressure(self) -> dict[str, Series]:
        """Return events so far, offered, read and acked, and those in flight."""
        bundle = self._bundle
        relay = [sample for part in bundle.parts("relay") for sample in part.relay_samples]
        shuffler = [sample for part in bundle.parts("shuffler") for sample in part.shuffler_samples]
        return {
            "offered": self._plain(relay, "events"),
            "read": self._plain(shuffler, "read"),
            "acked": self._plain(shuffler, "published"),
            "in flight": self._plain(shuffler, "in_flight"),
        }

    def open_calls(self) -> dict[str, Series]:
        """Return how many publishes and pulls were open when agents sampled, workers added up."""
        shuffler = [part.shuffler_samples for part in self._bundle.parts("shuffler")]
        workers = [worker.samples for _, worker in self._bundle.workers]
        return {
            "publishes": self._open(shuffler, "publish_ack"),
            "pulls": self._open(workers, "fetch_call"),
        }

    def _open(self, sources: Iterable[Sequence[AgentSample]], leg: str) -> Series:
        totals: defaultdict[int, int] = defaultdict(int)
        for samples in sources:
            by_second = {
                round(self._since_t0_s(sample.unix_ns)): sum(count for _, count, _ in calls.open)
                for sample in samples
                if (calls := (sample.calls or {}).get(leg)) is not None
            }
            for second, count in by_second.items():
                totals[second] += count
        return [float(second) for second in sorted(totals)], [
            float(totals[second]) for second in sorted(totals)
        ]

    def processes(self, name: str) -> dict[str, Series]:
        """Return a figure of the lab's processes (`cpu_pct` or `rss_mb`) by host and process.

        Workers of one agent are added up.
        """
        series: dict[str, Series] = {}
        several = len(self._bundle.hosts) > 1
        for part in self._bundle.hosts.values():
            for process, added in self._added_up(part.process_samples, name).items():
                series[f"{process} on {part.host}" if several else process] = added
        return series

    def hosts(self, name: str) -> dict[str, Series]:
        """Return a figure of `probe.host.jsonl` by host."""
        return {
            part.host: self._plain(part.host_samples, name)
            for part in self._bundle.hosts.values()
            if part.host_samples
        }

    def host_traffic_mbit_per_s(self) -> dict[str, Series]:
        """Return what each host received and sent, and what it sent to itself."""
        series: dict[str, Series] = {}
        for part in self._bundle.hosts.values():
            for name, word in TRAFFIC_WORDS.items():
                x, y = self._growth(part, name)
                if x:
                    series[f"{part.host} {word}"] = x, [bytes_ * 8 / 1e6 for bytes_ in y]
        return series

    def nats(self, group: str, name: str) -> Series:
        """Return a figure of the server, e.g. `("stream", "messages")`."""
        for part in self._bundle.parts("nats"):
            points = sorted(
                (self._since_t0_s(sample.unix_ns), value)
                for sample in part.nats_samples
                if (value := getattr(getattr(sample, group), name, None)) is not None
            )
            if points:
                return [at for at, _ in points], [value for _, value in points]
        return [], []

    def nats_megabytes(self) -> Series:
        """Return the stream's size in MB."""
        x, y = self.nats("stream", "bytes")
        return x, [count / 1e6 for count in y]

    def _rate(self, sources: Iterable[Sequence[AgentSample]], name: str) -> Series:
        return rate_per_s([self._plain(samples, name) for samples in sources], self.end_s)

    def _growth(self, part: HostPart, name: str) -> Series:
        """Growth a second of a counter that did not start at 0."""
        x, y = self._plain(part.host_samples, name)
        growth = [
            (x[i], (y[i] - y[i - 1]) / (x[i] - x[i - 1]))
            for i in range(1, len(x))
            if x[i] > x[i - 1] and y[i] >= y[i - 1]
        ]
        return [at for at, _ in growth], [value for _, value in growth]

    def _added_up(self, samples: list[ProcessSample], name: str) -> dict[str, Series]:
        """Add a process's pids up for each second of sampling."""
        seconds: dict[str, dict[int, dict[int, float]]] = {}
        for sample in samples:
            value: float | None = getattr(sample, name)
            if value is not None:
                second = round(self._since_t0_s(sample.unix_ns))
                of_process = seconds.setdefault(sample.process, {})
                of_process.setdefault(second, {})[sample.pid] = value
        return {
            process: (
                [float(second) for second in sorted(by_second)],
                [sum(by_second[second].values()) for second in sorted(by_second)],
            )
            for process, by_second in seconds.items()
        }

    def _plain(self, samples: Sequence[Sample], name: str) -> Series:
        points = sorted((self._since_t0_s(at), value) for at, value in cumulative(samples, name))
        return [at for at, _ in points], [value for _, value in points]

    def _since_t0_s(self, unix_ns: int) -> float:
        return (unix_ns - self._t0_unix_ns) / NS_PER_S
