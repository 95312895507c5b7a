"""Several streams against what the shuffler had acknowledged: each event in one, at one place."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.server_checks import note_beyond, note_stored
from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import NO_SEQ, ShufflerResult


def check(
    shuffler: ShufflerResult, streams: Sequence[Evidence], disagreements: Disagreements
) -> None:
    """Compare acknowledged publishes with several streams: each event is in one, at one place."""
    if not shuffler.complete:
        # Its files are not of one moment.
        return
    everything: list[int] = []
    stored_in_all = placed = 0
    for one in streams:
        seqs = array("q", one.seqs or ())
        own = [seq - 1 for seq in seqs if seq != NO_SEQ]
        everything += own
        stored = one.server.stream_before.last_seq if one.server is not None else 0
        published = len(own) + one.copy_seqs.total
        twice = sum(
            seqs[place - 1] != NO_SEQ
            for first, last in one.copy_seqs
            for place in range(first, min(last, len(seqs)) + 1)
        )
        disagreements.note(twice, About.STREAM_PLACES, without=0, unpublished=0, twice=twice)
        note_stored(stored, published, shuffler, disagreements)
        acked = max(len(seqs), one.copy_seqs.last or 0)
        note_beyond(acked or None, stored, disagreements)
        stored_in_all += stored
        placed += published
    if shuffler.unknown:
        # Each of them is in one stream at most.
        note_stored(stored_in_all, placed, shuffler, disagreements)
    everything.sort()
    relay_seqs = IntervalSet()
    for seq in everything:
        relay_seqs.add(seq)
    missing = shuffler.published.difference(relay_seqs).total
    unpublished = relay_seqs.difference(shuffler.published).total
    twice = len(everything) - relay_seqs.total
    disagreements.note(
        missing + unpublished + twice,
        About.STREAM_PLACES,
        without=missing,
        unpublished=unpublished,
        twice=twice,
    )
