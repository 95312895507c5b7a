"""The ledger says which figures of a run do not agree, and what it does not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fpaas.ledger.balance import balance
from fpaas.ledger.disagreements import About
from fpaas.ledger.evidence import Evidence
from fpaas.measures.intervals import IntervalSet
from fpaas.records.nats import NatsSample, StreamState
from fpaas.records.relay import RelayResult
from tests.support.healthy_evidence import healthy, with_relay
from tests.support.shuffler_results import FIRST_SEQ, make_shuffler
from tests.support.simulated_stream import (
    fanout,
    figures_of,
    make_spec,
    make_worker,
    replace,
    seqs,
)


def with_durable(evidence: Evidence, name: str, **changes: int) -> Evidence:
    assert evidence.server is not None
    durables = dict(evidence.server.durables)
    durables[name] = replace(durables[name], **changes)
    return replace(evidence, server=replace(evidence.server, durables=durables))


def with_shuffler(evidence: Evidence, **changes: object) -> Evidence:
    return replace(evidence, shuffler=make_shuffler(50, **changes))


SEEN_BY_JSZ = NatsSample(
    unix_ns=0, stream=StreamState(messages=51, bytes=51, first_seq=1, last_seq=51)
)


def with_stream(evidence: Evidence, **changes: int) -> Evidence:
    server = evidence.server
    assert server is not None
    if "messages" not in changes:
        changed = {"first_seq": 1, "last_seq": 50} | changes
        changes["messages"] = changed["last_seq"] - changed["first_seq"] + 1
    stream = replace(server.stream_before, **changes)
    return replace(evidence, server=replace(server, stream_before=stream, stream_after=stream))


def with_stream_after(evidence: Evidence, **changes: int) -> Evidence:
    server = evidence.server
    assert server is not None
    after = replace(server.stream_after, **changes)
    return replace(evidence, server=replace(server, stream_after=after))


def with_runs(evidence: Evidence, runs: list[tuple[int, int, int, int]]) -> Evidence:
    assert evidence.deliveries is not None
    first, *others = evidence.deliveries
    return replace(evidence, deliveries=[replace(first, runs=runs), *others])


CORRUPTIONS: dict[str, Callable[[Evidence], Evidence]] = {
    "relay offered less": lambda e: with_relay(e, offered=49),
    "a publish missing": lambda e: with_shuffler(e, published=seqs(FIRST_SEQ, FIRST_SEQ + 48)),
    "a publish too many": lambda e: with_shuffler(e, published=seqs(FIRST_SEQ, FIRST_SEQ + 50)),
    "two outcomes": lambda e: with_shuffler(e, failed=seqs(FIRST_SEQ, FIRST_SEQ)),
    "undecodable too many": lambda e: with_shuffler(e, undecodable=1),
    "placed short": lambda e: with_shuffler(e, stream_seqs=[(FIRST_SEQ, 1, 49)]),
    "placed beyond": lambda e: with_shuffler(e, stream_seqs=[(FIRST_SEQ, 2, 50)]),
    "placed twice": lambda e: with_shuffler(e, stream_seqs=[(FIRST_SEQ, 1, 50), (FIRST_SEQ, 1, 1)]),
    "stored less": lambda e: with_stream(e, last_seq=49),
    "stored more": lambda e: with_stream(e, last_seq=51),
    "delivered further": lambda e: with_durable(e, "fpaas-00001", delivered_stream_seq=31),
    "delivered to beyond": lambda e: with_durable(e, "fpaas-00000", delivered_stream_seq=51),
    "delivered less": lambda e: with_durable(e, "fpaas-00001", delivered_stream_seq=29),
    "one delivery more": lambda e: with_durable(e, "fpaas-00001", delivered_consumer_seq=31),
    "one delivery less": lambda e: with_durable(e, "fpaas-00001", delivered_consumer_seq=29),
    "pending more": lambda e: with_durable(e, "fpaas-00001", num_pending=21),
    "pending less": lambda e: with_durable(e, "fpaas-00001", num_pending=19),
    "a poll not logged": lambda e: with_runs(e, [(0, 1, 1, 30)]),
    "a poll logged twice": lambda e: with_runs(e, [(0, 1, 1, 30), (0, 1, 1, 30), (0, 31, 31, 20)]),
    "logged elsewhere": lambda e: with_runs(e, [(0, 1, 1, 30), (0, 32, 31, 20)]),
    "counted otherwise": lambda e: replace(e, workers=[make_worker(2, 81)]),
    "acked otherwise": lambda e: replace(e, workers=[make_worker(2, 80, acks=79)]),
    "ack floor below": lambda e: with_durable(e, "fpaas-00001", ack_floor_consumer_seq=29),
    "ack floor above": lambda e: with_durable(e, "fpaas-00001", ack_floor_consumer_seq=31),
    "ack floor's seq below": lambda e: with_durable(e, "fpaas-00001", ack_floor_stream_seq=29),
    "ack floor's seq above": lambda e: with_durable(e, "fpaas-00001", ack_floor_stream_seq=31),
    "waiting for acks": lambda e: with_durable(e, "fpaas-00001", num_ack_pending=1),
    "messages more": lambda e: with_stream(e, messages=51),
    "messages less": lambda e: with_stream(e, messages=49),
    "first further": lambda e: with_stream(e, first_seq=2, messages=50),
    "one deleted": lambda e: with_stream(e, num_deleted=1, messages=50),
    "a consumer more": lambda e: with_stream(e, consumer_count=3),
    "jsz had more": lambda e: replace(e, nats_samples=[SEEN_BY_JSZ]),
    "stored meanwhile": lambda e: with_stream_after(e, last_seq=51),
}
#: The server's own figures, each named by the disagreement that its corruption brings.
NAMED: dict[str, tuple[About, dict[str, object]]] = {
    "stored less": (About.STORED_PUBLISHED, {"last_seq": 49}),
    "stored more": (About.STORED_PUBLISHED, {"last_seq": 51}),
    "delivered further": (About.NUM_PENDING, {"durable": "fpaas-00001"}),
    "one delivery less": (About.DELIVERED, {"delivered_consumer_seq": 29}),
    "pending more": (About.NUM_PENDING, {"num_pending": 21, "at_least": 20}),
    "ack floor below": (About.ACK_FLOOR, {"ack_floor_consumer_seq": 29}),
    "ack floor above": (About.ACK_FLOOR, {"ack_floor_consumer_seq": 31}),
    "ack floor's seq below": (About.ACK_FLOOR, {"ack_floor_stream_seq": 29}),
    "waiting for acks": (About.ACK_FLOOR, {"num_ack_pending": 1}),
    "messages more": (About.STREAM_MESSAGES, {"messages": 51}),
    "one deleted": (About.STREAM_MESSAGES, {"num_deleted": 1}),
    "a consumer more": (About.STREAM_CONSUMERS, {"consumer_count": 3, "listed": 2}),
    "jsz had more": (About.STREAM_SEEN_BY_JSZ, {"jsz": 51, "api": 50}),
    "stored meanwhile": (About.STORED_AFTER_END, {"before": 50, "after": 51}),
}


@pytest.mark.parametrize("corruption", NAMED)
def test_the_figure_that_disagrees_is_named(corruption: str) -> None:
    spec, evidence = healthy()
    balanced = balance(spec, CORRUPTIONS[corruption](evidence))
    about, figures = NAMED[corruption]
    (found,) = [one for one in balanced.disagreements if one.about == about]
    assert figures.items() <= found.example.items()


def test_a_healthy_run_balances() -> None:
    spec, evidence = healthy()
    balanced = balance(spec, evidence)
    assert balanced.unexplained == 0
    assert (balanced.owed, balanced.delivered, balanced.pending_at_end) == (100, 80, 20)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_corrupt_number_shows(corruption: str) -> None:
    spec, evidence = healthy()
    balanced = balance(spec, CORRUPTIONS[corruption](evidence))
    assert balanced.unexplained is not None
    assert balanced.unexplained > 0
    assert balanced.disagreements


def test_a_durable_that_is_gone_shows() -> None:
    spec, evidence = healthy()
    assert evidence.server is not None
    durables = {"fpaas-00000": evidence.server.durables["fpaas-00000"]}
    evidence = replace(evidence, server=replace(evidence.server, durables=durables))
    balanced = balance(spec, evidence)
    assert balanced.unexplained
    (missing,) = [one for one in balanced.disagreements if one.about == About.DURABLE_MISSING]
    assert missing.example == {"durable": "fpaas-00001"}


def test_publishing_outcomes_are_told_apart() -> None:
    """10 offered: 1 no event, 1 undecodable, 1 duplicate, 1 failed, 1 unknown, 2 never read."""
    spec, evidence = healthy()
    first = FIRST_SEQ
    shuffler = make_shuffler(
        0,
        read=IntervalSet([(first, first + 5)]),
        published=seqs(first, first + 2),
        duplicates=seqs(first + 3, first + 3),
        failed=seqs(first + 4, first + 4),
        unknown=seqs(first + 5, first + 5),
        undecodable_seqs=seqs(first + 6, first + 6),
        undecodable=1,
        ignored=1,
        stream_seqs=[(first, 1, 3)],
    )
    relay = RelayResult(first, first + 9, 10, 10, 0, 1, 1, 0, 0.0)
    balanced = balance(
        spec, replace(evidence, relay=relay, shuffler=shuffler, server=None, deliveries=None)
    )
    assert balanced.disagreements == []
    assert figures_of(balanced) | {"redelivered": None} == {
        "offered": 9,
        "not_read": 2,
        "undecodable": 1,
        "published": 3,
        "duplicates_rejected": 1,
        "publish_failed": 1,
        "publish_unknown": 1,
        "stored": None,
        "owed": None,
        "delivered": None,
        "expired_unread": None,
        "pending_at_end": None,
        "lost": None,
        "redelivered": None,
        "duplicate_deliveries": None,
        "unexplained": None,
        "stored_twice": 0,
        "terminated": None,
        "max_deliver_reached": None,
        "failed": None,
        "failed_by_cause": None,
        "in_process": None,
        "acked": None,
        "unacked": None,
        "not_read_by_cause": {
            "dropped_between_frames_read": 0,
            "before_the_first_read": 0,
            "after_the_last_read": 2,
            "shuffler_died": 0,
            "relay_died": 0,
        },
        "expired_by_cause": None,
        "lost_by_cause": None,
    }


def test_unknown_publishes_may_have_been_stored() -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 50, "r")
    shuffler = make_shuffler(
        48,
        read=seqs(FIRST_SEQ, FIRST_SEQ + 50),
        unknown=seqs(FIRST_SEQ + 48, FIRST_SEQ + 50),
    )
    relay = RelayResult(FIRST_SEQ, FIRST_SEQ + 50, 51, 51, 0, 0, 1, 0, 0.0)
    evidence = replace(simulation.evidence(), shuffler=shuffler, relay=relay)
    assert balance(spec, evidence).unexplained == 0


def test_a_foreign_relay_offers_what_was_read() -> None:
    _, simulation = fanout(1)
    simulation.publish(50)
    spec = make_spec(1, source="wss://relay.example")
    # A foreign relay's sequence has gaps, and frames that nobody could read have no number.
    read = IntervalSet([(10, 29), (100, 129)])
    shuffler = make_shuffler(
        50,
        read=read,
        published=read,
        undecodable=2,
        ignored=3,
        stream_seqs=[(10, 1, 20), (100, 21, 30)],
    )
    balanced = balance(spec, replace(simulation.evidence(), shuffler=shuffler, relay=None))
    assert (balanced.offered, balanced.not_read, balanced.undecodable) == (52, None, 2)
    assert balanced.unexplained == 0


def test_what_was_not_measured_is_none() -> None:
    spec = make_spec(1)
    balanced = balance(spec, Evidence(None, None, None, None, None))
    assert set(figures_of(balanced).values()) == {None}


@pytest.mark.parametrize(
    ("num_pending", "unexplained", "tolerated"),
    [(20, 0, 0), (19, 0, 1), (9, 0, 1), (8, 12, 0), (21, 1, 0)],
)
def test_the_server_may_count_one_twice_where_it_passes_over_what_expires(
    num_pending: int, unexplained: int, tolerated: int
) -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 10, "r")
    simulation.expire(20)
    simulation.poll(simulation.durables[0], 0, 10, "r")
    evidence = with_durable(simulation.evidence(), "fpaas-00000", num_pending=num_pending)
    balanced = balance(spec, evidence)
    assert balanced.unexplained == unexplained
    assert len(balanced.tolerated) == tolerated
    assert (balanced.delivered, balanced.expired_unread, balanced.pending_at_end) == (20, 10, 20)


@pytest.mark.parametrize(("expired", "short", "unexplained"), [(20, 1, 0), (20, 11, 11), (5, 1, 1)])
def test_the_server_may_count_one_twice_of_who_is_behind_all_that_is_stored(
    expired: int, short: int, unexplained: int
) -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 10, "r")
    simulation.expire(expired)
    pending = 50 - max(10, expired)
    evidence = with_durable(simulation.evidence(), "fpaas-00000", num_pending=pending - short)
    assert balance(spec, evidence).unexplained == unexplained


def test_messages_may_expire_while_the_server_is_looked_at() -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 10, "r")
    evidence = simulation.evidence()
    assert evidence.server is not None
    after = replace(evidence.server.stream_before, first_seq=21, messages=30)
    durable = replace(evidence.server.durables["fpaas-00000"], num_pending=35)
    server = replace(evidence.server, stream_after=after, durables={durable.name: durable})
    balanced = balance(spec, replace(evidence, server=server))
    assert balanced.unexplained == 0
    assert (balanced.expired_unread, balanced.pending_at_end) == (0, 40)
