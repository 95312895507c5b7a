"""Results of a shuffler that read and published every frame from `FIRST_SEQ` on."""

from __future__ import annotations

import msgspec

from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import NatsConnections, RelayConnections, ShufflerResult

FIRST_SEQ = 500


def make_shuffler(count: int, **changes: object) -> ShufflerResult:
    seqs = IntervalSet([(FIRST_SEQ, FIRST_SEQ + count - 1)] if count else [])
    result = ShufflerResult(
        read=seqs,
        published=seqs,
        duplicates=IntervalSet(),
        failed=IntervalSet(),
        unknown=IntervalSet(),
        undecodable_seqs=IntervalSet(),
        undecodable=0,
        ignored=0,
        reread=0,
        settled=0,
        failures_by_reason={},
        stream_seqs=[(FIRST_SEQ, 1, count)] if count else [],
        message_bytes={},
        relay_connections=RelayConnections(1, 0),
        nats_connections=NatsConnections(1, 0, 0),
    )
    return msgspec.structs.replace(result, **changes)
