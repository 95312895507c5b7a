"""One durable's side of the ledger, read off its deliveries in the order the server made them.

That is the order of their consumer sequence. If the stream sequence jumps from one first delivery
to the next and the consumer sequence goes on by one, the server found the messages between expired.
If the consumer sequence jumps too, the server made deliveries that nobody received: `holes`.
Messages expire from the stream's front, so the holes are the newest of a gap. Those that are
received later, as repeats, are delivered; those still stored at the end are pending, because the
server will deliver them again; the rest is lost. If the deliveries that nobody received were
repeats and other messages expired at the same time, nothing tells the two apart: they count as
lost, the worse.

The new leader of a replicated durable may not know of the last deliveries of the one before, which
were sent before the servers had agreed on them. It makes them again under the same consumer
sequences, and they are repeats; or nobody has pulled since, and it counts as pending what was
received. If the stream has replicas, neither is a disagreement. A server that was killed, and came
back with its stream, forgets in the same way; its lives are told apart.

If a consumer's process was killed, its last deliveries are not logged. The server knows which of
them were acknowledged: they were received. Those that it waits for are pending; those that have
left the stream may have been received or not, and count as lost, the worse.

If nothing is acknowledged, or an ack covers all messages before it, a message that nobody received
may never be delivered again: it is lost at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fpaas.ledger import server_checks
from fpaas.ledger.deliveries import Answered, DurableCase, Gap, OwedSeqs, Walk
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.records.nats import StreamState
from fpaas.spec import acks

#: Causes of loss: delivered to nobody, and expired before it was delivered again …
NOT_RECEIVED = "not_received"
#: … delivered to nobody, and never again: nothing waited for its ack, or a later ack was of it …
NOT_REPEATED = "not_repeated"
#: … the same, of a consumer that was killed, which may have received it …
AGENT_DIED = "agent_died"
#: … removed from the stream by somebody, though neither age nor size asked for it …
REMOVED = "removed"
#: … delivered as often as its class allows, and received by nobody …
MAX_DELIVER = "max_deliver"
#: … in a stream that was lost with its server.
STREAM_LOST = "stream_lost"
LOST_CAUSES = (NOT_RECEIVED, NOT_REPEATED, AGENT_DIED, REMOVED, MAX_DELIVER, STREAM_LOST)


@dataclass
class DurableAccount:
    """What became of all that a durable is owed; `received` counts repeats too.

    `unlogged` of the delivered are known from the server alone; `unacked` of them wait for an ack
    by the server's count; `expired_by_size` of the expired left because the stream was full.

    Delivered but never processed: the server gave up `max_deliver_reached`,
    waits to deliver `failed_waiting` again, and had to let `failed_expired` go; consumers were at
    work on `in_process`. If `is_unprocessed_unsure`, there may be later answers that nobody logged.
    """

    owed: int = 0
    delivered: int = 0
    expired_unread: int = 0
    pending_at_end: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    received: int = 0
    unlogged: int = 0
    unacked: int = 0
    expired_by_size: int = 0
    max_deliver_reached: int = 0
    failed_waiting: int = 0
    failed_expired: int = 0
    in_process: int = 0
    is_unprocessed_unsure: bool = False


def account_durable(case: DurableCase, disagreements: Disagreements) -> DurableAccount:
    """Close a durable's walk with the server's figures and name every message it was owed.

    The account is as of the server's first look at the stream, before its consumers.
    """
    walk, owed, state = case.walk, case.owed, case.state
    last_seq = case.server.stream_before.last_seq
    server_checks.check_durable(case, disagreements)
    account = DurableAccount(
        owed=owed.count(1, last_seq), delivered=walk.distinct(), received=walk.received
    )
    reached = max(walk.reached, state.delivered_stream_seq)
    walk.holes += max(0, state.delivered_consumer_seq + 1 - walk.next_consumer_seq)
    walk.advance(reached + 1)
    _account_ahead(case, account, reached + 1, last_seq)
    redeliverable = passed_over = repeats_made = 0
    for gap in walk.gaps:
        again, passed, more = _account_gap(case, gap, account, disagreements)
        redeliverable += again
        passed_over += passed
        repeats_made += more
    _account_unacked(case, account, redeliverable, disagreements)
    disagreements.note(
        passed_over,
        About.PASSED_OVER,
        durable=state.name,
        delivered_stream_seq=reached,
        first_stored=case.first_stored,
    )
    may_repeat = state.num_ack_pending or state.num_redelivered or account.lost.total() or walk.late
    if not may_repeat and not case.had_trouble:
        disagreements.note(
            repeats_made,
            About.DELIVERIES_UNSEEN,
            durable=state.name,
            delivered_consumer_seq=state.delivered_consumer_seq,
            received=walk.received,
        )
    named = account.delivered + account.expired_unread + account.pending_at_end
    named += account.lost.total()
    disagreements.note(
        account.owed - named - passed_over,
        About.OWED_OUTCOMES,
        durable=state.name,
        owed=account.owed,
        accounted=named,
    )
    return account


def _account_ahead(case: DurableCase, account: DurableAccount, first: int, last: int) -> None:
    """Account for what the server has not delivered: expired, removed, or pending."""
    owed, removals = case.owed, case.removals
    stored = max(case.first_stored, first)
    removed = owed.count_in(removals.by_hand, first, last)
    removed_stored = owed.count_in(removals.by_hand, stored, last)
    account.lost[REMOVED] += removed
    account.pending_at_end += owed.count(stored, last) - removed_stored
    account.expired_unread += owed.count(first, stored - 1) - (removed - removed_stored)
    account.expired_by_size += owed.count_in(removals.by_size, first, stored - 1)


def _account_gap(
    case: DurableCase, gap: Gap, account: DurableAccount, disagreements: Disagreements
) -> tuple[int, int, int]:
    """Account for a gap.

    Returns what of it the server will deliver again, what it passed over although it is stored, and
    the deliveries it made beyond one for each.
    """
    walk, owed, removed = case.walk, case.owed, case.removals.by_hand
    if gap.last < case.first_stored and not (gap.holes or walk.late or case.removals):
        # Most gaps are like this: all of it expired before a poll took it.
        account.expired_unread += owed.count(gap.first, gap.last)
        return 0, 0, 0
    alive_from = max(gap.first, case.first_stored)
    filled = walk.late.count_within(gap.first, gap.last)
    gone = owed.count_in(removed, gap.first, gap.last)
    alive = _unreceived(case, alive_from, gap.last)
    if gone and filled:
        # Received, and removed only then.
        gone -= walk.late.intersection(removed).count_within(gap.first, gap.last)
    size = owed.count(gap.first, gap.last) - gone
    made = min(gap.holes, size)
    disagreements.note(
        max(0, filled - made),
        About.REPEAT_WITHOUT_FIRST,
        durable=case.state.name,
        first=gap.first,
        last=gap.last,
    )
    unreceived = max(0, made - filled)
    again = min(alive, unreceived)
    expired = size - filled - alive - (unreceived - again)
    account.lost[REMOVED] += gone
    unsent_again = NOT_REPEATED if case.ack == acks.NONE else NOT_RECEIVED
    account.lost[AGENT_DIED if case.was_killed else unsent_again] += unreceived - again
    account.expired_unread += expired
    if expired > 0 and case.removals.by_size:
        until = owed.nth(gap.first, expired + gone)
        account.expired_by_size += owed.count_in(case.removals.by_size, gap.first, until)
    passed = alive - again
    if case.may_forget:
        # Deliveries that it has forgotten will be first deliveries again.
        unsent_from = max(alive_from, case.state.delivered_stream_seq + 1)
        unsent = owed.count(unsent_from, gap.last) - walk.late.count_within(unsent_from, gap.last)
        unsent = min(again, unsent - owed.count_in(removed, unsent_from, gap.last))
        account.pending_at_end += unsent
        again -= unsent
    return again, passed, gap.holes - made


def _unreceived(case: DurableCase, first: int, last: int) -> int:
    """Count what of a range in a gap nobody received, and nobody removed."""
    late, removed = case.walk.late, case.removals.by_hand
    count = case.owed.count(first, last) - late.count_within(first, last)
    gone = case.owed.count_in(removed, first, last)
    if gone and late:
        gone -= late.intersection(removed).count_within(first, last)
    return count - gone


def _acked_by_another(case: DurableCase) -> int:
    """Count what nobody received, is stored, and an ack of all before it acked."""
    floor = case.state.ack_floor_stream_seq if case.ack == acks.ALL else 0
    return sum(
        _unreceived(case, max(gap.first, case.first_stored), min(gap.last, floor))
        for gap in case.walk.gaps
        if max(gap.first, case.first_stored) <= floor
    )


def _account_unacked(
    case: DurableCase,
    account: DurableAccount,
    redeliverable: int,
    disagreements: Disagreements,
) -> None:
    """Compare what was not received, and is stored, with what the server waits for."""
    waiting = case.state.num_ack_pending
    acked_unseen = max(0, redeliverable - waiting, min(redeliverable, _acked_by_another(case)))
    if case.ack == acks.NONE or (case.ack == acks.ALL and (case.had_trouble or case.was_killed)):
        # Whether a message that another's ack covered was received, nobody knows.
        account.lost[AGENT_DIED if case.was_killed else NOT_REPEATED] += acked_unseen
        redeliverable -= acked_unseen
    elif case.was_killed:
        account.unlogged = acked_unseen
        account.delivered += acked_unseen
        redeliverable -= acked_unseen
    elif case.max_deliver and case.had_trouble:
        # The server delivered it as often as it may, and waits no longer.
        account.lost[MAX_DELIVER] += acked_unseen
        redeliverable -= acked_unseen
    else:
        disagreements.note(
            acked_unseen,
            About.NUM_ACK_PENDING,
            durable=case.state.name,
            not_received=redeliverable,
            num_ack_pending=waiting,
        )
    account.pending_at_end += redeliverable
    unacked = max(0, waiting - redeliverable)
    if case.answered is not None:
        unacked = _account_unprocessed(case, case.answered, account, unacked, disagreements)
    account.unacked = min(unacked, account.delivered)


def _account_unprocessed(
    case: DurableCase,
    answered: Answered,
    account: DurableAccount,
    waiting: int,
    disagreements: Disagreements,
) -> int:
    """Account for what was received and never processed; the server waits for `waiting` received.

    Returns how many of these were answered. What the server will not deliver again it may still
    wait for: it finds out when it would deliver it.
    """
    after = case.server.stream_after.first_seq
    may_wait = must_wait = 0
    for seq, number in (*answered.failed.items(), *answered.in_process.items()):
        is_stored = seq >= case.first_stored and seq not in case.removals.by_hand
        is_last = 0 < case.max_deliver <= number
        may_wait += is_stored
        must_wait += is_stored and not is_last and seq >= after
        if seq in answered.in_process:
            account.in_process += 1
        elif is_last:
            account.max_deliver_reached += 1
        elif is_stored:
            account.failed_waiting += 1
        else:
            account.failed_expired += 1
    account.is_unprocessed_unsure = case.was_killed
    forgotten = max(0, must_wait - waiting)
    if case.max_deliver and case.had_trouble:
        # Its last deliveries were received by nobody.
        given_up = min(forgotten, account.failed_waiting)
        account.max_deliver_reached += given_up
        account.failed_waiting -= given_up
    elif not (case.was_killed or case.may_forget):
        disagreements.note(
            forgotten,
            About.FAILED_NOT_WAITING,
            durable=case.state.name,
            failed=must_wait,
            num_ack_pending=case.state.num_ack_pending,
        )
    return max(0, waiting - may_wait)


def account_without_server(walk: Walk, owed: OwedSeqs, lost: StreamState) -> DurableAccount:
    """Account for a durable that was lost with its stream, as it was seen last.

    What the stream held then and nobody had received is lost with it.
    """
    first_seq, last_seq = max(1, lost.first_seq), lost.last_seq
    account = DurableAccount(
        owed=owed.count(1, last_seq), delivered=walk.distinct(), received=walk.received
    )
    walk.advance(last_seq + 1)
    for gap in walk.gaps:
        filled = walk.late.count_within(gap.first, gap.last)
        alive_from = max(gap.first, first_seq)
        alive = owed.count(alive_from, gap.last) - walk.late.count_within(alive_from, gap.last)
        gone = owed.count(gap.first, gap.last) - filled - alive
        unreceived = min(gone, max(0, gap.holes - filled))
        account.lost[STREAM_LOST] += alive
        account.lost[NOT_RECEIVED] += unreceived
        account.expired_unread += gone - unreceived
    return account
