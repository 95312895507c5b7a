"""What a bundle holds for the ledger."""

from __future__ import annotations

from collections.abc import Iterator

from fpaas.bundle.bundle import Bundle
from fpaas.latency.clocks import Clocks
from fpaas.ledger.ledger import Evidence
from fpaas.ledger.removals import Removals, StreamSample, classify
from fpaas.records.consumers import WorkerResult
from fpaas.records.nats import NatsSample, StreamState


def evidence_of(bundle: Bundle) -> Evidence:
    """Collect what the ledger balances; consumers only where every one of them is there."""
    workers = bundle.workers
    results = worker_results(bundle)
    deliveries = [worker.deliveries for _, worker in workers]
    complete = results is not None and all(logs is not None for logs in deliveries)
    dids = (part.dids for part in bundle.parts("shuffler"))
    samples = _nats_samples(bundle)
    return Evidence(
        relay=bundle.relay,
        shuffler=bundle.shuffler,
        server=bundle.server_final,
        deliveries=[log for logs in deliveries for log in logs or ()] if complete else None,
        workers=results,
        dids=next((array for array in dids if array is not None), None),
        # Servers of a cluster may be behind each other.
        nats_samples=samples if len(bundle.parts("nats")) == 1 else (),
        removals=_removals(bundle, samples),
        lost_stream=_lost_stream(bundle, samples),
    )


def worker_results(bundle: Bundle) -> list[WorkerResult] | None:
    """Return every worker's figures; None unless all of the run's consumers are among them."""
    results = [worker.result for _, worker in bundle.workers if worker.result is not None]
    played = sum(result.count for result in results)
    return results if played == bundle.spec.consumers.count else None


def _nats_samples(bundle: Bundle) -> list[NatsSample]:
    """Return the samples of the run, in order: before T0 an older stream may still be there."""
    samples = [sample for part in bundle.parts("nats") for sample in part.nats_samples]
    began = bundle.spec.t0_unix_ns
    return sorted(
        (sample for sample in samples if sample.unix_ns >= began),
        key=lambda sample: sample.unix_ns,
    )


def _removals(bundle: Bundle, samples: list[NatsSample]) -> Removals | None:
    """Tell why messages left the stream; None where there are no times of storing to go by.

    These are the shuffler's; the stream was sampled by the NATS host's clock.
    """
    clocks = Clocks(bundle)
    stored_by: list[tuple[int, int]] = []
    for part in bundle.parts("shuffler"):
        if part.host not in bundle.spec.hosts["nats"] and not clocks.is_known(part.host):
            return None
        offset_ns = round(1e6 * clocks.offset_ms(part.host))
        stored_by += [
            (sample.unix_ns + offset_ns, sample.last_stream_seq or 0)
            for sample in part.shuffler_samples
        ]
    if not stored_by:
        return None
    return classify(list(_stream_samples(bundle, samples)), stored_by, bundle.spec.stream)


def _stream_samples(bundle: Bundle, samples: list[NatsSample]) -> Iterator[StreamSample]:
    for sample in samples:
        if sample.stream:
            yield StreamSample.of(sample.unix_ns, sample.stream)
    final = bundle.server_final
    if final is not None:
        yield StreamSample.of(final.unix_ns, final.stream_before)


def _lost_stream(bundle: Bundle, samples: list[NatsSample]) -> StreamState | None:
    """Return how a stream was seen last that was gone later in the run, and at its end.

    It may have taken more since; what was acknowledged, or delivered, was there.
    """
    if bundle.server_final is not None or bundle.spec.survives_a_server:
        return None
    seen = [sample.stream for sample in samples if sample.stream]
    shuffler = bundle.shuffler
    if not seen or shuffler is None or samples[-1].stream:
        return None
    acked = [stream + count - 1 for _, stream, count in shuffler.stream_seqs]
    logs = [log for _, worker in bundle.workers for log in worker.deliveries or ()]
    delivered = [stream + count - 1 for log in logs for _, stream, _, count in log.runs]
    last = seen[-1]
    return StreamState(
        messages=last.messages,
        bytes=last.bytes,
        first_seq=last.first_seq,
        last_seq=max([last.last_seq, *acked, *delivered]),
    )
