"""What the NATS server held, and how much memory and disk a stream takes."""

from __future__ import annotations

from collections import Counter

from fpaas.plan import storage
from fpaas.records.nats import Lag, ServerLife, StreamState
from fpaas.records.summary import Storage, StorageRate
from fpaas.records.usage import ConsumerLag, Jetstream
from fpaas.summary.measured_run import MeasuredRun


def jetstream(run: MeasuredRun) -> Jetstream:
    """Return the server's figures: the last of the window; slow consumers of the whole run."""
    stream: StreamState | None = None
    lag: Lag | None = None
    slow: Counter[str] = Counter()
    parts = run.bundle.parts("nats")
    for part in parts:
        lives: list[ServerLife] = [one.varz for one in part.nats_samples if one.varz]
        if part.server_final is not None and part.server_final.server is not None:
            lives.append(part.server_final.server)
        for life in lives:
            # A server that is started again starts counting from 0.
            slow[life.server_id] = max(slow[life.server_id], life.slow_consumers or 0)
    samples = [sample for part in parts for sample in part.nats_samples]
    for sample in sorted(samples, key=lambda sample: sample.unix_ns):
        if sample.unix_ns in run.window:
            # With many consumers a sweep takes as long as several samples.
            lag = sample.lag or lag
            stream = sample.stream or stream
    pending = [one.connz.pending_bytes_max for one in samples if one.connz]
    return Jetstream(
        messages=stream.messages if stream else None,
        bytes=stream.bytes if stream else None,
        consumers=stream.consumer_count if stream else None,
        consumer_lag=ConsumerLag(
            mean=lag.sum / lag.consumers if lag and lag.consumers else None,
            p50=lag.p50 if lag else None,
            p99=lag.p99 if lag else None,
            max=lag.max if lag else None,
        ),
        connection_pending_bytes_max=max(
            (count for count in pending if count is not None), default=None
        ),
        slow_consumers=sum(slow.values()) if slow else None,
    )


def stored(
    run: MeasuredRun, payload_bytes_mean: float | None, published_per_s: float | None
) -> Storage:
    """Follow from the stream at its fullest: the more messages, the closer to their mean."""
    states = [(0, 0)]
    for part in run.bundle.parts("nats"):
        seen = [sample.stream for sample in part.nats_samples if sample.stream]
        if part.server_final is not None:
            seen.append(part.server_final.stream_after)
        states += [(stream.messages, stream.bytes) for stream in seen]
    messages, bytes_ = max(states)
    estimated = storage.estimate(
        payload_bytes_mean, bytes_ or None, messages or None, published_per_s
    )
    estimated["rates"] = [StorageRate(**rate) for rate in estimated["rates"]]
    return Storage(**estimated)
