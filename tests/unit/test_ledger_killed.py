"""The ledger of a run whose relay, shuffler or worker was killed, or whose frames vanished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.ledger.balance import balance
from fpaas.measures.intervals import IntervalSet
from fpaas.records.relay import RelayResult
from fpaas.spec import RunSpec
from tests.support.healthy_evidence import healthy, with_relay
from tests.support.shuffler_results import FIRST_SEQ, make_shuffler
from tests.support.simulated_stream import (
    DELIVERED,
    LOST,
    STEPS,
    Simulation,
    fanout,
    identities_hold,
    make_worker,
    play,
    replace,
    seqs,
    shared,
)


@pytest.mark.parametrize("make", [fanout, shared])
@settings(max_examples=300, deadline=None)
@given(
    consumers=st.integers(1, 3),
    steps=STEPS,
    killed=st.integers(0, 2),
    unlogged_runs=st.integers(1, 5),
)
def test_a_worker_that_was_killed_leaves_an_account_that_balances(
    make: Callable[[int], tuple[RunSpec, Simulation]],
    consumers: int,
    steps: list[tuple[Any, ...]],
    killed: int,
    unlogged_runs: int,
) -> None:
    """Its last runs are not in the journal; the server knows which of them were acknowledged."""
    spec, simulation = make(consumers)
    play(simulation, steps)
    truth = simulation.truth()
    evidence = simulation.evidence()
    assert evidence.deliveries is not None
    logs = list(evidence.deliveries)
    log = logs[killed % len(logs)]
    runs = log.runs[:-unlogged_runs]
    logged = max((consumer_seq + count for _, _, consumer_seq, count in runs), default=0)
    repeats = [repeat for repeat in log.repeats if repeat < logged]
    numbers = log.numbers[: len(repeats)]
    logs[killed % len(logs)] = replace(log, runs=runs, repeats=repeats, numbers=numbers)
    worker = replace(make_worker(len(logs), 0), complete=False)
    balanced = balance(spec, replace(evidence, deliveries=logs, workers=[worker]))
    assert balanced.disagreements == []
    assert identities_hold(balanced)
    assert balanced.delivered is not None
    assert balanced.lost is not None
    # What cannot be known counts as worse than it was, never as better.
    assert balanced.delivered <= truth[DELIVERED]
    assert balanced.lost >= truth[LOST]
    assert balanced.lost_by_cause is not None
    assert balanced.lost_by_cause["agent_died"] == balanced.lost


def test_acknowledged_deliveries_of_a_killed_worker_are_known_from_the_server() -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 30, "r")
    simulation.poll(simulation.durables[0], 0, 5, "x")
    evidence = simulation.evidence()
    assert evidence.deliveries is not None
    log = replace(evidence.deliveries[0], runs=[(0, 1, 1, 20)])
    worker = replace(make_worker(1, 20), complete=False)
    balanced = balance(spec, replace(evidence, deliveries=[log], workers=[worker]))
    assert balanced.unexplained == 0
    assert (balanced.delivered, balanced.pending_at_end, balanced.lost) == (30, 20, 0)


def test_what_a_killed_shuffler_left_out_is_known_from_the_stream() -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 50, "r")
    # Its last account is of 40 read and 30 acknowledged; the stream has 50, the relay offered 70.
    shuffler = make_shuffler(30, read=seqs(FIRST_SEQ, FIRST_SEQ + 39), complete=False)
    relay = RelayResult(FIRST_SEQ, FIRST_SEQ + 69, 70, 70, 0, 0, 1, 0, 0.0)
    evidence = replace(simulation.evidence(), relay=relay, shuffler=shuffler)
    balanced = balance(spec, evidence)
    assert balanced.disagreements == []
    assert (balanced.offered, balanced.published, balanced.not_read) == (70, 50, 20)
    assert balanced.not_read_by_cause is not None
    assert balanced.not_read_by_cause["shuffler_died"] == 20
    # Without anything of it, what was offered is known all the same.
    balanced = balance(spec, replace(evidence, shuffler=None))
    assert (balanced.offered, balanced.published, balanced.unexplained) == (70, None, None)


def killed_relay(offered: int, ignored: int = 0) -> RelayResult:
    """Return the last account of a relay that was killed."""
    last_seq = FIRST_SEQ + offered - 1
    return RelayResult(FIRST_SEQ, last_seq, offered, offered, 0, ignored, 1, 0, 0.0, complete=False)


@pytest.mark.parametrize(
    ("last_account", "offered", "not_read"),
    [
        # It offered frames that nobody read, and died …
        (60, 60, 10),
        (50, 50, 0),
        # … or went on offering after its last account …
        (31, 50, 0),
        # … or was killed before it had one with frames.
        (0, 50, 0),
    ],
)
def test_a_killed_relay_offered_at_least_what_was_read_of_it(
    last_account: int, offered: int, not_read: int
) -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 50, "r")
    evidence = replace(
        simulation.evidence(), relay=killed_relay(last_account), shuffler=make_shuffler(50)
    )
    balanced = balance(spec, evidence)
    assert (balanced.disagreements, balanced.unexplained) == ([], 0)
    assert (balanced.offered, balanced.published, balanced.not_read) == (offered, 50, not_read)
    assert balanced.not_read_by_cause is not None
    assert balanced.not_read_by_cause["relay_died"] == not_read


def test_frames_that_are_no_events_after_a_killed_relay_s_last_account() -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 50, "r")
    read = IntervalSet([(FIRST_SEQ, FIRST_SEQ + 9), (FIRST_SEQ + 11, FIRST_SEQ + 50)])
    shuffler = make_shuffler(
        50,
        read=read,
        published=read,
        ignored=1,
        ignored_seqs=seqs(FIRST_SEQ + 10, FIRST_SEQ + 10),
        stream_seqs=[(FIRST_SEQ, 1, 10), (FIRST_SEQ + 11, 11, 40)],
    )
    for last_account, ignored in ((5, 0), (20, 1)):
        relay = killed_relay(last_account, ignored)
        evidence = replace(simulation.evidence(), relay=relay, shuffler=shuffler)
        balanced = balance(spec, evidence)
        assert (balanced.disagreements, balanced.unexplained) == ([], 0)
        assert (balanced.offered, balanced.not_read) == (50, 0)


def test_relay_and_shuffler_were_killed() -> None:
    """The stream has what neither's last account tells."""
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 50, "r")
    shuffler = make_shuffler(30, read=seqs(FIRST_SEQ, FIRST_SEQ + 34), complete=False)
    for last_account, offered in ((40, 50), (60, 60)):
        relay = killed_relay(last_account)
        evidence = replace(simulation.evidence(), relay=relay, shuffler=shuffler)
        balanced = balance(spec, evidence)
        assert (balanced.disagreements, balanced.unexplained) == ([], 0)
        assert (balanced.offered, balanced.published) == (offered, 50)
        assert balanced.not_read == offered - 50


def test_a_frame_that_was_swallowed_shows_between_those_that_were_read() -> None:
    spec, evidence = healthy()
    read = IntervalSet([(FIRST_SEQ, FIRST_SEQ + 9), (FIRST_SEQ + 11, FIRST_SEQ + 50)])
    shuffler = make_shuffler(
        50,
        read=read,
        published=read,
        stream_seqs=[(FIRST_SEQ, 1, 10), (FIRST_SEQ + 11, 11, 40)],
    )
    evidence = replace(
        with_relay(evidence, offered=53, last_seq=FIRST_SEQ + 52, ignored=1), shuffler=shuffler
    )
    balanced = balance(spec, evidence)
    assert balanced.disagreements == []
    assert (balanced.offered, balanced.not_read) == (52, 2)
    assert balanced.not_read_by_cause == {
        "dropped_between_frames_read": 1,
        "before_the_first_read": 0,
        "after_the_last_read": 1,
        "shuffler_died": 0,
        "relay_died": 0,
    }


def test_frames_that_are_no_events_are_known_by_their_number() -> None:
    spec, evidence = healthy()
    read = IntervalSet([(FIRST_SEQ, FIRST_SEQ + 9), (FIRST_SEQ + 11, FIRST_SEQ + 50)])
    shuffler = make_shuffler(
        50,
        read=read,
        published=read,
        ignored=1,
        ignored_seqs=seqs(FIRST_SEQ + 10, FIRST_SEQ + 10),
        stream_seqs=[(FIRST_SEQ, 1, 10), (FIRST_SEQ + 11, 11, 40)],
    )
    evidence = replace(
        with_relay(evidence, offered=51, last_seq=FIRST_SEQ + 50, ignored=1), shuffler=shuffler
    )
    balanced = balance(spec, evidence)
    assert balanced.disagreements == []
    assert (balanced.offered, balanced.not_read) == (50, 0)


def test_second_copies_are_counted_apart() -> None:
    spec, simulation = fanout(1)
    simulation.publish(51)
    simulation.poll(simulation.durables[0], 0, 51, "r")
    shuffler = make_shuffler(
        50,
        stored_twice=1,
        copy_seqs=seqs(21, 21),
        stream_seqs=[(FIRST_SEQ, 1, 20), (FIRST_SEQ + 20, 22, 30)],
    )
    relay = RelayResult(FIRST_SEQ, FIRST_SEQ + 49, 50, 50, 0, 0, 1, 0, 0.0)
    evidence = replace(simulation.evidence(), shuffler=shuffler, relay=relay)
    balanced = balance(spec, evidence)
    assert balanced.disagreements == []
    assert (balanced.published, balanced.stored_twice, balanced.stored) == (50, 1, 51)
