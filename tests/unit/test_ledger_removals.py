"""The ledger of messages that left the stream: removed, lost with it, or for its size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.ledger.balance import balance
from fpaas.ledger.disagreements import About
from fpaas.ledger.removals import Removals
from fpaas.measures.intervals import IntervalSet
from fpaas.spec import RunSpec
from tests.support.simulated_stream import (
    EXPIRED,
    Simulation,
    fanout,
    make_worker,
    mixed,
    partitioned,
    replace,
    seqs,
    shared,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12), st.integers(1, 30))
def test_messages_removed_from_within_the_stream_are_lost(
    steps: list[tuple[int, bool]], removed_at: int
) -> None:
    """One message is removed by hand after some polls; who had not read it has lost it."""
    spec, simulation = fanout(2)
    simulation.publish(40)
    for batch, first in steps:
        if batch:
            simulation.poll(simulation.durables[0 if first else 1], 0, batch, "r")
    truth = [removed_at not in durable.received for durable in simulation.durables]
    evidence = simulation.evidence()
    server = evidence.server
    assert server is not None
    stream = replace(server.stream_before, messages=39, num_deleted=1, deleted=[removed_at])
    durables = {
        name: replace(
            state, num_pending=state.num_pending - (removed_at > state.delivered_stream_seq)
        )
        for name, state in server.durables.items()
    }
    server = replace(server, stream_before=stream, stream_after=stream, durables=durables)
    removals = Removals(by_hand=IntervalSet([(removed_at, removed_at)]))
    evidence = replace(evidence, server=server, removals=removals)
    balanced = balance(spec, evidence)
    assert {one.about for one in balanced.disagreements} <= {About.READ_NOT_OFFERED}
    assert balanced.lost == sum(truth)
    assert balanced.lost_by_cause is not None
    assert balanced.lost_by_cause["removed"] == sum(truth)


def test_a_message_that_was_removed_later_than_passed_over_is_lost() -> None:
    """It was removed while the durable was behind it, which then went on without it."""
    spec, simulation = fanout(1)
    simulation.publish(20)
    simulation.poll(simulation.durables[0], 0, 5, "r")
    evidence = simulation.evidence()
    server = evidence.server
    assert server is not None
    assert evidence.deliveries is not None
    # 6 was removed; 7 … 20 came under the consumer sequences 6 … 19.
    log = replace(evidence.deliveries[0], runs=[(0, 1, 1, 5), (0, 7, 6, 14)])
    stream = replace(server.stream_before, messages=19, num_deleted=1, deleted=[6])
    state = replace(
        server.durables["fpaas-00000"],
        delivered_consumer_seq=19,
        delivered_stream_seq=20,
        ack_floor_consumer_seq=19,
        ack_floor_stream_seq=20,
        num_pending=0,
    )
    server = replace(
        server, stream_before=stream, stream_after=stream, durables={state.name: state}
    )
    evidence = replace(evidence, server=server, deliveries=[log], workers=[make_worker(1, 19)])
    known = replace(evidence, removals=Removals(by_hand=seqs(6, 6)))
    balanced = balance(spec, known)
    assert balanced.unexplained == 0
    assert (balanced.delivered, balanced.lost, balanced.expired_unread) == (19, 1, 0)
    # Nobody knows of a removal: then the server passed it over, which nothing explains.
    assert balance(spec, evidence).unexplained


def test_what_was_in_a_stream_that_was_lost_is_lost() -> None:
    spec, simulation = fanout(2)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 30, "r")
    simulation.expire(10)
    evidence = simulation.evidence()
    assert evidence.server is not None
    seen = evidence.server.stream_before
    balanced = balance(spec, replace(evidence, server=None, lost_stream=seen))
    assert balanced.disagreements == []
    assert balanced.unexplained == 0
    assert (balanced.owed, balanced.delivered, balanced.expired_unread) == (100, 30, 10)
    assert (balanced.lost, balanced.pending_at_end) == (60, 0)
    assert balanced.lost_by_cause is not None
    assert balanced.lost_by_cause["stream_lost"] == 60


@pytest.mark.parametrize("make", [fanout, shared, partitioned, mixed])
def test_expiry_by_size_is_told_from_expiry_by_age(
    make: Callable[[int], tuple[RunSpec, Simulation]],
) -> None:
    spec, simulation = make(2)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 4, "r")
    simulation.expire(30)
    simulation.poll(simulation.durables[0], 0, 4, "r")
    removals = Removals(by_size=IntervalSet([(1, 10)]))
    balanced = balance(spec, replace(simulation.evidence(), removals=removals))
    assert balanced.unexplained == 0
    expected = sum(
        simulation.outcome(durable, seq) == EXPIRED
        for durable in simulation.durables
        for seq in simulation.owed(durable)
        if seq <= 10
    )
    assert balanced.expired_by_cause == {
        "max_bytes": expected,
        "max_age": (balanced.expired_unread or 0) - expected,
    }
