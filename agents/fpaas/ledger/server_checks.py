"""The account against the server's own figures, each named as the server names it.

Figures of the JetStream API after the run (`probe.final.json`) and of /jsz during it
(`probe.nats.jsonl`): last_seq, messages, num_deleted and consumer_count of the stream; delivered,
ack_floor, num_pending and num_ack_pending of each consumer. A disagreement is part of
`unexplained`, which makes a run invalid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fpaas.bundle.parts import ServerFinal
from fpaas.ledger.disagreements import About, Disagreements, distance
from fpaas.measures.intervals import IntervalSet
from fpaas.records.nats import NatsSample, StreamState
from fpaas.records.shuffler import ShufflerResult

if TYPE_CHECKING:
    from fpaas.ledger.deliveries import DurableCase

#: Of how many messages that it has removed the server may not have told a consumer yet; one was
#: seen, of half of 50 durables.
UNHEARD_OF_MAX = 10


def check_stream(
    server: ServerFinal, samples: Iterable[NatsSample], disagreements: Disagreements
) -> None:
    """Compare the stream's figures with each other, and with those that /jsz had during the run."""
    stream, after = server.stream_before, server.stream_after
    disagreements.note(
        after.last_seq - stream.last_seq,
        About.STORED_AFTER_END,
        before=stream.last_seq,
        after=after.last_seq,
    )
    look = max((stream, after), key=lambda one: abs(_uncounted(one)))
    disagreements.note(
        _uncounted(look),
        About.STREAM_MESSAGES,
        messages=look.messages,
        first_seq=look.first_seq,
        last_seq=look.last_seq,
        num_deleted=look.num_deleted,
    )
    seen = max((sample.stream.last_seq for sample in samples if sample.stream), default=0)
    disagreements.note(
        max(0, seen - stream.last_seq),
        About.STREAM_SEEN_BY_JSZ,
        jsz=seen,
        api=stream.last_seq,
    )


def _uncounted(stream: StreamState) -> int:
    """Return by how much a stream's count differs from its sequences."""
    # A stream that never had a message has no first one, 0.
    spanned = stream.last_seq - max(stream.first_seq, 1) + 1 - stream.num_deleted
    return stream.messages - max(0, spanned) if stream.messages or spanned > 0 else 0


def check_consumers(server: ServerFinal, disagreements: Disagreements) -> None:
    """Compare how many consumers the stream has, or all of several, with the list of them."""
    count = server.stream_before.consumer_count
    disagreements.note(
        count - len(server.durables),
        About.STREAM_CONSUMERS,
        consumer_count=count,
        listed=len(server.durables),
    )


def note_stored(
    stored: int, published: int, shuffler: ShufflerResult, disagreements: Disagreements
) -> None:
    """Hold what a stream stored against what was acknowledged; unknown ones may be in it, too."""
    at_most = published + shuffler.unknown.total
    disagreements.note(
        distance(stored, published, at_most),
        About.STORED_PUBLISHED,
        last_seq=stored,
        foreign=shuffler.foreign,
        at_least=published,
        at_most=at_most,
    )


def note_beyond(acked: int | None, stored: int, disagreements: Disagreements) -> None:
    """Hold a stream's end against the highest place that was acknowledged."""
    disagreements.note(
        0 if acked is None else max(0, acked - stored),
        About.ACKED_BEYOND_END,
        acked=acked,
        last_seq=stored,
    )


def check_stored(
    shuffler: ShufflerResult, server: ServerFinal, disagreements: Disagreements
) -> None:
    """Compare acknowledged publishes with the stream; unknown ones may have been stored."""
    stored = server.stream_before.last_seq
    # A repeat that came after the server had forgotten the first was stored once more.
    published = shuffler.published.total + shuffler.stored_twice
    if shuffler.lost_streams:
        # This stream has only what was published into it.
        published = sum(count for _, _, count in shuffler.stream_seqs) + shuffler.copy_seqs.total
    if shuffler.complete:
        note_stored(stored, published, shuffler, disagreements)
    relay_seqs = IntervalSet()
    stream_seqs = IntervalSet(shuffler.copy_seqs)
    mapped = shuffler.copy_seqs.total
    for relay_seq, stream_seq, count in shuffler.stream_seqs:
        mapped += count
        relay_seqs.add_range(relay_seq, relay_seq + count - 1)
        stream_seqs.add_range(stream_seq, stream_seq + count - 1)
    for lost in shuffler.lost_streams:
        for relay_seq, _, count in lost.stream_seqs:
            relay_seqs.add_range(relay_seq, relay_seq + count - 1)
    missing = shuffler.published.difference(relay_seqs).total
    foreign_seqs = relay_seqs.difference(shuffler.published).total
    disagreements.note(
        missing + foreign_seqs + (mapped - stream_seqs.total),
        About.STREAM_PLACES,
        without=missing,
        unpublished=foreign_seqs,
        twice=mapped - stream_seqs.total,
    )
    note_beyond(stream_seqs.last, stored, disagreements)


def check_durable(case: DurableCase, disagreements: Disagreements) -> None:
    """Compare a durable's figures with its deliveries, before the last gap is closed."""
    walk, state, server = case.walk, case.state, case.server
    reached = max(walk.reached, state.delivered_stream_seq)
    forgotten = max(0, walk.reached - state.delivered_stream_seq) + max(
        0, walk.next_consumer_seq - 1 - state.delivered_consumer_seq
    )
    disagreements.note(
        max(0, reached - server.stream_after.last_seq) + (0 if case.may_forget else forgotten),
        About.DELIVERED,
        durable=state.name,
        received_stream_seq=walk.reached,
        received_consumer_seq=walk.next_consumer_seq - 1,
        delivered_stream_seq=state.delivered_stream_seq,
        delivered_consumer_seq=state.delivered_consumer_seq,
        stored=server.stream_before.last_seq,
    )
    _check_num_pending(
        case, state.delivered_stream_seq if case.may_forget else reached, disagreements
    )
    if not case.may_forget:
        _check_ack_floor(case, disagreements)


def _check_num_pending(case: DurableCase, reached: int, disagreements: Disagreements) -> None:
    """Compare the server's count of undelivered messages with its sequences.

    While messages expire, nats-server may count one twice that a pull passes over at that moment,
    and num_pending stays short of it (the race that its `checkNumPending` describes;
    https://github.com/nats-io/nats-server/pull/6297): one for each time that the durable passed
    over expired messages. If it is behind all that is stored, looking at it (as we do) makes
    num_pending no more than the stream has, and a message that was just removed counts once more
    when the consumer hears of it (https://github.com/nats-io/nats-server/pull/7758). So much is
    tolerated. The account goes by the sequences.
    """
    # Messages may have expired between the looks at the stream, the consumers, the stream again.
    before, after = case.server.stream_before, case.server.stream_after
    owed, removed, state = case.owed, case.removals.by_hand, case.state

    def pending(first: int, last: int) -> int:
        return owed.count(first, last) - owed.count_in(removed, first, last)

    at_least = pending(max(after.first_seq, reached + 1), before.last_seq)
    at_most = pending(max(before.first_seq, reached + 1), after.last_seq)
    short, skips = at_least - state.num_pending, case.walk.skips(owed)
    is_behind = skips or reached < before.first_seq - 1
    tolerated = skips + (UNHEARD_OF_MAX if is_behind else 0)
    note = disagreements.tolerate if 0 < short <= tolerated else disagreements.note
    note(
        distance(state.num_pending, at_least, at_most),
        About.NUM_PENDING,
        durable=state.name,
        num_pending=state.num_pending,
        at_least=at_least,
        at_most=at_most,
    )


def _check_ack_floor(case: DurableCase, disagreements: Disagreements) -> None:
    """Compare what the server has as acknowledged; every delivery received was answered.

    The floor is the last delivery before which none waits for its ack. It may go on beyond the last
    delivery's stream sequence if the server found nothing to deliver.
    """
    walk, state = case.walk, case.state
    # The floor stays below what it gave up to deliver.
    gives_up = bool(case.max_deliver and case.answered and case.answered.failed)
    made, floor = state.delivered_consumer_seq, state.ack_floor_consumer_seq
    seq, floor_seq = state.delivered_stream_seq, state.ack_floor_stream_seq
    wrong = max(0, floor - made) + max(0, floor_seq - seq)
    if walk.is_plain and made == walk.next_consumer_seq - 1 and not gives_up:
        waiting = state.num_ack_pending
        if not waiting:
            wrong += abs(made - floor) + max(0, walk.frontier - floor_seq)
        else:
            # Received and not acked: the floor must be below.
            wrong += max(0, floor + waiting - made)
    disagreements.note(
        wrong,
        About.ACK_FLOOR,
        durable=state.name,
        ack_floor_consumer_seq=floor,
        ack_floor_stream_seq=floor_seq,
        delivered_consumer_seq=made,
        delivered_stream_seq=seq,
        num_ack_pending=state.num_ack_pending,
    )
