"""Who is owed which messages of a stream: all, a partition's, or those that a class wants."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from fpaas.bundle.parts import NO_DID
from fpaas.ledger.deliveries import OwedSeqs
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.lost_streams import LostEvidence
from fpaas.spec import RunSpec


def owed_by_durable(
    spec: RunSpec,
    stored: int,
    evidence: Evidence | LostEvidence,
    durables: list[str],
    disagreements: Disagreements,
) -> dict[str, OwedSeqs] | None:
    """Return who is owed what of a stream; None if that is not known."""
    if spec.has_filters:
        return _owed_by_class(spec, stored, evidence.classes, disagreements)
    dids = evidence.dids
    if not spec.consumers.partitions:
        return {durable: OwedSeqs(stored) for durable in durables}
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
