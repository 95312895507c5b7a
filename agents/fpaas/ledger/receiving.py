"""The second identity: what became of each delivery that consumers were owed.

owed = delivered + expired_unread + pending_at_end + lost
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fpaas.bundle.parts import ServerFinal
from fpaas.ledger import account_checks
from fpaas.ledger.answered import answered_by_durable, answered_wrongly, terminated_of
from fpaas.ledger.deliveries import Answered, DurableCase, OwedSeqs, Walk, received_of
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.ledger.durable_account import (
    LOST_CAUSES,
    STREAM_LOST,
    DurableAccount,
    account_durable,
    account_without_server,
)
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.ledger.lost_streams import CAUSES as LOST_STREAM_CAUSES
from fpaas.ledger.lost_streams import Streams, leave_out, why_lost
from fpaas.ledger.owed import owed_by_durable
from fpaas.ledger.removals import Removals
from fpaas.ledger.walks import walks_of
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.measures.intervals import IntervalSet
from fpaas.records.accounts import LedgerFigures
from fpaas.spec import RunSpec, acks
from fpaas.spec.mix import ConsumerClass


def account_deliveries(
    spec: RunSpec,
    evidence: Evidence,
    streams: Streams,
    ledger: Ledger,
    disagreements: Disagreements,
) -> None:
    """Balance `owed`: what became of each delivery."""
    walks_by_stream = [
        walks_of(spec, one, one.deliveries or (), _durables_of(spec, number), disagreements)
        for number, one in enumerate(evidence.streams)
    ]
    lost_walks = [
        walks_of(spec, evidence, one.deliveries or (), _durables_of(spec, 0), disagreements)
        for one in streams.lost
    ]
    every_walk = [walk for one in (*lost_walks, *walks_by_stream) for walk in one.values()]
    received = sum(walk.received for walk in every_walk)
    ledger.delivered = sum(walk.distinct() for walk in every_walk)
    ledger.duplicate_deliveries = received - ledger.delivered
    if ledger.redelivered is not None:
        ledger.redelivered += sum(walk.made_again for walk in every_walk)
    _check_counts(spec, evidence, received, disagreements)
    lost_owed = [
        owed_by_durable(spec, one.state.last_seq, one, list(walks_by_stream[0]), disagreements)
        for one in streams.lost
    ]
    found = [
        _account_stream(spec, one, walks, disagreements)
        for one, walks in zip(evidence.streams, walks_by_stream, strict=True)
    ]
    known = [one for one in found if one is not None]
    if len(known) < len(found) or any(one is None for one in lost_owed):
        return
    accounts = [item for by_durable, _ in known for item in by_durable.items()]
    if streams.lost:
        # Then there is one at a time.
        [(by_durable, owed)] = known
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
    if evidence.lost or evidence.server is None:
        # Nobody knows what became of failed messages that went with a stream.
        leaving = _leaving_unprocessed(spec)
        for durable, of_durable in accounts:
            of_durable.is_unprocessed_unsure = durable in leaving
    _account_classes(spec, evidence, accounts, ledger)
    _add_up(spec, evidence, [one for _, one in accounts], received, ledger)


def _durables_of(spec: RunSpec, stream: int) -> list[str]:
    """Return the durables of a stream, each once."""
    indices = range(stream, spec.consumers.count, spec.stream.count)
    return list(dict.fromkeys(map(spec.durable_of, indices)))


def _account_stream(
    spec: RunSpec, evidence: Evidence, walks: dict[str, Walk], disagreements: Disagreements
) -> tuple[dict[str, DurableAccount], dict[str, OwedSeqs]] | None:
    """Account for a stream's durables, and return what each is owed; None if that is not known."""
    last = evidence.server.stream_before if evidence.server else evidence.lost_stream
    if last is None:
        return None
    owed = owed_by_durable(spec, last.last_seq, evidence, list(walks), disagreements)
    if owed is None:
        return None
    if evidence.server is None:
        return {
            durable: account_without_server(walk, owed[durable], last)
            for durable, walk in walks.items()
        }, owed
    by_durable = {
        durable: account_durable(case, disagreements)
        for durable, case in _cases(spec, evidence, evidence.server, walks, owed)
    }
    by_durable |= _account_missing(evidence, evidence.server, walks, owed, disagreements)
    return by_durable, owed


def _check_counts(
    spec: RunSpec, evidence: Evidence, received: int, disagreements: Disagreements
) -> None:
    """Hold what workers counted against what they logged."""
    workers = evidence.workers or ()
    if evidence.workers is None or not all(worker.complete for worker in workers):
        return
    processed = sum(worker.processed for worker in workers)
    disagreements.note(
        processed - received,
        About.DELIVERIES_COUNTED,
        counted=processed,
        logged=received,
    )
    # Consumers that another life of their worker went on with are of two accounts.
    if sum(worker.count for worker in workers) == spec.consumers.count:
        fetched = {log.consumer_index for log in _all_logs(evidence) if log.runs}
        counted = sum(worker.consumers_never_fetched for worker in workers)
        logged = spec.consumers.count - len(fetched)
        disagreements.note(
            counted - logged, About.NEVER_FETCHED_COUNTED, counted=counted, logged=logged
        )
    for worker in workers:
        account_checks.check_pulls(worker, disagreements)
    answered_wrongly(spec, workers, _all_logs(evidence), processed, disagreements)


def _account_classes(
    spec: RunSpec,
    evidence: Evidence,
    accounts: list[tuple[str, DurableAccount]],
    ledger: Ledger,
) -> None:
    """Balance each class of a mix, and what was terminated."""
    members: list[set[str]] = [set() for _ in spec.consumers.classes]
    for index in range(spec.consumers.count if members else 0):
        members[spec.class_of(index)].add(spec.durable_of(index))
    for one, own_durables in zip(spec.consumers.classes, members, strict=True):
        of_class = ledger.by_class[one.name] = LedgerFigures()
        of_class.terminated = _terminated(one, own_durables, evidence)
        own = [account for durable, account in accounts if durable in own_durables]
        received = sum(account.received for account in own)
        _add_up(spec, evidence, own, received, of_class)
        unlogged = sum(account.unlogged for account in own)
        of_class.duplicate_deliveries = received - ((of_class.delivered or 0) - unlogged)
        of_class.redelivered = sum(
            # A number below 0 marks the end of a connection's life.
            sum(repeat >= 0 for repeat in log.repeats)
            for log in _all_logs(evidence)
            if log.durable in own_durables
        )
    ledger.terminated = sum(one.terminated or 0 for one in ledger.by_class.values())


def _all_logs(evidence: Evidence) -> Iterator[ConsumerDeliveries]:
    for deliveries in (evidence.deliveries, *(lost.deliveries for lost in evidence.lost)):
        yield from deliveries or ()


def _leaving_unprocessed(spec: RunSpec) -> dict[str, int]:
    """Return who may leave messages unprocessed, with how often they are delivered at most."""
    classes = spec.consumers.classes
    return {
        spec.durable_of(index): classes[spec.class_of(index)].max_deliver
        for index in range(spec.consumers.count if classes else 0)
        if classes[spec.class_of(index)].leaves_unprocessed
    }


def _terminated(one: ConsumerClass, durables: set[str], evidence: Evidence) -> int:
    """Count messages that a class received and terminated, each once for each of its durables."""
    if not one.terminate_pct:
        return 0
    return sum(
        terminated_of(one, [log for log in deliveries or () if log.durable in durables])
        for deliveries in (evidence.deliveries, *(lost.deliveries for lost in evidence.lost))
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
    spec: RunSpec,
    evidence: Evidence,
    accounts: list[DurableAccount],
    received: int,
    ledger: LedgerFigures,
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
    if evidence.server is not None and spec.consumers.ack != acks.NONE:
        ledger.unacked = sum(one.unacked for one in accounts)
        if any(one.is_unprocessed_unsure for one in accounts):
            return
        waiting = sum(one.failed_waiting for one in accounts)
        expired = sum(one.failed_expired for one in accounts)
        ledger.max_deliver_reached = sum(one.max_deliver_reached for one in accounts)
        ledger.failed = waiting + expired
        ledger.failed_by_cause = {"waiting": waiting, "expired": expired}
        ledger.in_process = sum(one.in_process for one in accounts)
        # Whether those that the server waits for, or that nobody logged, were terminated is not
        # known.
        is_known = not (ledger.unacked or any(one.unlogged for one in accounts))
        if is_known or not ledger.terminated:
            others = (ledger.terminated or 0) + ledger.max_deliver_reached + ledger.failed
            ledger.acked = ledger.delivered - ledger.unacked - others - ledger.in_process


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
    answered = answered_by_durable(spec, evidence.deliveries or ())
    leaving = _leaving_unprocessed(spec)
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
                answered=answered.get(durable, Answered()) if durable in leaving else None,
                max_deliver=leaving.get(durable, 0),
                ack=spec.consumers.ack,
            )
            yield durable, case


def _account_missing(
    evidence: Evidence,
    server: ServerFinal,
    walks: dict[str, Walk],
    owed: dict[str, OwedSeqs],
    disagreements: Disagreements,
) -> dict[str, DurableAccount]:
    """Account for durables that the server does not have at the end."""
    accounts = {}
    for durable, walk in walks.items():
        if durable not in server.durables and durable not in evidence.never_joined:
            count = owed[durable].count(1, server.stream_before.last_seq)
            disagreements.note(max(1, count), About.DURABLE_MISSING, durable=durable)
            accounts[durable] = DurableAccount(owed=count, delivered=walk.distinct())
    return accounts
