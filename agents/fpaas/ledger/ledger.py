"""The account of every event in a run, from what each part noted by itself.

    offered = not_read + undecodable + published + duplicates_rejected
              + publish_failed + publish_unknown
    owed    = delivered + expired_unread + pending_at_end + lost

Every term has evidence of its own and none is computed as a remainder, so the identities can fail;
by how much, together with every disagreement between the parts, is `unexplained`. It is 0 in a good
run. `durable_account` has the second identity, `server_checks` the server's own figures.

Where a part was killed, what it left last is used, and the server's figures say what became of the
rest: of a shuffler, what the stream has more than its account is published, and what is left of the
offered was not read; of a relay, what was read of it counts as offered; of consumers, see
`durable_account`. A memory stream that went with its server is accounted for as it was seen last.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
from msgspec import field

from fpaas.bundle.bundle import NO_DID, ServerFinal
from fpaas.firehose.renumbering import positions
from fpaas.ledger import server_checks
from fpaas.ledger.deliveries import DurableCase, OwedSeqs, Run, Walk, split_repeats
from fpaas.ledger.disagreements import About, Disagreement, Disagreements
from fpaas.ledger.durable_account import (
    LOST_CAUSES,
    STREAM_LOST,
    DurableAccount,
    account_durable,
    account_without_server,
)
from fpaas.ledger.lost_streams import CAUSES as LOST_STREAM_CAUSES
from fpaas.ledger.lost_streams import LostEvidence, Streams, leave_out, received_of, why_lost
from fpaas.ledger.removals import Removals
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.consumers import WorkerResult
from fpaas.records.nats import NatsSample, StreamState
from fpaas.records.relay import RelayResult
from fpaas.records.shuffler import ShufflerResult
from fpaas.records.summary import LedgerFigures
from fpaas.spec import NS_PER_S, RunSpec
from fpaas.spec.mix import ConsumerClass

#: Why offered frames were not read: none of their neighbours was missed …
DROPPED = "dropped_between_frames_read"
BEFORE_FIRST = "before_the_first_read"
AFTER_LAST = "after_the_last_read"
#: … or the shuffler was killed, and the stream does not have them …
SHUFFLER_DIED = "shuffler_died"
#: … or the relay was, with frames that it had offered on their way.
RELAY_DIED = "relay_died"
NOT_READ_CAUSES = (DROPPED, BEFORE_FIRST, AFTER_LAST, SHUFFLER_DIED, RELAY_DIED)


QUIET_AT_END_NS = NS_PER_S


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


class Ledger(LedgerFigures, kw_only=True):
    """The contract's ledger, in events and deliveries.

    `disagreements` are what `unexplained` is made of, `tolerated` what is known and no part of it.
    """

    #: Of what streams took with them that were made again: why it was not stored again.
    stream_lost_by_cause: dict[str, int] | None = None
    #: The side of the deliveries, by class of a mix.
    by_class: dict[str, LedgerFigures] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    tolerated: list[Disagreement] = field(default_factory=list)

    def figures(self) -> LedgerFigures:
        """Return the ledger of summary.json."""
        names = LedgerFigures.__struct_fields__
        return LedgerFigures(**{name: getattr(self, name) for name in names})


def account(spec: RunSpec, evidence: Evidence) -> Ledger:
    """Balance a run's ledger."""
    if evidence.relay is not None:
        relay = at_least_read(evidence.relay, evidence.shuffler)
        evidence = replace(evidence, relay=relay)
    ledger = Ledger()
    disagreements = Disagreements()
    server = evidence.server
    if evidence.relay is not None and spec.firehose.rate_per_s is not None:
        ledger.offered = evidence.relay.offered - evidence.relay.ignored
    if evidence.shuffler is not None:
        _account_publishing(spec, evidence, evidence.shuffler, ledger, disagreements)
    if server is not None:
        ledger.stored = server.stream_before.last_seq
        server_checks.check_stream(server, evidence.nats_samples, disagreements)
        if evidence.shuffler is not None:
            server_checks.check_stored(evidence.shuffler, server, disagreements)
    elif evidence.lost_stream is not None:
        ledger.stored = evidence.lost_stream.last_seq
    streams = Streams(evidence.lost, evidence.shuffler.stream_seqs if evidence.shuffler else ())
    if ledger.stored is not None:
        # Each event once, whichever of the streams had it.
        ledger.stored += sum(one.state.last_seq for one in evidence.lost) - streams.stored_again
    if evidence.workers is not None:
        ledger.redelivered = sum(worker.redelivered for worker in evidence.workers)
    if evidence.deliveries is not None:
        _account_deliveries(spec, evidence, streams, ledger, disagreements)
    is_read = ledger.not_read is not None or spec.firehose.rate_per_s is None
    if ledger.offered is not None and is_read and ledger.owed is not None:
        ledger.unexplained = disagreements.total
    ledger.disagreements = disagreements.noted()
    ledger.tolerated = disagreements.tolerated()
    return ledger


def at_least_read(relay: RelayResult, shuffler: ShufflerResult | None) -> RelayResult:
    """Return a relay's account; of one that was killed, with what was read of it after its last.

    It offered at least that. What it offered beyond, and nobody read, died with it.
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
        ignored=relay.ignored + len(shuffler.ignored_seqs.intersection(later)),
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


def _account_publishing(
    spec: RunSpec,
    evidence: Evidence,
    shuffler: ShufflerResult,
    ledger: Ledger,
    disagreements: Disagreements,
) -> None:
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
    undecodable_unnumbered = shuffler.undecodable - len(shuffler.undecodable_seqs)
    ledger.undecodable = shuffler.undecodable
    ledger.published = len(shuffler.published)
    ledger.duplicates_rejected = len(shuffler.duplicates)
    ledger.publish_failed = len(shuffler.failed)
    ledger.publish_unknown = len(shuffler.unknown)
    ledger.stored_twice = shuffler.stored_twice
    if shuffler.complete:
        disagreements.note(
            len(shuffler.read.difference(with_outcome)),
            About.READ_WITHOUT_OUTCOME,
            read=len(shuffler.read),
            with_outcome=len(with_outcome),
        )
    elif evidence.server is not None:
        # What the stream has beyond the last account was published after it.
        known = ledger.published + shuffler.stored_twice + shuffler.foreign
        if shuffler.lost_streams:
            known = sum(count for _, _, count in shuffler.stream_seqs) + len(shuffler.copy_seqs)
            known += shuffler.foreign
        ledger.published += max(0, evidence.server.stream_before.last_seq - known)
    relay = evidence.relay
    if spec.firehose.rate_per_s is None:
        # Of a foreign relay only what its numbers tell is known not to have been read.
        ledger.not_read = _known_gaps(spec, shuffler)
        ledger.offered = len(seen) + undecodable_unnumbered + (ledger.not_read or 0)
        if ledger.not_read is not None:
            ledger.not_read_by_cause = {
                **dict.fromkeys(NOT_READ_CAUSES, 0),
                DROPPED: ledger.not_read,
            }
    elif relay is not None:
        offered = offered_positions(relay)
        disagreements.note(
            len(seen.difference(offered)),
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


PUBLISH_TERMS = ("published", "duplicates_rejected", "publish_failed", "publish_unknown")


def _sum(ledger: Ledger, *names: str) -> int:
    return sum(getattr(ledger, name) or 0 for name in names)


def _known_gaps(spec: RunSpec, shuffler: ShufflerResult) -> int | None:
    """Return how many events a foreign relay had that were not read; None: not known.

    Of one that was silent at the end nobody knows what else it had.
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
    others = max(0, relay.ignored - len(shuffler.ignored_seqs.intersection(offered)))
    others += undecodable_unnumbered
    at_the_ends = (RELAY_DIED, AFTER_LAST, BEFORE_FIRST)
    for cause in (DROPPED, *at_the_ends) if undecodable_unnumbered else (*at_the_ends, DROPPED):
        taken = min(others, causes[cause])
        causes[cause] -= taken
        others -= taken
    return causes


def _account_deliveries(
    spec: RunSpec,
    evidence: Evidence,
    streams: Streams,
    ledger: Ledger,
    disagreements: Disagreements,
) -> None:
    durables = list(dict.fromkeys(map(spec.durable_of, range(spec.consumers.count))))
    walks = _walks(spec, evidence, evidence.deliveries or (), durables, disagreements)
    lost_walks = [
        _walks(spec, evidence, one.deliveries or (), durables, disagreements)
        for one in streams.lost
    ]
    every_walk = [walk for one in (*lost_walks, walks) for walk in one.values()]
    received = sum(walk.received for walk in every_walk)
    ledger.delivered = sum(walk.distinct() for walk in every_walk)
    ledger.duplicate_deliveries = received - ledger.delivered
    if ledger.redelivered is not None:
        ledger.redelivered += sum(walk.made_again for walk in every_walk)
    workers = evidence.workers or ()
    if evidence.workers is not None and all(worker.complete for worker in workers):
        processed = sum(worker.processed for worker in workers)
        disagreements.note(
            processed - received,
            About.DELIVERIES_COUNTED,
            counted=processed,
            logged=received,
        )
        acks = sum(worker.acks for worker in workers)
        terminated = sum(one.terminated for worker in workers for one in worker.by_class.values())
        disagreements.note(
            acks + terminated - processed,
            About.ACKS_COUNTED,
            acks=acks,
            terminated=terminated,
            counted=processed,
        )
        logged = sum(
            spec.consumers.classes[spec.class_of(log.consumer_index)].terminated_in(
                first, first + count - 1
            )
            for log in (_all_logs(evidence) if spec.consumers.classes else ())
            for _, first, _, count in log.runs
        )
        disagreements.note(
            terminated - logged, About.TERMINATIONS_COUNTED, counted=terminated, logged=logged
        )
    last = evidence.server.stream_before if evidence.server else evidence.lost_stream
    if last is None:
        return
    owed = _owed_by_durable(spec, last.last_seq, evidence, list(walks), disagreements)
    lost_owed = [
        _owed_by_durable(spec, one.state.last_seq, one, list(walks), disagreements)
        for one in streams.lost
    ]
    if owed is None or any(one is None for one in lost_owed):
        return
    if evidence.server is not None:
        by_durable = {
            durable: account_durable(case, disagreements)
            for durable, case in _cases(spec, evidence, evidence.server, walks, owed)
        }
        by_durable |= _account_missing(evidence.server, walks, owed, disagreements)
    else:
        by_durable = {
            durable: account_without_server(walk, owed[durable], last)
            for durable, walk in walks.items()
        }
    accounts = list(by_durable.items())
    if streams.lost:
        lost_accounts = [
            {
                durable: account_without_server(walk, of_stream[durable], one.state)
                for durable, walk in of_walks.items()
            }
            for one, of_walks, of_stream in zip(streams.lost, lost_walks, lost_owed, strict=True)
            if of_stream is not None
        ]
        owed_of_all = [*(one for one in lost_owed if one is not None), owed]
        _over_all_streams(evidence, streams, [*lost_accounts, by_durable], owed_of_all, ledger)
        accounts += [item for of_stream in lost_accounts for item in of_stream.items()]
    members: list[set[str]] = [set() for _ in spec.consumers.classes]
    for index in range(spec.consumers.count if members else 0):
        members[spec.class_of(index)].add(spec.durable_of(index))
    for one, own_durables in zip(spec.consumers.classes, members, strict=True):
        of_class = ledger.by_class[one.name] = LedgerFigures()
        of_class.terminated = _terminated(one, own_durables, evidence)
        own = [account for durable, account in accounts if durable in own_durables]
        received = sum(account.received for account in own)
        _add_up(evidence, own, received, of_class)
        unlogged = sum(account.unlogged for account in own)
        of_class.duplicate_deliveries = received - ((of_class.delivered or 0) - unlogged)
        of_class.redelivered = sum(
            len(log.repeats) for log in _all_logs(evidence) if log.durable in own_durables
        )
    ledger.terminated = sum(one.terminated or 0 for one in ledger.by_class.values())
    received = sum(walk.received for walk in every_walk)
    _add_up(evidence, [one for _, one in accounts], received, ledger)


def _all_logs(evidence: Evidence) -> Iterator[ConsumerDeliveries]:
    for deliveries in (evidence.deliveries, *(lost.deliveries for lost in evidence.lost)):
        yield from deliveries or ()


def _terminated(one: ConsumerClass, durables: set[str], evidence: Evidence) -> int:
    """Count messages that a class received and terminated, each once for each of its durables."""
    if not one.terminate_pct:
        return 0
    return sum(
        one.terminated_in(first, last)
        for deliveries in (evidence.deliveries, *(lost.deliveries for lost in evidence.lost))
        for durable, seqs in received_of(deliveries or ()).items()
        if durable in durables
        for first, last in seqs
    )


def _over_all_streams(
    evidence: Evidence,
    streams: Streams,
    accounts: list[dict[str, DurableAccount]],
    owed: list[dict[str, OwedSeqs]],
    ledger: Ledger,
) -> None:
    """Leave out of each stream's accounts what is on another's; `accounts` are in their order."""
    received = [received_of(one.deliveries or ()) for one in streams.lost]
    received.append(received_of(evidence.deliveries or ()))
    nothing = IntervalSet()
    why: Counter[str] = Counter()
    last = evidence.server.stream_before if evidence.server else evidence.lost_stream
    states = [*(one.state for one in streams.lost), last]
    for number, (by_durable, state) in enumerate(zip(accounts, states, strict=True)):
        later = streams.stored_later(number)
        is_lost = number < len(streams.lost)
        causes = streams.causes(number) if is_lost else {}
        for durable, account in by_durable.items():
            own = [one.get(durable, nothing) for one in received]
            had = streams.had_before(number, own)
            of_durable = owed[number][durable]
            leave_out(
                account,
                of_durable,
                own[number],
                elsewhere=later,
                had=had,
                first_stored=max(1, state.first_seq if state is not None else 1),
            )
            if is_lost and state is not None and account.lost[STREAM_LOST]:
                why += why_lost(
                    of_durable, own[number], elsewhere=later, had=had, state=state, causes=causes
                )
    ledger.stream_lost_by_cause = {cause: why[cause] for cause in LOST_STREAM_CAUSES}


def _add_up(
    evidence: Evidence, accounts: list[DurableAccount], received: int, ledger: LedgerFigures
) -> None:
    ledger.owed = sum(one.owed for one in accounts)
    ledger.delivered = sum(one.delivered for one in accounts)
    if evidence.lost:
        ledger.duplicate_deliveries = received - (
            ledger.delivered - sum(one.unlogged for one in accounts)
        )
    ledger.expired_unread = sum(one.expired_unread for one in accounts)
    ledger.pending_at_end = sum(one.pending_at_end for one in accounts)
    lost: Counter[str] = Counter()
    for one in accounts:
        lost.update(one.lost)
    ledger.lost = lost.total()
    ledger.lost_by_cause = {cause: lost[cause] for cause in LOST_CAUSES}
    if evidence.removals is not None:
        by_size = sum(one.expired_by_size for one in accounts)
        ledger.expired_by_cause = {
            "max_age": ledger.expired_unread - by_size,
            "max_bytes": by_size,
        }
    if evidence.server is not None:
        ledger.unacked = sum(one.unacked for one in accounts)
        # Of what the server waits for, or nobody logged, it is not known whether it was terminated.
        is_known = not (ledger.unacked or any(one.unlogged for one in accounts))
        if is_known or not ledger.terminated:
            ledger.acked = ledger.delivered - ledger.unacked - (ledger.terminated or 0)


def _walks(
    spec: RunSpec,
    evidence: Evidence,
    deliveries: Iterable[ConsumerDeliveries],
    durables: list[str],
    disagreements: Disagreements,
) -> dict[str, Walk]:
    runs: dict[str, list[Run]] = {durable: [] for durable in durables}
    restarts_ms = _restarts_ms(spec, evidence)
    for log in deliveries:
        runs.setdefault(log.durable, []).extend(
            split_repeats(log, restarts_ms.get(log.consumer_index, ()))
        )
    walks = {}
    for durable, durable_runs in runs.items():
        walk = walks[durable] = Walk()
        for life, consumer_seq, stream_seq, count, repeated in sorted(durable_runs):
            walk.take(life, consumer_seq, stream_seq, count, repeated=repeated)
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


def _cases(
    spec: RunSpec,
    evidence: Evidence,
    server: ServerFinal,
    walks: dict[str, Walk],
    owed: dict[str, OwedSeqs],
) -> Iterator[tuple[str, DurableCase]]:
    """Iterate over the durables that the server has."""
    workers = evidence.workers or ()
    had_trouble = any(
        worker.connections.reconnects or worker.fetches.client_timeout for worker in workers
    )
    killed = {
        spec.durable_of(index)
        for worker in workers
        if not worker.complete
        for index in range(worker.first, worker.first + worker.count)
    }
    for durable, walk in walks.items():
        state = server.durables.get(durable)
        if state is not None:
            case = DurableCase(
                walk,
                owed[durable],
                state,
                server,
                had_trouble=had_trouble or bool(killed),
                may_forget=spec.stream.replicas > 1 or bool(evidence.restarts),
                was_killed=durable in killed,
                removals=evidence.removals or Removals(),
            )
            yield durable, case


def _account_missing(
    server: ServerFinal,
    walks: dict[str, Walk],
    owed: dict[str, OwedSeqs],
    disagreements: Disagreements,
) -> dict[str, DurableAccount]:
    """Account for durables that the server does not have at the end."""
    accounts = {}
    for durable, walk in walks.items():
        if durable not in server.durables:
            count = owed[durable].count(1, server.stream_before.last_seq)
            disagreements.note(max(1, count), About.DURABLE_MISSING, durable=durable)
            accounts[durable] = DurableAccount(owed=count, delivered=walk.distinct())
    return accounts


def _owed_by_durable(
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


def _union(sets: Iterable[IntervalSet]) -> IntervalSet:
    return IntervalSet(sorted(interval for one in sets for interval in one))
