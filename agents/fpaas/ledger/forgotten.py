"""Messages that NATS had acked and forgot: it was killed before they were on its disk. Pure.

The shuffler publishes them again. If each is where it was, nothing is missing, and what consumers
had received of that place is what is there now. If one is not, its publish has failed after all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from fpaas.bundle.parts import ServerFinal
from fpaas.common_time import NS_PER_MS
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import Forgotten, ShufflerResult
from fpaas.spec import RunSpec

#: Hosts' clocks may differ by so much; no server is back so soon.
CLOCKS_MS = 50

FORGOTTEN = "acked, and then forgotten by the server"

Run = tuple[int, int, int]


def count(shuffler: ShufflerResult) -> int:
    """Count the places whose messages were forgotten."""
    return sum(at_places.total for at_places in _places(shuffler).values())


def missing(shuffler: ShufflerResult) -> int:
    """Count those that do not have the same message again."""
    now = _by_lead(shuffler.stream_seqs)
    return sum(
        places.difference(now.get(lead, IntervalSet())).total
        for lead, places in _places(shuffler).items()
    )


def never_known(shuffler: ShufflerResult, spec: RunSpec, logs: Iterable[ConsumerDeliveries]) -> int:
    """Count places whose messages were received, and forgotten before any account had them.

    A shuffler that was killed publishes for up to a second more than its account says. If its
    server forgets that, too, nobody knows whether these places have the same messages again.
    """
    if not shuffler.resumed_at:
        return 0
    known = IntervalSet()
    for places in _places(shuffler).values():
        known = known.union(places)
    received = IntervalSet()
    for log in logs:
        for at_ms, stream_seq, _, length in log.runs:
            last = stream_seq + length - 1
            for resumed_unix_ns, end in shuffler.resumed_at:
                until_ms = (resumed_unix_ns - spec.t0_unix_ns) / NS_PER_MS - CLOCKS_MS
                if at_ms < until_ms and last > end:
                    received.add_range(max(stream_seq, end + 1), last)
    return received.difference(known).total


def as_at_end(shuffler: ShufflerResult, server: ServerFinal | None) -> ShufflerResult:
    """Return an account with all that was forgotten and is in the stream no more as failed.

    What the server forgot after the shuffler had ended is seen by where the stream ends.
    """
    if server is not None:
        shuffler = _forgot_at_end(shuffler, server.stream_before.last_seq)
    lost = IntervalSet()
    for one in shuffler.forgotten:
        lost = lost.union(_relay_seqs(one.stream_seqs))
    lost = lost.intersection(shuffler.published).difference(_relay_seqs(shuffler.stream_seqs))
    for stream in shuffler.lost_streams:
        lost = lost.difference(_relay_seqs(stream.stream_seqs))
    if not lost:
        return shuffler
    return msgspec.structs.replace(
        shuffler,
        published=shuffler.published.difference(lost),
        failed=shuffler.failed.union(lost),
        failures_by_reason=Counter(shuffler.failures_by_reason) + Counter({FORGOTTEN: lost.total}),
    )


def _forgot_at_end(shuffler: ShufflerResult, last_seq: int) -> ShufflerResult:
    kept: list[Run] = []
    beyond: list[Run] = []
    for seq, at, length in shuffler.stream_seqs:
        left = min(length, max(0, last_seq + 1 - at))
        if left:
            kept.append((seq, at, left))
        if left < length:
            beyond.append((seq + left, at + left, length - left))
    if not beyond:
        return shuffler
    forgotten = Forgotten(stream_seqs=beyond, noticed_unix_ns=None)
    return msgspec.structs.replace(
        shuffler, stream_seqs=kept, forgotten=[*shuffler.forgotten, forgotten]
    )


def _places(shuffler: ShufflerResult) -> dict[int, IntervalSet]:
    return _by_lead(run for one in shuffler.forgotten for run in one.stream_seqs)


def _by_lead(runs: Iterable[Run]) -> dict[int, IntervalSet]:
    """Return the places of each event by how far its seq is ahead of its place."""
    found: defaultdict[int, IntervalSet] = defaultdict(IntervalSet)
    for seq, at, length in runs:
        found[seq - at].add_range(at, at + length - 1)
    return found


def _relay_seqs(runs: Iterable[Run]) -> IntervalSet:
    found = IntervalSet()
    for seq, _, length in runs:
        found.add_range(seq, seq + length - 1)
    return found
