"""Whether events of one DID kept their order; a DID is known by its CRC-32.

Counted are, in the stream, messages that were stored after a later event of the same DID, by the
relay's sequence: a publish that was refused or lost is repeated, and others pass it in the
meantime. At a consumer, in `shared` delivery at each that pulls, first deliveries that came after
the delivery of a later message of the same DID, by the stream's sequence. A redelivery is none:
neither what the server says it delivered before, nor what this consumer had received.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fpaas.ledger.deliveries import split_repeats
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import NO_DID


def violations_in_stream(
    stream_seqs: Iterable[tuple[int, int, int]], dids: Sequence[int] | None
) -> int | None:
    """Count messages that were stored after a later event of their DID.

    `stream_seqs` are runs (relay seq, stream seq, count). None if `dids` would have to tell, and
    are not there.
    """
    runs = sorted((stream, relay, count) for relay, stream, count in stream_seqs)
    reached = 0
    earliest_late: int | None = None
    for _, relay, count in runs:
        if relay < reached:
            earliest_late = relay if earliest_late is None else min(earliest_late, relay)
        reached = max(reached, relay + count)
    if earliest_late is None:
        return 0
    if dids is None:
        return None
    # Whatever comes before it in both orders cannot be overtaken by anything.
    latest: dict[int, int] = {}
    violations = 0
    for stream, relay, count in runs:
        for number in range(max(0, earliest_late - relay), count):
            did = _did(dids, stream + number)
            if did == NO_DID:
                continue
            before = latest.get(did, 0)
            violations += relay + number < before
            latest[did] = max(before, relay + number)
    return violations


def violations_at_consumers(
    logs: Iterable[ConsumerDeliveries], dids: Sequence[int] | None
) -> int | None:
    """Count first deliveries that came after the delivery of a later message of their DID.

    None if that takes `dids`, and there are none.
    """
    violations = 0
    for log in logs:
        spans = list(_first_spans(log))
        earliest_late = _earliest_late(spans)
        if earliest_late is None:
            continue
        if dids is None:
            return None
        violations += _violations(spans, earliest_late, dids)
    return violations


def _first_spans(log: ConsumerDeliveries) -> Iterator[tuple[int, int]]:
    """Iterate over (first, last) stream sequence of first deliveries, in the order of arrival."""
    for _, _, stream_seq, count, number in split_repeats(log):
        if number == 1:
            yield stream_seq, stream_seq + count - 1


def _earliest_late(spans: Iterable[tuple[int, int]]) -> int | None:
    reached, earliest = 0, None
    for first, last in spans:
        if first <= reached:
            earliest = first if earliest is None else min(earliest, first)
        reached = max(reached, last)
    return earliest


def _violations(spans: Iterable[tuple[int, int]], earliest: int, dids: Sequence[int]) -> int:
    received = IntervalSet()
    latest: dict[int, int] = {}
    violations = 0
    for first, last in spans:
        if last < earliest:
            continue
        for stream_seq in range(max(first, earliest), last + 1):
            if not received.add(stream_seq):
                continue
            did = _did(dids, stream_seq)
            if did == NO_DID:
                continue
            before = latest.get(did, 0)
            violations += stream_seq < before
            latest[did] = max(before, stream_seq)
    return violations


def _did(dids: Sequence[int], stream_seq: int) -> int:
    return dids[stream_seq - 1] if stream_seq <= len(dids) else NO_DID
