"""Messages of a stream that each durable is owed: all, a partition's, or those that a class wants.

A class that joins late is owed those from where its durable begins, which the server said.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from fpaas.ledger.deliveries import OwedSeqs
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.lost_streams import LostEvidence
from fpaas.records.shuffler import NO_DID
from fpaas.spec import RunSpec


def owed_by_durable(
    spec: RunSpec,
    stored: int,
    evidence: Evidence | LostEvidence,
    durables: list[str],
    disagreements: Disagreements,
) -> dict[str, OwedSeqs] | None:
    """Return who is owed what of a stream; None if that is not known."""
    owed = _owed_from_the_first(spec, stored, evidence, durables, disagreements)
    if owed is None or not any(one.is_late for one in spec.consumers.classes):
        return owed
    for index in range(spec.consumers.count):
        if spec.consumers.classes[spec.class_of(index)].is_late:
            durable = spec.durable_of(index)
            first = evidence.starts.get(durable)
            if first is None and _was_there(durable, evidence):
                return None
            owed[durable] = owed[durable].served_from(stored + 1 if first is None else first)
    return owed


def _was_there(durable: str, evidence: Evidence | LostEvidence) -> bool:
    """Whether a durable belonged to a stream, though nobody says where it began."""
    if isinstance(evidence, Evidence) and evidence.server and durable in evidence.server.durables:
        return True
    return any(log.durable == durable and log.runs for log in evidence.deliveries or ())


def _owed_from_the_first(
    spec: RunSpec,
    stored: int,
    evidence: Evidence | LostEvidence,
    durables: list[str],
    disagreements: Disagreements,
) -> dict[str, OwedSeqs] | None:
    if spec.has_filters:
        return _owed_by_class(spec, stored, evidence.classes, disagreements)
    dids = evidence.dids
    if not spec.consumers.partitions:
        # One for all: what each of them misses is added up by what it is owed.
        return dict.fromkeys(durables, OwedSeqs(stored))
    if dids is None:
        return None
    listed: list[list[int]] = [[] for _ in range(spec.consumers.partitions)]
    for stream_seq, did in enumerate(dids[:stored], 1):
        if did != NO_DID:
            listed[did % len(listed)].append(stream_seq)
    assigned = sum(len(seqs) for seqs in listed)
    disagreements.note(
        stored - assigned,
        About.PARTITION_UNKNOWN,
        known=assigned,
        stored=stored,
    )
    return {
        spec.durable_of(index): OwedSeqs(stored, listed[index])
        for index in range(spec.consumers.count)
    }


def _owed_by_class(
    spec: RunSpec, stored: int, classes: Sequence[int] | None, disagreements: Disagreements
) -> dict[str, OwedSeqs] | None:
    if classes is None:
        return None
    known = sum(one != 0 for one in classes[:stored])
    disagreements.note(stored - known, About.FILTERS_UNKNOWN, known=known, stored=stored)
    owed = []
    for number, one in enumerate(spec.consumers.classes):
        listed = array("q")
        if one.is_filtered:
            bit = 1 << number
            listed.extend(seq for seq, bits in enumerate(classes[:stored], 1) if bits & bit)
        owed.append(OwedSeqs(stored, listed if one.is_filtered else None))
    indices = range(spec.consumers.count)
    return {spec.durable_of(index): owed[spec.class_of(index)] for index in indices}
