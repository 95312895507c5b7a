"""What each durable received of a stream, in order: its walk."""

from __future__ import annotations

from collections.abc import Iterable

from fpaas.ledger.deliveries import Run, Walk, split_repeats
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.spec import RunSpec


def walks_of(
    spec: RunSpec,
    evidence: Evidence,
    deliveries: Iterable[ConsumerDeliveries],
    durables: list[str],
    disagreements: Disagreements,
) -> dict[str, Walk]:
    """Walk through deliveries of one stream, by durable."""
    runs: dict[str, list[Run]] = {durable: [] for durable in durables}
    restarts_ms = _restarts_ms(spec, evidence)
    for log in deliveries:
        runs.setdefault(log.durable, []).extend(
            split_repeats(log, restarts_ms.get(log.consumer_index, ()))
        )
    walks = {}
    for durable, durable_runs in runs.items():
        walk = walks[durable] = Walk()
        for life, consumer_seq, stream_seq, count, number in sorted(durable_runs):
            walk.take(life, consumer_seq, stream_seq, count, repeated=number > 1)
        if not spec.stream.replicas > 1:
            disagreements.note(walk.overlapping, About.RECEIVED_TWICE, durable=durable)
    return walks


def _restarts_ms(spec: RunSpec, evidence: Evidence) -> dict[int, list[int]]:
    """Return by consumer when the server was gone before it came back with its stream, ms since T0.

    A connection that broke while the server lived on is no reason for it to forget anything.
    """
    found: dict[int, list[int]] = {}
    for worker in evidence.workers or ():
        restarts_ms = [
            (outage.lost_unix_ns - spec.t0_unix_ns) // 1_000_000
            for outage in worker.nats_outages
            if any(
                outage.lost_unix_ns <= until and (outage.resumed_unix_ns or until) >= since
                for since, until in evidence.restarts
            )
        ]
        if restarts_ms:
            consumers = range(worker.first, worker.first + worker.count)
            found.update(dict.fromkeys(consumers, restarts_ms))
    return found
