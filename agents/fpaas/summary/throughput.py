"""What went through in the window, messages a second: offered, published, processed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fpaas.bundle.parts import AgentSample, cumulative
from fpaas.measures import figures
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.figures import Counter as CounterSeries
from fpaas.records.summary import PerConsumer, Throughput
from fpaas.summary.measured_run import MeasuredRun


def find(run: MeasuredRun) -> Throughput:
    """Return the rates of all consumers together, and of each."""
    shufflers = [part.shuffler_samples for part in run.bundle.parts("shuffler")]
    relays = [part.relay_samples for part in run.bundle.parts("relay")]
    # Of a foreign relay, what was read is what was offered.
    offered = (shufflers, "read") if run.spec.firehose.rate_per_s is None else (relays, "events")
    return Throughput(
        offered_per_s=_rate(run, *offered),
        published_per_s=_rate(run, shufflers, "published"),
        processed_per_s=_processed_per_s(run),
        per_consumer_per_s=PerConsumer(**per_consumer(_rates_of_all(run))),
    )


def _rate(run: MeasuredRun, sources: Iterable[Sequence[AgentSample]], name: str) -> float | None:
    counters: list[CounterSeries] = [list(cumulative(samples, name)) for samples in sources]
    return figures.rate_per_s(counters, run.lasted)


def consumers_rate(run: MeasuredRun, name: str) -> float | None:
    """Return how fast one of the workers' counts grew."""
    return figures.rate_per_s(run.bundle.consumer_counters(name), run.lasted)


def _processed_per_s(run: MeasuredRun) -> float | None:
    """Return the rate by what each consumer logged; by workers' samples if a log is missing."""
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
