"""The first identity: what became of each event that was offered, up to the stream.

offered = not_read + undecodable + published + duplicates_rejected
+ publish_failed + publish_unknown
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from fpaas.firehose.renumbering import positions
from fpaas.ledger import account_checks
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import (
    AFTER_LAST,
    BEFORE_FIRST,
    DROPPED,
    NOT_READ_CAUSES,
    RELAY_DIED,
    SHUFFLER_DIED,
    Ledger,
)
from fpaas.measures.intervals import IntervalSet
from fpaas.records.relay import RelayResult
from fpaas.records.shuffler import ShufflerResult
from fpaas.spec import NS_PER_S, RunSpec

QUIET_AT_END_NS = NS_PER_S
PUBLISH_TERMS = ("published", "duplicates_rejected", "publish_failed", "publish_unknown")


def at_least_read(relay: RelayResult, shuffler: ShufflerResult | None) -> RelayResult:
    """Return a relay's account; if it was killed, with what was read from it after its last one.

    It offered at least that. Anything more that nobody read died with it.
    """
    if relay.complete or shuffler is None:
        return relay
    numbered = (
        *(shuffler.read, shuffler.published, shuffler.duplicates, shuffler.failed),
        *(shuffler.unknown, shuffler.undecodable_seqs, shuffler.ignored_seqs),
    )
    known = offered_positions(relay).last
    top = relay.first_seq - 1 if known is None else known
    last = max([top, *(one.last for one in numbered if one.last is not None)])
    later = IntervalSet()
    if last > top:
        later.add_range(top + 1, last)
    *before, latest = relay.numberings or [(relay.first_seq, relay.offered)]
    return msgspec.structs.replace(
        relay,
        last_seq=relay.last_seq + last - top,
        offered=relay.offered + last - top,
        ignored=relay.ignored + shuffler.ignored_seqs.intersection(later).total,
        numberings=[*before, (latest[0], latest[1] + last - top)] if before else [],
    )


def offered_positions(relay: RelayResult) -> IntervalSet:
    """Return the frames that a relay offered, as who read them all counts them.

    Those are its seqs, unless it renumbered.
    """
    offered = IntervalSet()
    for first, count in positions(relay.numberings or [(relay.first_seq, relay.offered)]):
        if count:
            offered.add_range(first, first + count - 1)
    return offered


def account_publishing(
    spec: RunSpec,
    evidence: Evidence,
    shuffler: ShufflerResult,
    ledger: Ledger,
    disagreements: Disagreements,
) -> None:
    """Balance `offered`: what became of each event on its way into the stream."""
    outcomes = {
        "published": shuffler.published,
        "duplicates": shuffler.duplicates,
        "failed": shuffler.failed,
        "unknown": shuffler.unknown,
        "undecodable": shuffler.undecodable_seqs,
    }
    with_outcome = _union(outcomes.values())
    seen = shuffler.read.union(with_outcome)
    # The error of a frame that is no DAG-CBOR has no sequence number to name.
    undecodable_unnumbered = shuffler.undecodable - shuffler.undecodable_seqs.total
    ledger.undecodable = shuffler.undecodable
    ledger.published = shuffler.published.total
    ledger.duplicates_rejected = shuffler.duplicates.total
    ledger.publish_failed = shuffler.failed.total
    ledger.publish_unknown = shuffler.unknown.total
    ledger.stored_twice = shuffler.stored_twice
    if shuffler.complete:
        disagreements.note(
            shuffler.read.difference(with_outcome).total,
            About.READ_WITHOUT_OUTCOME,
            read=shuffler.read.total,
            with_outcome=with_outcome.total,
        )
        account_checks.check_shuffler(
            shuffler, None if evidence.by_stream else evidence.dids, disagreements
        )
    elif evidence.server is not None:
        # Messages in the stream beyond the last account were published after it.
        known = ledger.published + shuffler.stored_twice + shuffler.foreign
        if shuffler.lost_streams:
            known = sum(count for _, _, count in shuffler.stream_seqs) + shuffler.copy_seqs.total
            known += shuffler.foreign
        ledger.published += max(0, evidence.server.stream_before.last_seq - known)
    relay = evidence.relay
    if spec.firehose.rate_per_s is None:
        # For a foreign relay, only gaps in its numbers show what was not read.
        ledger.not_read = _known_gaps(spec, shuffler)
        ledger.offered = seen.total + undecodable_unnumbered + (ledger.not_read or 0)
        if ledger.not_read is not None:
            ledger.not_read_by_cause = {
                **dict.fromkeys(NOT_READ_CAUSES, 0),
                DROPPED: ledger.not_read,
            }
    elif relay is not None:
        offered = offered_positions(relay)
        disagreements.note(
            seen.union(shuffler.ignored_seqs).difference(offered).total,
            About.READ_NOT_OFFERED,
            offered_first=relay.first_seq,
            offered_last=relay.last_seq,
            read_first=shuffler.read.first,
            read_last=shuffler.read.last,
        )
        causes = _causes_of_not_read(offered, seen, relay, shuffler, undecodable_unnumbered)
        if not shuffler.complete:
            named = _sum(ledger, "undecodable", *PUBLISH_TERMS)
            if not relay.complete:
                # Neither's account is the last, and what was published was offered.
                ledger.offered = max(ledger.offered or 0, named)
            causes = Counter({SHUFFLER_DIED: max(0, (ledger.offered or 0) - named)})
        ledger.not_read = causes.total()
        ledger.not_read_by_cause = {cause: causes[cause] for cause in NOT_READ_CAUSES}
    is_foreign = spec.firehose.rate_per_s is None
    if ledger.offered is not None and (ledger.not_read is not None or is_foreign):
        accounted = _sum(ledger, "not_read", "undecodable", *PUBLISH_TERMS)
        disagreements.note(
            ledger.offered - accounted,
            About.OFFERED_OUTCOMES,
            offered=ledger.offered,
            accounted=accounted,
        )


def _sum(ledger: Ledger, *names: str) -> int:
    return sum(getattr(ledger, name) or 0 for name in names)


def _known_gaps(spec: RunSpec, shuffler: ShufflerResult) -> int | None:
    """Return how many events a foreign relay had that were not read; None: not known.

    If it was silent at the end, nobody knows what else it had.
    """
    until = spec.offer_until_unix_ns
    if any(since + QUIET_AT_END_NS < until <= end for since, end in shuffler.quiet or ()):
        return None
    sizes = [gap.missing for gap in shuffler.gaps]
    known = [size for size in sizes if size is not None]
    is_known = len(known) == len(sizes) == shuffler.gap_count
    return sum(known) if shuffler.numbers_densely and is_known else None


def _causes_of_not_read(
    offered: IntervalSet,
    seen: IntervalSet,
    relay: RelayResult,
    shuffler: ShufflerResult,
    undecodable_unnumbered: int,
) -> Counter[str]:
    """Count offered events that were not read, by where they are missing."""
    looked_at = seen.union(shuffler.ignored_seqs)
    causes: Counter[str] = Counter()
    for first, last in offered.difference(looked_at):
        if looked_at.first is None or last < looked_at.first:
            cause = BEFORE_FIRST
        elif looked_at.last is not None and first > looked_at.last:
            cause = AFTER_LAST
        else:
            cause = DROPPED
        if cause == AFTER_LAST and not relay.complete:
            cause = RELAY_DIED
        causes[cause] += last - first + 1
    # Among the unseen are frames that are no events, and those without a number.
    others = max(0, relay.ignored - shuffler.ignored_seqs.intersection(offered).total)
    others += undecodable_unnumbered
    at_the_ends = (RELAY_DIED, AFTER_LAST, BEFORE_FIRST)
    for cause in (DROPPED, *at_the_ends) if undecodable_unnumbered else (*at_the_ends, DROPPED):
        taken = min(others, causes[cause])
        causes[cause] -= taken
        others -= taken
    return causes


def _union(sets: Iterable[IntervalSet]) -> IntervalSet:
    return IntervalSet(sorted(interval for one in sets for interval in one))
