"""What went through in the window, messages a second: offered, published, processed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fpaas.bundle.parts import HostPart, cumulative
from fpaas.measures import figures
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.records.events import AGENT_PAUSED
from fpaas.records.summary import PerConsumer, Throughput
from fpaas.spec import NS_PER_S
from fpaas.summary.measured_run import MeasuredRun

#: Less lateness than this is within the error of interpolating between two samples.
STILL_AT_LEAST_NS = NS_PER_S // 4


def find(run: MeasuredRun) -> Throughput:
    """Return the rates of all consumers together, and of each."""
    is_foreign = run.spec.firehose.rate_per_s is None
    return Throughput(
        offered_per_s=_foreign_per_s(run) if is_foreign else _offered_per_s(run),
        published_per_s=_shufflers_rate(run, "published"),
        processed_per_s=_processed_per_s(run),
        per_consumer_per_s=PerConsumer(**per_consumer(_rates_of_all(run))),
    )


def _shufflers_rate(run: MeasuredRun, name: str) -> float | None:
    parts = list(run.bundle.parts("shuffler"))
    if any(_stood_still_at_an_end(run, part) for part in parts):
        return None
    counters = [list(cumulative(part.shuffler_samples, name)) for part in parts]
    return figures.rate_per_s(counters, run.lasted)


def _stood_still_at_an_end(run: MeasuredRun, part: HostPart) -> bool:
    """Whether the shuffler did not run when the window began or ended: who knows how far it was."""
    ends = run.lasted.from_unix_ns, run.lasted.until_unix_ns
    return any(
        record.begin_unix_ns < at < (record.end_unix_ns or at) - STILL_AT_LEAST_NS
        for record in part.events.get("shuffler", ())
        if record.kind == AGENT_PAUSED
        for at in ends
    )


def _foreign_per_s(run: MeasuredRun) -> float | None:
    """Return the rate of events read, and of those missing by a foreign relay's numbers."""
    read_per_s, shuffler = _shufflers_rate(run, "read"), run.bundle.shuffler
    if read_per_s is None or shuffler is None or not shuffler.numbers_densely:
        return read_per_s
    window = run.lasted
    missing = sum(
        gap.missing or 0
        for gap in shuffler.gaps
        if window.from_unix_ns <= gap.at_unix_ns < window.until_unix_ns
    )
    return read_per_s + missing / window.length_s


def _offered_per_s(run: MeasuredRun) -> float | None:
    """Return the rate of the relay's frames.

    All are due by the firehose's end: a relay that was late with the last ones counts as having
    offered them in that time. The ledger knows more about a relay that was killed than its files.
    """
    parts = list(run.bundle.parts("relay"))
    counters = [list(cumulative(part.relay_samples, "events")) for part in parts]
    until_unix_ns = min(run.spec.offer_until_unix_ns, run.bundle.lasted_until_unix_ns)
    if len(counters) == 1 and counters[0]:
        (samples,) = counters
        last_unix_ns, final = samples[-1]
        if last_unix_ns < until_unix_ns:
            final = max(final, run.ledger.offered or 0)
        in_time = [sample for sample in samples if sample[0] < until_unix_ns]
        counters = [[*in_time, (until_unix_ns, final)]]
    return figures.rate_per_s(counters, run.lasted)


def consumers_rate(run: MeasuredRun, name: str) -> float | None:
    """Return how fast one of the workers' counts grew."""
    return figures.rate_per_s(run.bundle.consumer_counters(name), run.lasted)


def _processed_per_s(run: MeasuredRun) -> float | None:
    """Return the rate from the consumers' logs; from workers' samples if a log is missing."""
    rates = _rates_of_all(run)
    if rates:
        return sum(rates)
    return consumers_rate(run, "processed") if run.results else None


def _rates_of_all(run: MeasuredRun) -> list[float] | None:
    if not has_all_deliveries(run):
        return None
    logs = [one for _, worker in run.bundle.workers for one in worker.deliveries or ()]
    return rates(run, logs, range(run.spec.consumers.count))


def has_all_deliveries(run: MeasuredRun) -> bool:
    """Whether every worker left its log of deliveries."""
    every = [worker.deliveries for _, worker in run.bundle.workers]
    return bool(run.results) and all(logs is not None for logs in every)


def rates(
    run: MeasuredRun, logs: list[ConsumerDeliveries], consumers: Iterable[int]
) -> list[float] | None:
    """Return the messages a second of each of these consumers, whose logs these are."""
    if run.lasted.length_s < figures.COVERED_MIN_S:
        return None
    since_ms = (run.lasted.from_unix_ns - run.spec.t0_unix_ns) / 1e6
    until_ms = (run.lasted.until_unix_ns - run.spec.t0_unix_ns) / 1e6
    # A consumer may have several logs, of streams and of workers that ended; or none, if its
    # worker was killed before it got anything.
    counts = Counter(dict.fromkeys(consumers, 0))
    for one in logs:
        counts[one.consumer_index] += sum(
            count for at_ms, _, _, count in one.runs if since_ms <= at_ms < until_ms
        )
    return [count / run.lasted.length_s for count in counts.values()]


def per_consumer(rates: list[float] | None) -> dict[str, float | None]:
    """Return the distribution of rates over consumers."""
    names = ("min", "p50", "p99", "max")
    return dict.fromkeys(names) if rates is None else figures.distribution(rates, *names)
