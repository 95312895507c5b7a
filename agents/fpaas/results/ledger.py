"""The account of every event in a run, from what each part noted by itself.

    offered = not_read + undecodable + published + duplicates_rejected
              + publish_failed + publish_unknown
    owed    = delivered + expired_unread + pending_at_end + lost

Every term has evidence of its own and none is computed as a remainder, so the identities can fail;
by how much, together with every disagreement between the parts, is `unexplained`. It is 0 in a good
run.

A durable's side is read off the deliveries in the order in which the server made them, that is, of
their consumer sequence. Where the stream sequence jumps from one first delivery to the next and the
consumer sequence goes on by one, the server found the messages between expired. Where the consumer
sequence jumps too, the server made deliveries that nobody received: `holes`. Messages expire from
the stream's front, so the holes are the newest of a gap. What of them is received later, as a
repeat, is delivered; what is still stored at the end is pending, for the server will deliver it
again; the rest is lost. Where deliveries that nobody received were themselves repeats while other
messages expired, nothing tells the two apart: they count as lost, the worse.

The new leader of a replicated durable may not know of the last deliveries of the one before, which
were sent before the servers had agreed on them. It makes them once more under the same consumer
sequences, and they are repeats; or it has not been asked since, and counts as pending what was
received. Of a stream with replicas neither is a disagreement.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.results.bundle import (
    NO_PARTITION,
    DurableState,
    RelayResult,
    ServerFinal,
    ShufflerResult,
    WorkerResult,
)
from fpaas.spec import RunSpec


@dataclass(frozen=True)
class Evidence:
    """What a run left behind; None where a part is missing.

    `deliveries` and `workers` are None unless every consumer's is there. `partitions` holds the
    partition of each stream sequence from 1 on, if delivery is partitioned.
    """

    relay: RelayResult | None
    shuffler: ShufflerResult | None
    server: ServerFinal | None
    deliveries: list[ConsumerDeliveries] | None
    workers: list[WorkerResult] | None
    partitions: Sequence[int] | None = None


@dataclass
class Ledger:
    """The contract's ledger, in events and deliveries; None where a part's evidence is missing.

    `disagreements` are sentences that name what `unexplained` is made of.
    """

    offered: int | None = None
    not_read: int | None = None
    undecodable: int | None = None
    published: int | None = None
    duplicates_rejected: int | None = None
    publish_failed: int | None = None
    publish_unknown: int | None = None
    stored: int | None = None
    owed: int | None = None
    delivered: int | None = None
    expired_unread: int | None = None
    pending_at_end: int | None = None
    lost: int | None = None
    redelivered: int | None = None
    duplicate_deliveries: int | None = None
    unexplained: int | None = None
    disagreements: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, int | None]:
        """Return the ledger of summary.json."""
        figures = asdict(self)
        del figures["disagreements"]
        return figures


class Disagreements:
    """Adds up what does not fit, by kind, with an example of each."""

    def __init__(self) -> None:
        self.total = 0
        self._kinds: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)

    def note(self, amount: int, kind: str, example: str) -> None:
        """Note a disagreement about `amount` events; 0 is none."""
        if amount:
            self.total += abs(amount)
            self._kinds[kind].append((abs(amount), example))

    def sentences(self) -> list[str]:
        """One sentence a kind, with the largest of its examples."""
        sentences = []
        for kind, cases in self._kinds.items():
            worst = max(cases)[1]
            others = f" (and {len(cases) - 1} more such)" if len(cases) > 1 else ""
            sentences.append(f"{kind}: {sum(amount for amount, _ in cases)}; {worst}{others}")
        return sentences


class OwedSeqs:
    """The stream sequences that one durable is owed: all up to `last`, or the listed ones."""

    def __init__(self, last: int, listed: Sequence[int] | None = None) -> None:
        self._last = last
        self._listed = listed

    def count(self, first: int, last: int) -> int:
        """How many of them lie in [first, last]."""
        if last < first:
            return 0
        if self._listed is None:
            return max(0, min(last, self._last) - max(first, 1) + 1)
        return bisect_right(self._listed, last) - bisect_left(self._listed, first)


@dataclass
class DurableAccount:
    """One durable's side of the ledger; `received` counts repeats too."""

    owed: int = 0
    delivered: int = 0
    expired_unread: int = 0
    pending_at_end: int = 0
    lost: int = 0
    received: int = 0


@dataclass(frozen=True)
class Gap:
    """Stream sequences that were not received at first, and the server's deliveries meanwhile."""

    first: int
    last: int
    holes: int


@dataclass
class Walk:
    """A durable's deliveries, taken apart.

    `new` were received at first delivery, up to `frontier`; `late` are the other sequences
    received: as repeats, so that a first delivery went before.
    """

    gaps: list[Gap] = field(default_factory=list)
    late: IntervalSet = field(default_factory=IntervalSet)
    new: int = 0
    received: int = 0
    overlapping: int = 0
    frontier: int = 0
    next_consumer_seq: int = 1
    holes: int = 0

    def take(self, consumer_seq: int, stream_seq: int, count: int, *, repeated: bool) -> None:
        """Go on by one run; runs come in the order of their consumer sequence."""
        self.received += count
        if consumer_seq < self.next_consumer_seq:
            self.overlapping += min(count, self.next_consumer_seq - consumer_seq)
        else:
            self.holes += consumer_seq - self.next_consumer_seq
        self.next_consumer_seq = max(self.next_consumer_seq, consumer_seq + count)
        last = stream_seq + count - 1
        if repeated or last <= self.frontier:
            self.late.add_range(stream_seq, last)
            return
        if stream_seq <= self.frontier:
            self.late.add_range(stream_seq, self.frontier)
            stream_seq = self.frontier + 1
        self.advance(stream_seq)
        self.new += last - stream_seq + 1
        self.frontier = last

    def advance(self, stream_seq: int) -> None:
        """Close the gap before a stream sequence that is delivered for the first time."""
        if stream_seq > self.frontier + 1 or self.holes:
            self.gaps.append(Gap(self.frontier + 1, stream_seq - 1, self.holes))
            self.holes = 0

    @property
    def reached(self) -> int:
        """The highest stream sequence received."""
        return max(self.frontier, self.late.last or 0)

    def distinct(self) -> int:
        """How many messages were received, before the last gap is closed."""
        filled = sum(self.late.count_within(gap.first, gap.last) for gap in self.gaps)
        return self.new + filled + self.late.count_within(self.frontier + 1, self.reached)


Run = tuple[int, int, int, bool]


def split_repeats(log: ConsumerDeliveries) -> Iterator[Run]:
    """Iterate over a log's runs as (consumer sequence, stream sequence, count, repeated)."""
    repeats = sorted(log.repeats)
    for _, stream_seq, consumer_seq, count in log.runs:
        ahead = stream_seq - consumer_seq
        first, end = consumer_seq, consumer_seq + count
        for repeat in repeats[bisect_left(repeats, first) : bisect_left(repeats, end)]:
            if repeat > first:
                yield first, first + ahead, repeat - first, False
            yield repeat, repeat + ahead, 1, True
            first = repeat + 1
        if end > first:
            yield first, first + ahead, end - first, False


def account(spec: RunSpec, evidence: Evidence) -> Ledger:
    """Balance a run's ledger."""
    ledger = Ledger()
    disagreements = Disagreements()
    if evidence.shuffler is not None:
        _account_publishing(spec, evidence.relay, evidence.shuffler, ledger, disagreements)
    if evidence.server is not None:
        ledger.stored = evidence.server.stream_before.last_seq
        if evidence.shuffler is not None:
            _check_stored(evidence.shuffler, evidence.server, disagreements)
    if evidence.workers is not None:
        ledger.redelivered = sum(worker.redelivered for worker in evidence.workers)
    if evidence.deliveries is not None:
        _account_deliveries(spec, evidence, ledger, disagreements)
    if ledger.offered is not None and ledger.owed is not None:
        ledger.unexplained = disagreements.total
    ledger.disagreements = disagreements.sentences()
    return ledger


def _account_publishing(
    spec: RunSpec,
    relay: RelayResult | None,
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
    without_outcome = len(shuffler.read.difference(with_outcome))
    # The error of a frame that is no DAG-CBOR has no sequence number to name.
    undecodable_unnumbered = shuffler.undecodable - len(shuffler.undecodable_seqs)
    if spec.firehose.rate_per_s is None:
        # A foreign relay: what was offered is what was read, so nothing was not read.
        ignored = min(without_outcome, shuffler.ignored)
        seen = len(shuffler.read.union(with_outcome))
        ledger.offered = seen - ignored + undecodable_unnumbered
        ledger.not_read = 0
    elif relay is not None:
        ignored = min(without_outcome, relay.ignored)
        offered = IntervalSet()
        if relay.offered:
            offered.add_range(relay.first_seq, relay.first_seq + relay.offered - 1)
        seen_set = shuffler.read.union(with_outcome)
        unseen = len(offered.difference(seen_set))
        ledger.offered = relay.offered - relay.ignored
        # Among the unseen are frames that are no events, and those without a number.
        ledger.not_read = max(0, unseen - (relay.ignored - ignored) - undecodable_unnumbered)
        disagreements.note(
            len(seen_set.difference(offered)),
            "frames read that the relay did not offer",
            f"the relay offered {relay.first_seq} … {relay.last_seq}, "
            f"the shuffler read {shuffler.read.first} … {shuffler.read.last}",
        )
    else:
        ignored = without_outcome
    ledger.undecodable = shuffler.undecodable
    ledger.published = len(shuffler.published)
    ledger.duplicates_rejected = len(shuffler.duplicates)
    ledger.publish_failed = len(shuffler.failed)
    ledger.publish_unknown = len(shuffler.unknown)
    disagreements.note(
        without_outcome - ignored,
        "frames read without any outcome",
        f"of {len(shuffler.read)} read, {len(with_outcome)} have one",
    )
    if ledger.offered is not None and ledger.not_read is not None:
        accounted = (
            ledger.not_read
            + ledger.undecodable
            + sum(len(outcomes[name]) for name in ("published", "duplicates", "failed", "unknown"))
        )
        disagreements.note(
            ledger.offered - accounted,
            "frames offered without an outcome, or with two",
            f"offered {ledger.offered}, accounted for {accounted}",
        )


def _check_stored(
    shuffler: ShufflerResult, server: ServerFinal, disagreements: Disagreements
) -> None:
    """Compare acknowledged publishes with the stream; unknown ones may have been stored."""
    stored = server.stream_before.last_seq
    # A repeat that came after the server had forgotten the first was stored once more.
    published = len(shuffler.published) + shuffler.stored_twice
    at_most = published + len(shuffler.unknown)
    disagreements.note(
        _distance(stored, published, at_most),
        "messages stored other than published",
        f"the server's last sequence is {stored}, the shuffler's publishes {published}"
        + (f" to {at_most}" if at_most > published else ""),
    )
    disagreements.note(
        server.stream_after.last_seq - stored,
        "messages stored after the run's end",
        f"last sequence {stored}, then {server.stream_after.last_seq}",
    )
    relay_seqs = IntervalSet()
    stream_seqs = IntervalSet()
    mapped = 0
    for relay_seq, stream_seq, count in shuffler.stream_seqs:
        mapped += count
        relay_seqs.add_range(relay_seq, relay_seq + count - 1)
        stream_seqs.add_range(stream_seq, stream_seq + count - 1)
    missing = len(shuffler.published.difference(relay_seqs))
    foreign = len(relay_seqs.difference(shuffler.published))
    disagreements.note(
        missing + foreign + (mapped - len(stream_seqs)),
        "publishes whose place in the stream does not fit",
        f"{missing} published without one, {foreign} placed but not published, "
        f"{mapped - len(stream_seqs)} places taken twice",
    )
    beyond = 0 if stream_seqs.last is None else max(0, stream_seqs.last - stored)
    disagreements.note(
        beyond,
        "publishes acknowledged beyond the stream's end",
        f"acknowledged up to {stream_seqs.last}, the stream ends at {stored}",
    )


def _account_deliveries(
    spec: RunSpec, evidence: Evidence, ledger: Ledger, disagreements: Disagreements
) -> None:
    deliveries = evidence.deliveries or []
    runs: dict[str, list[Run]] = {
        spec.durable_of(index): [] for index in range(spec.consumers.count)
    }
    for log in deliveries:
        runs.setdefault(log.durable, []).extend(split_repeats(log))
    received = 0
    delivered = 0
    walks: dict[str, Walk] = {}
    for durable, durable_runs in runs.items():
        walk = walks[durable] = Walk()
        for consumer_seq, stream_seq, count, repeated in sorted(durable_runs):
            walk.take(consumer_seq, stream_seq, count, repeated=repeated)
        received += walk.received
        delivered += walk.distinct()
        if not spec.stream.replicas > 1:
            disagreements.note(
                walk.overlapping, "deliveries received twice over under one number", durable
            )
    ledger.delivered = delivered
    ledger.duplicate_deliveries = received - delivered
    if evidence.workers is not None:
        processed = sum(worker.processed for worker in evidence.workers)
        disagreements.note(
            processed - received,
            "deliveries counted other than logged",
            f"the consumers counted {processed}, their logs hold {received}",
        )
    server = evidence.server
    owed = _owed_by_durable(spec, evidence, list(runs), disagreements)
    if server is None or owed is None:
        return
    had_trouble = any(
        worker.connections["reconnects"] or worker.fetches["client_timeout"]
        for worker in evidence.workers or ()
    )
    accounts = []
    for durable, walk in walks.items():
        state = server.durables.get(durable)
        if state is None:
            disagreements.note(
                max(1, owed[durable].count(1, server.stream_before.last_seq)),
                "messages owed to durables that the server does not have at the end",
                durable,
            )
            accounts.append(DurableAccount(owed=owed[durable].count(1, ledger.stored or 0)))
            continue
        accounts.append(
            account_durable(
                walk,
                owed[durable],
                state,
                server,
                disagreements,
                had_trouble=had_trouble,
                may_forget=spec.stream.replicas > 1,
            )
        )
    ledger.owed = sum(one.owed for one in accounts)
    ledger.expired_unread = sum(one.expired_unread for one in accounts)
    ledger.pending_at_end = sum(one.pending_at_end for one in accounts)
    ledger.lost = sum(one.lost for one in accounts)


def account_durable(
    walk: Walk,
    owed: OwedSeqs,
    state: DurableState,
    server: ServerFinal,
    disagreements: Disagreements,
    *,
    had_trouble: bool,
    may_forget: bool = False,
) -> DurableAccount:
    """Close one durable's walk with the server's figures and name every message it was owed.

    The account is as of the server's first look at the stream, before its consumers' `state`.
    `had_trouble`: connections broke, or pulls went unanswered, so repeats may have been lost too.
    `may_forget`: the server's part is replicated, and a new leader may be behind the one before.
    """
    name = state.name
    last_seq = server.stream_before.last_seq
    first_seq = max(1, server.stream_before.first_seq)
    reached = max(walk.reached, state.delivered_stream_seq)
    forgotten = max(0, walk.reached - state.delivered_stream_seq) + max(
        0, walk.next_consumer_seq - 1 - state.delivered_consumer_seq
    )
    disagreements.note(
        max(0, reached - server.stream_after.last_seq) + (0 if may_forget else forgotten),
        "deliveries beyond what the server delivered, or has",
        f"{name} received up to stream sequence {walk.reached} and consumer sequence "
        f"{walk.next_consumer_seq - 1}, the server delivered up to {state.delivered_stream_seq} "
        f"and {state.delivered_consumer_seq}, of {last_seq} stored",
    )
    received_owed = walk.distinct()
    walk.holes += max(0, state.delivered_consumer_seq + 1 - walk.next_consumer_seq)
    walk.advance(reached + 1)
    account = DurableAccount(
        owed=owed.count(1, last_seq),
        delivered=received_owed,
        expired_unread=owed.count(reached + 1, first_seq - 1),
        pending_at_end=owed.count(max(first_seq, reached + 1), last_seq),
        received=walk.received,
    )
    pending_after = state.delivered_stream_seq if may_forget else reached
    _check_num_pending(pending_after, owed, state, server, disagreements)
    redeliverable = 0
    passed_over = 0
    redelivery_holes = 0
    for gap in walk.gaps:
        size = owed.count(gap.first, gap.last)
        made = min(gap.holes, size)
        redelivery_holes += gap.holes - made
        filled = walk.late.count_within(gap.first, gap.last)
        alive_from = max(gap.first, first_seq)
        alive = owed.count(alive_from, gap.last) - walk.late.count_within(alive_from, gap.last)
        disagreements.note(
            max(0, filled - made),
            "messages delivered again without a first delivery",
            f"{name}, {gap.first} … {gap.last}",
        )
        unreceived = max(0, made - filled)
        again = min(alive, unreceived)
        redeliverable += again
        passed_over += alive - again
        account.lost += unreceived - again
        account.expired_unread += size - filled - alive - (unreceived - again)
    account.pending_at_end += redeliverable
    disagreements.note(
        passed_over,
        "messages that the server passed over although they are stored",
        f"{name}, delivered up to {reached}, first stored {first_seq}",
    )
    disagreements.note(
        max(0, redeliverable - state.num_ack_pending),
        "deliveries that nobody received and the server takes as acknowledged",
        f"{name}: {redeliverable} not received, the server waits for {state.num_ack_pending}",
    )
    may_repeat = state.num_ack_pending or state.num_redelivered or account.lost or len(walk.late)
    if not may_repeat and not had_trouble:
        disagreements.note(
            redelivery_holes,
            "deliveries by the server's count that nothing else shows",
            f"{name}: the server made {state.delivered_consumer_seq}, received {walk.received}",
        )
    named = account.delivered + account.expired_unread + account.pending_at_end + account.lost
    disagreements.note(
        account.owed - named - passed_over,
        "messages owed without an outcome, or with two",
        f"{name}: owed {account.owed}, accounted for {named}",
    )
    return account


def _check_num_pending(
    reached: int,
    owed: OwedSeqs,
    state: DurableState,
    server: ServerFinal,
    disagreements: Disagreements,
) -> None:
    # Messages may have expired between the looks at the stream, the consumers, the stream again.
    before, after = server.stream_before, server.stream_after
    at_least = owed.count(max(after.first_seq, reached + 1), before.last_seq)
    at_most = owed.count(max(before.first_seq, reached + 1), after.last_seq)
    disagreements.note(
        _distance(state.num_pending, at_least, at_most),
        "messages pending by the server's count other than by its sequences",
        f"{state.name}: num_pending is {state.num_pending}, the sequences make it {at_least}"
        + (f" to {at_most}" if at_most > at_least else ""),
    )


def _owed_by_durable(
    spec: RunSpec, evidence: Evidence, durables: list[str], disagreements: Disagreements
) -> dict[str, OwedSeqs] | None:
    """Return who is owed what; None where that is not known."""
    if evidence.server is None:
        return None
    stored = evidence.server.stream_before.last_seq
    if not spec.consumers.partitions:
        return {durable: OwedSeqs(stored) for durable in durables}
    if evidence.partitions is None:
        return None
    listed: list[list[int]] = [[] for _ in range(spec.consumers.partitions)]
    for stream_seq, partition in enumerate(evidence.partitions[:stored], 1):
        if partition != NO_PARTITION and partition < len(listed):
            listed[partition].append(stream_seq)
    assigned = sum(len(seqs) for seqs in listed)
    disagreements.note(
        stored - assigned,
        "messages stored whose partition is not known",
        f"{assigned} of {stored} have one",
    )
    return {
        spec.durable_of(index): OwedSeqs(stored, listed[index])
        for index in range(spec.consumers.count)
    }


def _union(sets: Iterable[IntervalSet]) -> IntervalSet:
    return IntervalSet(sorted(interval for one in sets for interval in one))


def _distance(value: int, at_least: int, at_most: int) -> int:
    """How far a value lies outside a range."""
    return max(at_least - value, value - at_most, 0)
