"""What the ledger balances, collected from a bundle."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import ServerFinal
from fpaas.jetstream import asked
from fpaas.latency.clocks import Clocks
from fpaas.ledger import account_checks, forgotten
from fpaas.ledger.account_checks import CountedLess
from fpaas.ledger.lost_streams import LostEvidence
from fpaas.ledger.removals import Removals, StreamSample, classify
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.consumers import OrderedPlace, WorkerResult
from fpaas.records.nats import NatsSample, StreamState
from fpaas.records.relay import RelayResult
from fpaas.records.shuffler import NO_SEQ, LostStream, ShufflerResult
from fpaas.spec import NS_PER_S, RunSpec


@dataclass(frozen=True)
class Evidence:
    """What a run left behind; None if a part is missing.

    `deliveries` and `workers` are None unless every consumer's is there. `dids` holds the CRC-32 of
    the DID of each stream sequence from 1 on, `classes` a bit for each class of consumers that
    wants it. `lost_stream` is how a stream was seen last that was gone at the end. `removals` is
    None if it is not known why messages left the stream.
    """

    relay: RelayResult | None
    shuffler: ShufflerResult | None
    server: ServerFinal | None
    deliveries: list[ConsumerDeliveries] | None
    workers: list[WorkerResult] | None
    counted_less: Sequence[CountedLess] = ()
    dids: Sequence[int] | None = None
    classes: Sequence[int] | None = None
    nats_samples: Sequence[NatsSample] = ()
    removals: Removals | None = None
    lost_stream: StreamState | None = None
    #: Streams that were lost and made again; `deliveries` are of the last one.
    lost: Sequence[LostEvidence] = ()
    #: When the server was seen last and first again, of each time that it came back with its
    #: stream: Unix ns.
    restarts: Sequence[tuple[int, int]] = ()
    #: From which sequence on durables are served whose class joined late; and those whose workers
    #: ended before that.
    starts: Mapping[str, int] = field(default_factory=dict)
    never_joined: frozenset[str] = frozenset()
    #: Of a run with several streams: each of them, as if it were alone with what it has of the
    #: shuffler's. All that is above is of them together then.
    by_stream: Sequence[Evidence] = ()
    #: Of one of several: the relay's seq + 1 of what it has, by place, and places of copies.
    seqs: Sequence[int] | None = None
    copy_seqs: IntervalSet = field(default_factory=IntervalSet)

    @property
    def streams(self) -> Sequence[Evidence]:
        """The streams that were there at the end, each on its own."""
        return self.by_stream or (self,)

    @property
    def stream_seqs(self) -> list[tuple[int, int, int]] | None:
        """Runs of (relay seq, stream seq, count) of a stream; None if they are not known."""
        if self.shuffler is not None:
            return self.shuffler.stream_seqs
        if self.seqs is None:
            return None
        places = enumerate(self.seqs, 1)
        return [(seq - 1, place, 1) for place, seq in places if seq != NO_SEQ]


def evidence_of(bundle: Bundle) -> Evidence:
    """Collect a run's; consumers only if every one of them is there."""
    workers = bundle.workers
    results = worker_results(bundle)
    deliveries = [worker.deliveries for _, worker in workers]
    complete = results is not None and all(logs is not None for logs in deliveries)
    dids = (part.dids for part in bundle.parts("shuffler"))
    samples = _nats_samples(bundle)
    by_stream = _by_stream(bundle)
    restarts = _restarts(bundle)
    shuffler, final = bundle.shuffler, bundle.stream_final
    if shuffler is not None:
        shuffler = forgotten.as_at_end(shuffler, final if restarts else None)
    is_split = bundle.spec.stream.is_split
    whole = Evidence(
        relay=bundle.relay,
        shuffler=shuffler,
        server=named_as_in_logs(bundle.spec, final, results or []),
        deliveries=by_stream[-1] if complete else None,
        workers=results,
        counted_less=account_checks.counted_less(bundle),
        dids=next((array for array in dids if array is not None), None),
        classes=_classes(bundle)[-1],
        # Servers of a cluster may be behind each other.
        nats_samples=_of_last_stream(bundle, samples) if len(bundle.parts("nats")) == 1 else (),
        removals=None if is_split else _removals(bundle, samples, bundle.stream_final),
        lost_stream=_lost_stream(bundle, samples, by_stream[-1]),
        lost=_lost(bundle, samples, by_stream if complete else None),
        restarts=restarts,
        starts=_starts(bundle)[-1],
        never_joined=frozenset(_never_joined(bundle, results or [])),
    )
    return _split(bundle, whole, samples) if is_split else whole


def _split(bundle: Bundle, whole: Evidence, samples: list[NatsSample]) -> Evidence:
    """Part what is known by streams; how they were seen last is no evidence if they are gone."""
    spec = bundle.spec
    by_stream = [_of_one(bundle, whole, number, samples) for number in range(spec.stream.count)]
    is_told = all(one.removals is not None for one in by_stream)
    return replace(
        whole, by_stream=by_stream, removals=Removals() if is_told else None, lost_stream=None
    )


def _of_one(bundle: Bundle, whole: Evidence, number: int, samples: list[NatsSample]) -> Evidence:
    """Return what is known of one of several streams."""
    spec = bundle.spec
    own = [
        msgspec.structs.replace(one, stream=one.streams[number])
        for one in samples
        if len(one.streams) == spec.stream.count
    ]
    server = whole.server
    if server is not None and len(server.streams) == spec.stream.count:
        at_end = server.streams[number]
        indices = range(number, spec.consumers.count, spec.stream.count)
        names = {spec.durable_of(index) for index in indices}
        server = replace(
            server,
            stream_before=at_end.before,
            stream_after=at_end.after,
            durables={name: one for name, one in server.durables.items() if name in names},
        )
    else:
        server = None
    published = (whole.shuffler and whole.shuffler.streams) or []
    return Evidence(
        relay=None,
        shuffler=None,
        server=server,
        deliveries=None
        if whole.deliveries is None
        else [one for one in whole.deliveries if spec.stream_of(one.consumer_index) == number],
        workers=whole.workers,
        dids=_of_shuffler(bundle, "dids_by_stream", number),
        nats_samples=own,
        removals=_removals(bundle, own, server, number),
        restarts=whole.restarts,
        seqs=_of_shuffler(bundle, "seqs_by_stream", number),
        copy_seqs=published[number].copy_seqs if number < len(published) else IntervalSet(),
    )


def _of_shuffler(bundle: Bundle, name: str, number: int) -> array[int] | None:
    """Return an array that the shuffler kept of one of several streams."""
    by_stream = (getattr(part, name) for part in bundle.parts("shuffler"))
    return next((one[number] for one in by_stream if number < len(one)), None)


def named_as_in_logs(
    spec: RunSpec, final: ServerFinal | None, results: Iterable[WorkerResult]
) -> ServerFinal | None:
    """Return the server's figures with ordered consumers as if each were one from its begin on."""
    if final is None or not spec.consumers.is_ordered:
        return final
    places: dict[str, OrderedPlace] = {}
    # A worker that went on with another's consumers has a higher number.
    for result in sorted(results, key=lambda one: one.worker):
        for index in range(result.first, result.first + result.count):
            durable = spec.durable_of(index)
            first = OrderedPlace(asked.ordered_name(durable, result.worker, 1), 0)
            places[durable] = result.ordered.get(durable, first)
    durables = dict(final.durables)
    for durable, place in places.items():
        state = durables.pop(place.name, None)
        if state is not None:
            durables[durable] = msgspec.structs.replace(
                state,
                name=durable,
                delivered_consumer_seq=state.delivered_consumer_seq + place.before,
                ack_floor_consumer_seq=state.ack_floor_consumer_seq + place.before,
            )
    return replace(final, durables=durables)


def _starts(bundle: Bundle) -> list[dict[str, int]]:
    """Return where late durables begin in each stream, the last one last.

    A worker that went on with a durable saw it begin where the one before had stopped.
    """
    lost = [record.created for record in _lost_records(bundle)]
    found: list[dict[str, int]] = [{} for _ in (*lost, None)]
    for _, worker in bundle.workers:
        result = worker.result
        for created, starts in zip(result.streams, result.starts, strict=False) if result else ():
            of_stream = found[lost.index(created) if created in lost else -1]
            if created is None or created != bundle.stream_made_after:
                for durable, first in starts.items():
                    of_stream[durable] = min(first, of_stream.get(durable, first))
    return found


def _never_joined(bundle: Bundle, results: Iterable[WorkerResult]) -> Iterator[str]:
    spec = bundle.spec
    for result in results if spec.consumers.classes else ():
        until_unix_ns = result.polls_until_unix_ns
        if until_unix_ns is None:
            continue
        for index in range(result.first, result.first + result.count):
            joins_at_s = spec.consumers.classes[spec.class_of(index)].joins_at_s
            if until_unix_ns < spec.t0_unix_ns + joins_at_s * NS_PER_S:
                yield spec.durable_of(index)


def _restarts(bundle: Bundle) -> list[tuple[int, int]]:
    """Return when a server was seen last and first again that came back with its stream."""
    if len(bundle.parts("nats")) > 1 or bundle.spec.stream.storage != "file":
        return []
    # From before T0 on: it may be gone before its first sample of the run.
    seen = sorted(
        (one.unix_ns, one.varz.server_id)
        for part in bundle.parts("nats")
        for one in part.nats_samples
        if one.varz is not None
    )
    # It may have come back after the last sample.
    final = bundle.stream_final
    if final is not None and final.server is not None:
        seen.append((final.until_unix_ns, final.server.server_id))
    return [
        (since, until)
        for (since, before), (until, after) in itertools.pairwise(seen)
        if before != after
    ]


def _lost_records(bundle: Bundle) -> list[LostStream]:
    return bundle.shuffler.lost_streams if bundle.shuffler is not None else []


def _by_stream(bundle: Bundle) -> list[list[ConsumerDeliveries]]:
    """Return the deliveries of each stream that the shuffler lost, and those of the last one."""
    lost = [record.created for record in _lost_records(bundle)]
    found: list[list[ConsumerDeliveries]] = [[] for _ in (*lost, None)]
    for _, worker in bundle.workers:
        streams = worker.result.streams if worker.result is not None else [None]
        for log in worker.deliveries or ():
            created = streams[min(log.stream, len(streams) - 1)]
            if created is not None and created == bundle.stream_made_after:
                # Nothing of the run's was ever in it.
                continue
            found[lost.index(created) if created in lost else -1].append(log)
    return found


def _lost(
    bundle: Bundle, samples: list[NatsSample], by_stream: list[list[ConsumerDeliveries]] | None
) -> list[LostEvidence]:
    """Return what is known of each stream that was lost and made again."""
    dids = next((part.lost_dids for part in bundle.parts("shuffler") if part.lost_dids), [])
    classes, starts = _classes(bundle), _starts(bundle)
    found = []
    for number, record in enumerate(_lost_records(bundle)):
        logs = by_stream[number] if by_stream is not None else None
        seen = [
            sample.stream
            for sample in samples
            if sample.stream is not None and sample.stream.created == record.created
        ]
        found.append(
            LostEvidence(
                record,
                _seen_last(seen, record.stream_seqs, logs or ()),
                logs,
                dids[number] if number < len(dids) else None,
                classes[number] if number < len(classes) - 1 else None,
                starts[number],
            )
        )
    return found


def _classes(bundle: Bundle) -> list[array[int] | None]:
    """Return which classes want each message, of each stream, the last one last."""
    return next((part.classes for part in bundle.parts("shuffler") if part.classes), [None])


def _seen_last(
    seen: Sequence[StreamState],
    runs: Iterable[tuple[int, int, int]],
    logs: Iterable[ConsumerDeliveries],
) -> StreamState:
    """Return how a stream was seen last; what was acknowledged, or delivered, was there."""
    acked = [stream + count - 1 for _, stream, count in runs]
    delivered = [stream + count - 1 for log in logs for _, stream, _, count in log.runs]
    last = seen[-1] if seen else StreamState(messages=0, bytes=0, first_seq=1, last_seq=0)
    return StreamState(
        messages=last.messages,
        bytes=last.bytes,
        first_seq=last.first_seq,
        last_seq=max([last.last_seq, *acked, *delivered]),
        created=last.created,
    )


def _of_last_stream(bundle: Bundle, samples: list[NatsSample]) -> list[NatsSample]:
    """Return the samples that are not of a stream that was lost, nor of one made after the last."""
    others = {record.created for record in _lost_records(bundle)}
    if bundle.stream_made_after is not None:
        others.add(bundle.stream_made_after)
    return [one for one in samples if one.stream is None or one.stream.created not in others]


def worker_results(bundle: Bundle) -> list[WorkerResult] | None:
    """Return every worker's figures; None unless all of the run's consumers are among them."""
    results = [worker.result for _, worker in bundle.workers if worker.result is not None]
    # Consumers that others went on with count once.
    played = sum({result.first: result.count for result in results}.values())
    return results if played == bundle.spec.consumers.count else None


def _nats_samples(bundle: Bundle) -> list[NatsSample]:
    """Return the samples of the run, in order: before T0 an older stream may still be there."""
    samples = [sample for part in bundle.parts("nats") for sample in part.nats_samples]
    began = bundle.spec.t0_unix_ns
    return sorted(
        (sample for sample in samples if sample.unix_ns >= began),
        key=lambda sample: sample.unix_ns,
    )


def _removals(
    bundle: Bundle, samples: list[NatsSample], final: ServerFinal | None, number: int | None = None
) -> Removals | None:
    """Tell why messages left the stream; None if there are no times of storing to go by.

    Of several streams, it is about `number`, whose state the samples have.

    These are the shuffler's; the stream was sampled by the NATS host's clock.
    """
    clocks = Clocks(bundle)
    stored_by: list[tuple[int, int]] = []
    for part in bundle.parts("shuffler"):
        if part.host not in bundle.spec.hosts["nats"] and not clocks.is_known(part.host):
            return None
        stored_by += [
            (
                sample.unix_ns + clocks.offset_ns(part.host, sample.unix_ns),
                sample.last_seq_of(number) or 0,
            )
            for sample in part.shuffler_samples
            if sample.stream == len(_lost_records(bundle))
        ]
    if not stored_by:
        return None
    stream = bundle.spec.stream
    limits = replace(stream, max_bytes=stream.max_bytes // stream.count)
    return classify(list(_stream_samples(bundle, samples, final)), stored_by, limits)


def _stream_samples(
    bundle: Bundle, samples: list[NatsSample], final: ServerFinal | None
) -> Iterator[StreamSample]:
    for sample in _of_last_stream(bundle, samples):
        if sample.stream:
            yield StreamSample.of(sample.unix_ns, sample.stream)
    if final is not None:
        yield StreamSample.of(final.unix_ns, final.stream_before)


def _lost_stream(
    bundle: Bundle, samples: list[NatsSample], logs: list[ConsumerDeliveries]
) -> StreamState | None:
    """Return how a stream was seen last that was gone later in the run, and at its end.

    It may have taken more since; what was acknowledged, or delivered, was there.
    """
    if bundle.stream_final is not None or bundle.spec.survives_a_server:
        return None
    of_last = _of_last_stream(bundle, samples)
    seen = [sample.stream for sample in of_last if sample.stream]
    shuffler = bundle.shuffler
    is_gone = bundle.stream_made_after is not None or not (samples and samples[-1].stream)
    if not seen or shuffler is None or not is_gone:
        return None
    return _seen_last(seen, shuffler.stream_seqs, logs)
