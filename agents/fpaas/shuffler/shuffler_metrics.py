"""The shuffler's Prometheus metrics, read off its counters when they are scraped."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from fpaas.measures.calls import CallRecorder
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publisher import Publisher
from fpaas.shuffler.relay_reader import RelayReader

ACK_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class AckHistogram:
    """Cumulative counts by bucket: what was added, and at a scrape what the recorder has since.

    Scraped from another thread. What was added is replaced as a whole, together with the list
    that it came from, so that no sample is counted twice.
    """

    def __init__(self, recorder: CallRecorder) -> None:
        self._recorder = recorder
        self._added: tuple[list[int], float, list[int]] = [0] * (len(ACK_BUCKETS_S) + 1), 0.0, []

    def add(self) -> None:
        """Add what the recorder has; once, before it is emptied."""
        samples_ns = self._recorder.samples_ns
        counts, sum_s, _ = self._added
        self._added = *_together(counts, sum_s, samples_ns), samples_ns

    def metric(self) -> HistogramMetricFamily:
        """Return the metric."""
        # In this order: an addition in between then counts these samples once.
        samples_ns = self._recorder.samples_ns
        counts, sum_s, added_ns = self._added
        if samples_ns is not added_ns:
            counts, sum_s = _together(counts, sum_s, samples_ns)
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, ACK_BUCKETS_S), "+Inf"], counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(
            "fpaas_shuffler_publish_ack_seconds",
            "From the first write of a publish to its answer.",
            buckets=buckets,
            sum_value=sum_s,
        )


def _together(counts: list[int], sum_s: float, samples_ns: list[int]) -> tuple[list[int], float]:
    """Add samples in nanoseconds to counts by bucket and to their sum."""
    ordered = sorted(samples_ns)
    found = []
    below = 0
    for count, bound_s in zip(counts, ACK_BUCKETS_S, strict=False):
        up_to = bisect_right(ordered, bound_s * 1e9)
        found.append(count + up_to - below)
        below = up_to
    return [*found, counts[-1] + len(ordered) - below], sum_s + sum(ordered) / 1e9


class ShufflerCollector(Collector):
    """Reads account, publisher and reader at every scrape: nothing is done per message."""

    def __init__(
        self,
        account: Account,
        publisher: Publisher,
        reader: RelayReader,
        acks: AckHistogram,
        *,
        cursor_errors: Callable[[], int],
    ) -> None:
        self._cursor_errors = cursor_errors
        self._account = account
        self._publisher = publisher
        self._reader = reader
        self._acks = acks

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        account, publisher, reader = self._account, self._publisher, self._reader
        yield _counter("frames_read", "Events read from the relay, each once.", account.read)
        yield _counter("frames_reread", "Frames read again after a resume.", account.reread)
        yield _counter("frames_ignored", "Frames that are no events.", account.ignored)
        yield _counter("frames_undecodable", "Frames given up as malformed.", account.undecodable)
        yield _counter(
            "frames_undecodable_once",
            "More malformed frames, which did not come again.",
            account.undecodable_once,
        )
        publishes = CounterMetricFamily(
            "fpaas_shuffler_publishes", "Events by what became of them.", labels=["outcome"]
        )
        for outcome, count in (
            ("published", account.published),
            ("duplicate", account.duplicates),
            ("failed", account.failed),
            ("unknown", account.unknown),
        ):
            publishes.add_metric([outcome], count)
        yield publishes
        refusals = CounterMetricFamily(
            "fpaas_shuffler_publish_refusals",
            "Answers that refused a publish, which is tried again if that may help.",
            labels=["code"],
        )
        for code, count in _by_code(dict(account.refusals_by_reason)).items():
            refusals.add_metric([code], count)
        yield refusals
        yield self._acks.metric()
        window = publisher.window
        yield _gauge("in_flight", "Publishes without an outcome.", len(window.pending))
        yield _gauge("in_flight_bytes", "Their frames' bytes.", window.bytes)
        yield _counter("relay_connects", "Subscriptions made.", reader.subscription.connects)
        yield _counter("relay_errors", "Subscriptions refused or lost.", reader.subscription.errors)
        yield _counter("nats_connects", "NATS connections made.", publisher.connection.connects)
        yield _counter("nats_errors", "NATS errors.", publisher.connection.errors)
        yield _gauge("relay_connected", "1 while subscribed.", int(reader.connected.is_set()))
        cursor_errors = self._cursor_errors()
        yield _counter("cursor_errors", "Times the cursor could not be saved.", cursor_errors)
        yield _counter("replayed", "Events published again for a lost stream.", account.replayed)
        nats_connected = publisher.connection.connected.is_set()
        yield _gauge("nats_connected", "1 while connected.", int(nats_connected))
        if reader.numbering.last_seq is not None:
            yield _gauge("last_seq", "The relay seq read last.", reader.numbering.last_seq)
        yield _counter("relay_seq_resets", "Times the relay's seqs went back.", reader.seq_resets)
        # One that proves to be a bad number is none: it goes back, which no counter may.
        yield _gauge("relay_gaps", "Gaps of the relay so far.", reader.gaps.count)
        yield _gauge("last_stream_seq", "The stream seq acked last.", account.last_stream_seq)


def _by_code(counts: Mapping[str, int]) -> Counter[str]:
    """Add up reasons by the code that they begin with: the rest is free text, which is no label."""
    found: Counter[str] = Counter()
    for reason, count in counts.items():
        code = reason.partition(" ")[0]
        found[code if code.isdecimal() else "other"] += count
    return found


def _counter(name: str, help_text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"fpaas_shuffler_{name}", help_text, value=value)


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"fpaas_shuffler_{name}", help_text, value=value)
