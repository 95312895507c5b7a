"""What a number of consumers needs, predicted from measured runs. Pure.

Straight lines by least squares over runs: bandwidth over messages a second, processor time over
messages or polls a second, whichever says more, memory over consumers. Polls that ask for less than
is owed bring what they ask for; others bring what is owed, however often they come. A prediction
has the 95 % interval of a single new run; beyond the largest measured load it is an extrapolation,
and says by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fpaas.sweep import scaling, sweep_figures
from fpaas.sweep.sweep_figures import Values

BATCH_SIZE = "bench_batch_size"
#: A host whose processors are busier than this has nothing left for peaks.
USABLE_SHARE = 0.7
MBIT_PER_BYTE = 8e-6
DELIVERED = "delivered_mbit_per_s"


@dataclass(frozen=True)
class Measured:
    """What one run of some consumers needed; None if not measured.

    `cores_per_host` are the processors of its consumers hosts.
    """

    consumers: int
    poll_interval_s: float
    nats_cpu_pct: float | None
    nats_rss_mb: float | None
    delivered_mbit_per_s: float | None
    agents_cpu_pct: float | None
    agents_rss_mb: float | None
    cores_per_host: int | None = None
    #: The most that a poll brings; None: polls go on until they have everything.
    batch_size: int | None = None
    #: Messages a second that the stream gets; None: not known, so that only polls count.
    offered_per_s: float | None = None
    #: Whether each consumer is owed every message of its stream, or all of them split it.
    is_fanout: bool = True
    #: How many streams share the firehose.
    streams: int = 1

    def messages_per_s(self, consumers: int, poll_interval_s: float) -> float | None:
        """Return what this number of consumers would be delivered of this run's firehose."""
        if self.offered_per_s is None:
            return None
        asked = math.inf if self.batch_size is None else self.batch_size / poll_interval_s
        if self.is_fanout:
            return consumers * min(self.offered_per_s / self.streams, asked)
        return min(self.offered_per_s, consumers * asked)

    @property
    def polls_per_s(self) -> float:
        """Polls of all consumers."""
        return self.consumers / self.poll_interval_s


@dataclass(frozen=True)
class Prediction:
    """A figure and the 95 % interval of one more run; no interval with too few runs for one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Size:
    """What `consumers` need; a figure None if too few runs have it.

    `beyond` is the load over the largest measured one: above 1 nothing of this was measured.
    """

    consumers: int
    poll_interval_s: float
    beyond: float
    nats_cores: Prediction | None
    nats_rss_mb: Prediction | None
    delivered_mbit_per_s: Prediction | None
    agents_cores: Prediction | None
    agents_rss_mb: Prediction | None
    agents_hosts: int | None


def of_run(variables: Mapping[str, Any], summary: Mapping[str, Any]) -> Measured:
    """Return what one run needed."""
    values = sweep_figures.of_run(summary)
    hosts = summary["resources"]["hosts"].values()
    return Measured(
        consumers=int(variables["bench_consumers"]),
        poll_interval_s=float(variables["bench_poll_interval_s"]),
        nats_cpu_pct=_value(values, "nats_cpu_pct"),
        nats_rss_mb=_value(values, "nats_rss_mb"),
        delivered_mbit_per_s=_delivered(values),
        agents_cpu_pct=_value(values, "consumers_cpu_pct"),
        agents_rss_mb=_value(values, "consumers_rss_mb"),
        cores_per_host=min(filter(None, (one.get("cpu_count") for one in hosts)), default=None),
        batch_size=None if variables.get("bench_fetch") == "drain" else variables.get(BATCH_SIZE),
        offered_per_s=_value(values, "published_per_s"),
        is_fanout=variables.get("bench_delivery", "fanout") == "fanout",
        streams=variables.get("bench_streams", 1),
    )


def _value(values: Values, name: str) -> float | None:
    one = values[name]
    return None if one is None else one.value


def _delivered(values: Values) -> float | None:
    rate, size = _value(values, "processed_per_s"), _value(values, "message_bytes_mean")
    return None if rate is None or size is None else rate * size * MBIT_PER_BYTE


def size(measured: Sequence[Measured], consumers: int, poll_interval_s: float) -> Size:
    """Predict what a number of consumers needs, each polling every `poll_interval_s`."""
    polls_per_s = consumers / poll_interval_s

    def over_polls(name: str, scale: float = 1.0) -> Prediction | None:
        values = [(one.polls_per_s, getattr(one, name)) for one in measured]
        points = [(x, value * scale) for x, value in values if value is not None]
        return _predict(points, polls_per_s)

    def over_messages(name: str, scale: float = 1.0) -> Prediction | None:
        asked = measured[0].messages_per_s(consumers, poll_interval_s)
        points = [
            (x, value * scale)
            for one in measured
            if (value := getattr(one, name)) is not None
            and (x := one.messages_per_s(one.consumers, one.poll_interval_s)) is not None
        ]
        return None if asked is None else _predict(points, asked)

    def larger(name: str) -> Prediction | None:
        """Nobody knows which of both it follows if both grew together."""
        both = [one for one in (over_messages(name, 0.01), over_polls(name, 0.01)) if one]
        return max(both, key=lambda one: one.value, default=None)

    def over_consumers(name: str) -> Prediction | None:
        values = [(float(one.consumers), getattr(one, name)) for one in measured]
        return _predict([(x, value) for x, value in values if value is not None], float(consumers))

    agents_cores = larger("agents_cpu_pct")
    cores = [one.cores_per_host for one in measured if one.cores_per_host]
    return Size(
        consumers=consumers,
        poll_interval_s=poll_interval_s,
        beyond=max(
            polls_per_s / max(one.polls_per_s for one in measured),
            consumers / max(one.consumers for one in measured),
            (measured[0].messages_per_s(consumers, poll_interval_s) or 0.0)
            / max(
                one.messages_per_s(one.consumers, one.poll_interval_s) or 1.0 for one in measured
            ),
        ),
        nats_cores=larger("nats_cpu_pct"),
        nats_rss_mb=over_consumers("nats_rss_mb"),
        delivered_mbit_per_s=over_messages(DELIVERED) or over_polls(DELIVERED),
        agents_cores=agents_cores,
        agents_rss_mb=over_consumers("agents_rss_mb"),
        agents_hosts=(
            max(1, math.ceil((agents_cores.high or agents_cores.value) / USABLE_SHARE / min(cores)))
            if agents_cores and cores
            else None
        ),
    )


def _predict(points: Sequence[tuple[float, float]], at: float) -> Prediction | None:
    """Predict y at an x from (x, y) of runs; None with fewer than two different x."""
    fit = scaling.line(points)
    if fit is None:
        return None
    value = fit.intercept + fit.value * at
    if fit.points < scaling.INTERVAL_POINTS_MIN:
        return Prediction(max(0.0, value), None, None)
    half = scaling.prediction_half(points, fit, at)
    return Prediction(max(0.0, value), max(0.0, value - half), max(0.0, value + half))
