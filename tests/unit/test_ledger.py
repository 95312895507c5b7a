"""The ledger against a simulated stream: who got what is known there, message by message."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fpaas.ledger.balance import balance
from fpaas.ledger.disagreements import About
from fpaas.ledger.ledger import Ledger
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.records.consumers import (
    ClassFetches,
    Fetches,
)
from fpaas.shuffler.subjects import ClassesOf
from fpaas.spec import RunSpec, acks
from fpaas.spec.answers import PLACES, Answer
from tests.support.simulated_stream import (
    DELIVERED,
    EXPIRED,
    LOST,
    PENDING,
    STEPS,
    Durable,
    Simulation,
    failing,
    fanout,
    identities_hold,
    make_spec,
    mixed,
    partitioned,
    play,
    replace,
    replicated,
    shared,
)


@pytest.mark.parametrize("make", [fanout, shared, partitioned, mixed])
@settings(max_examples=300, deadline=None)
@given(consumers=st.integers(1, 3), steps=STEPS)
def test_agrees_with_what_happened(
    make: Callable[[int], tuple[RunSpec, Simulation]], consumers: int, steps: list[tuple[Any, ...]]
) -> None:
    spec, simulation = make(consumers)
    play(simulation, steps)
    truth = simulation.truth()
    balanced = balance(spec, simulation.evidence())
    assert balanced.disagreements == []
    assert balanced.unexplained == 0
    assert identities_hold(balanced)
    assert balanced.stored == simulation.last
    assert balanced.delivered == truth[DELIVERED]
    assert balanced.pending_at_end == truth[PENDING]
    assert balanced.lost is not None
    assert balanced.expired_unread is not None
    assert balanced.expired_unread >= 0
    assert balanced.lost + balanced.expired_unread == truth[LOST] + truth[EXPIRED]
    # Where repeats were lost too, some that expired may count as lost; never the other way.
    assert balanced.lost >= truth[LOST]
    if not any(durable.lost_a_repeat for durable in simulation.durables):
        assert balanced.lost == truth[LOST]
        assert balanced.unacked == sum(
            len(durable.received & durable.unacked.keys()) for durable in simulation.durables
        )
        assert balanced.acked == balanced.delivered - balanced.unacked
    for number, one in enumerate(spec.consumers.classes):
        of_class = balanced.by_class[one.name]
        own = [d for i, d in enumerate(simulation.durables) if spec.class_of(i) == number]
        outcomes = [simulation.outcome(d, seq) for d in own for seq in simulation.owed(d)]
        assert of_class.owed == len(outcomes)
        assert of_class.delivered == outcomes.count(DELIVERED)
        assert of_class.pending_at_end == outcomes.count(PENDING)
        assert of_class.duplicate_deliveries == sum(d.receptions - len(d.received) for d in own)
        assert of_class.redelivered == sum(len(log.repeats) for d in own for log in d.logs)


@settings(max_examples=150, deadline=None)
@given(consumers=st.integers(1, 2), steps=STEPS)
def test_what_failed_is_a_term_of_its_own(consumers: int, steps: list[tuple[Any, ...]]) -> None:
    # Nothing is lost on the way here: with what else is, the tests above deal.
    steps = [(*step[:-1], "r") if step[0] == "poll" else step for step in steps]
    spec, simulation = failing(consumers)
    play(simulation, steps)
    truth = simulation.truth()
    balanced = balance(spec, simulation.evidence())
    assert balanced.disagreements == []
    assert balanced.unexplained == 0
    assert (balanced.delivered, balanced.lost) == (truth[DELIVERED], 0)
    for number, one in enumerate(spec.consumers.classes):
        of_class = balanced.by_class[one.name]
        own = [d for i, d in enumerate(simulation.durables) if spec.class_of(i) == number]
        received = [(d, seq) for d in own for seq in d.received]
        failed = [(seq, number == d.max_deliver) for d in own for seq, number in d.failed.items()]
        given_up = sum(is_last for _, is_last in failed)
        waiting = sum(seq >= simulation.first for seq, is_last in failed if not is_last)
        terminated = sum(d.answers.to(seq, 1) is Answer.TERMINATE for d, seq in received)
        assert of_class.terminated == terminated
        assert of_class.max_deliver_reached == given_up
        expired = len(failed) - given_up - waiting
        assert of_class.failed == waiting + expired
        assert of_class.failed_by_cause == {"waiting": waiting, "expired": expired}
        assert of_class.unacked == 0
        assert of_class.acked == len(received) - terminated - len(failed)


def test_a_server_that_forgets_what_failed_is_seen() -> None:
    spec, simulation = failing(1)
    simulation.publish(30)
    for durable in simulation.durables:
        simulation.poll(durable, 0, 30, "r")
    [durable] = [
        durable
        for index, durable in enumerate(simulation.durables)
        if spec.consumers.classes[spec.class_of(index)].name == "naks"
    ]
    assert balance(spec, simulation.evidence()).unexplained == 0
    del durable.unacked[max(durable.failed)]
    wrong = balance(spec, simulation.evidence())
    assert {About.FAILED_NOT_WAITING} <= {one.about for one in wrong.disagreements}


def test_a_delivery_that_a_filter_should_have_held_back_is_seen() -> None:
    spec, simulation = mixed(1)
    simulation.publish(30)
    for durable in simulation.durables:
        simulation.poll(durable, 0, 30, "r")
    assert balance(spec, simulation.evidence()).unexplained == 0
    posts = next(i for i in range(6) if spec.consumers.classes[spec.class_of(i)].name == "posts")
    # The server's filter is not the one that was asked for: more, or less, than is owed.
    for filters in (["atproto.firehose.commit.>"], ["atproto.firehose.*.*._mixed"]):
        spec, simulation = mixed(1)
        simulation.durables[posts].filters = filters
        simulation.publish(30)
        for durable in simulation.durables:
            simulation.poll(durable, 0, 30, "r")
        assert balance(spec, simulation.evidence()).unexplained


@pytest.mark.parametrize("ack", [acks.NONE, acks.ALL])
@settings(max_examples=80, deadline=None)
@given(consumers=st.integers(1, 3), steps=STEPS)
# What the server waits for was received; what was not, the ack of the second message acked.
@example(
    consumers=1,
    steps=[("publish", 3), ("poll", 0, 0, 2, "xr"), ("poll", 0, 0, 1, "rax")],
)
def test_what_is_not_acked_by_itself_may_be_lost(
    ack: str, consumers: int, steps: list[tuple[Any, ...]]
) -> None:
    spec, simulation = fanout(consumers)
    spec = replace(spec, consumers=replace(spec.consumers, ack=ack))
    simulation.ack = ack
    play(simulation, steps)
    balanced = balance(spec, simulation.evidence())
    truth = simulation.truth()
    assert balanced.unexplained == 0
    assert balanced.delivered == truth[DELIVERED]
    assert balanced.owed == sum(truth.values())
    if not any(durable.lost_a_repeat for durable in simulation.durables):
        assert balanced.lost == truth[LOST]
        assert balanced.pending_at_end == truth[PENDING]
    if ack == acks.NONE:
        assert balanced.acked is balanced.unacked is balanced.failed is None
    else:
        assert balanced.unacked == sum(
            len(durable.received & durable.unacked.keys()) for durable in simulation.durables
        )


def test_an_ack_too_many_or_none_at_all_is_seen() -> None:
    spec, simulation = fanout(1)
    play(simulation, [("publish", 9), ("poll", 0, 0, 5, "r")])
    for ack, wrong in ((acks.NONE, 5), (acks.ALL, 0)):
        changed = replace(spec, consumers=replace(spec.consumers, ack=ack))
        evidence = simulation.evidence()
        assert evidence.workers is not None
        (worker,) = evidence.workers
        right = {acks.NONE: 0, acks.ALL: 2}[ack]
        for sent, unexplained in ((right, 0), (wrong, wrong or 1)):
            told = replace(evidence, workers=[replace(worker, acks=sent)])
            assert balance(changed, told).unexplained == unexplained, (ack, sent)


LATE: list[dict[str, Any]] = [
    {"name": "early", "count": 1},
    {"name": "new", "count": 1, "joins_at_s": 9, "start": "new"},
    {"name": "all", "count": 1, "joins_at_s": 9},
    {"name": "posts", "count": 1, "joins_at_s": 9, "collections": ["app.bsky.feed.post"]},
]


def late(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> tuple[RunSpec, Simulation]:
    """Play what goes before classes join, one of each, and what follows."""
    spec = make_spec(len(LATE), mix=LATE)
    simulation = Simulation([Durable(spec.durable_of(0), [DeliveryLog(0, spec.durable_of(0))])])
    simulation.classes_of = ClassesOf(spec.consumers.classes)
    # So that there is something before it.
    simulation.publish(2)
    simulation.expire(1)
    play(simulation, before)
    for index in range(1, len(LATE)):
        name, one = spec.durable_of(index), spec.consumers.classes[spec.class_of(index)]
        begin = simulation.last + 1 if one.start == "new" else simulation.first
        durable = Durable(name, [DeliveryLog(index, name)], filters=spec.filters_of(index))
        durable.begin, durable.stream_seq = begin, begin - 1
        simulation.durables.append(durable)
    play(simulation, after)
    return spec, simulation


@given(STEPS, STEPS)
@settings(max_examples=60, deadline=None)
def test_who_joins_late_is_owed_what_comes_after_its_start(
    before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    spec, simulation = late(before, after)
    balanced = balance(spec, simulation.evidence())
    truth = simulation.truth()
    assert balanced.unexplained == 0
    assert balanced.owed == sum(truth.values())
    assert balanced.delivered == truth[DELIVERED]
    assert balanced.pending_at_end == truth[PENDING]


def test_a_late_class_must_say_where_it_began() -> None:
    spec, simulation = late([("publish", 9)], [("publish", 9), ("poll", 1, 0, 5, "r")])
    evidence = simulation.evidence()
    assert balance(spec, replace(evidence, starts={})).owed is None
    # A worker that died, and another that saw it begin where it had come to: it does not balance.
    name = simulation.durables[1].name
    wrong = {**evidence.starts, name: evidence.starts[name] + 5}
    assert balance(spec, replace(evidence, starts=wrong)).unexplained == 5


def test_who_was_to_join_after_the_run_was_stopped_is_owed_nothing() -> None:
    spec, simulation = late([], [("publish", 9)])
    gone = [one.name for one in simulation.durables[1:]]
    del simulation.durables[1:]
    evidence = simulation.evidence()
    stopped = balance(spec, replace(evidence, never_joined=frozenset(gone)))
    assert (stopped.owed, stopped.unexplained) == (11, 0)
    assert balance(spec, evidence).unexplained == len(gone)


def test_terminated_messages_are_their_own_term() -> None:
    spec, simulation = mixed(2)
    by_name = {one.name: one for one in spec.consumers.classes}
    wanting = ("all", "posts")
    classes = [
        replace(one, terminate_pct=25) if one.name in wanting else one
        for one in spec.consumers.classes
    ]
    spec = replace(spec, consumers=replace(spec.consumers, classes=classes))
    simulation.publish(41)
    for durable in simulation.durables:
        simulation.poll(durable, 0, 30, "r")
    truth = {
        name: sum(
            seq * 61_803 % PLACES < PLACES / 4
            for index, durable in enumerate(simulation.durables)
            if spec.consumers.classes[spec.class_of(index)].name == name
            for seq in durable.received
        )
        for name in by_name
    }
    assert truth["all"] == 2 * 7
    assert truth["posts"] > 0
    evidence = simulation.evidence()
    assert evidence.workers is not None
    [worker] = evidence.workers

    def told(terminated: dict[str, int]) -> Ledger:
        nothing = Fetches(0, 0, 0, 0, 0, 0, 0, 0)
        by_class = {name: ClassFetches(0, nothing, n) for name, n in terminated.items()}
        acks = worker.processed - sum(terminated.values())
        own = msgspec.structs.replace(worker, by_class=by_class, acks=acks)
        return balance(spec, replace(evidence, workers=[own]))

    terminated = {name: truth[name] for name in wanting}
    balanced = told(terminated)
    assert balanced.unexplained == 0
    assert balanced.terminated == sum(terminated.values())
    assert balanced.delivered == (balanced.acked or 0) + (balanced.terminated or 0)
    for name, of_class in balanced.by_class.items():
        assert of_class.terminated == terminated.get(name, 0)
        assert of_class.delivered == (of_class.acked or 0) + (of_class.terminated or 0)
    # A consumer that terminates another number of messages than its class is to.
    for wrong in ({**terminated, "all": 13}, {**terminated, "all": 15}, {}):
        amiss = told(wrong)
        assert amiss.unexplained
        assert About.ANSWERS_COUNTED in {one.about for one in amiss.disagreements}


def test_who_wants_what_must_be_known_of_every_message() -> None:
    spec, simulation = mixed(1)
    simulation.publish(30)
    evidence = simulation.evidence()
    unknown = balance(spec, replace(evidence, classes=None))
    assert unknown.owed is None
    assert unknown.unexplained is None
    assert not unknown.by_class
    assert evidence.classes is not None
    short = balance(spec, replace(evidence, classes=[*evidence.classes[:29], 0]))
    assert About.FILTERS_UNKNOWN in {one.about for one in short.disagreements}


@pytest.mark.parametrize("make", [fanout, shared])
@settings(max_examples=300, deadline=None)
@given(
    consumers=st.integers(1, 3),
    phases=st.lists(
        st.tuples(
            st.integers(1, 20),
            st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 12))),
            st.booleans(),
        ),
        max_size=6,
    ),
)
def test_deliveries_that_a_new_leader_makes_again_balance(
    make: Callable[[int], tuple[RunSpec, Simulation]],
    consumers: int,
    phases: list[tuple[int, list[tuple[int, int, int]], bool]],
) -> None:
    """All are received and acknowledged, and the leaders that made the last of them are gone."""
    spec, simulation = make(consumers)
    for published, polls, is_agreed in phases:
        simulation.publish(published)
        for which, puller, batch in polls:
            simulation.poll(
                simulation.durables[which % len(simulation.durables)], puller, batch, "r"
            )
        if is_agreed:
            simulation.remember()
        else:
            simulation.fail_over()
    truth = simulation.truth()
    balanced = balance(replicated(spec), simulation.evidence())
    assert balanced.disagreements == []
    assert balanced.unexplained == 0
    assert identities_hold(balanced)
    assert balanced.delivered == truth[DELIVERED]
    assert balanced.pending_at_end == truth[PENDING]


@pytest.mark.parametrize("make", [fanout, shared])
@settings(max_examples=100, deadline=None)
@given(
    consumers=st.integers(1, 3),
    phases=st.lists(
        st.tuples(
            st.integers(1, 20),
            st.lists(
                st.tuples(
                    st.integers(0, 2),
                    st.integers(0, 2),
                    st.integers(1, 12),
                    st.text("rrax", min_size=1, max_size=4),
                )
            ),
            st.sampled_from(["remember", "kill", "pass_ack_wait"]),
        ),
        max_size=8,
    ),
)
def test_deliveries_that_a_killed_server_makes_again_are_repeats(
    make: Callable[[int], tuple[RunSpec, Simulation]],
    consumers: int,
    phases: list[tuple[int, list[tuple[int, int, int, str]], str]],
) -> None:
    """It comes back with its stream, and has forgotten its last deliveries and their acks."""
    spec, simulation = make(consumers)
    for published, polls, then in phases:
        simulation.publish(published)
        for which, puller, batch, fates in polls:
            simulation.poll(
                simulation.durables[which % len(simulation.durables)], puller, batch, fates
            )
        getattr(simulation, then)()
    truth = simulation.truth()
    balanced = balance(spec, simulation.evidence())
    # If more is lost on the way, a good run may be called invalid, and never the other way round.
    if not any("x" in fates for _, polls, _ in phases for *_, fates in polls):
        assert balanced.disagreements == []
    assert balanced.delivered == truth[DELIVERED]
    if not balanced.disagreements:
        assert balanced.unexplained == 0
        assert identities_hold(balanced)
        assert balanced.pending_at_end == truth[PENDING]


def test_without_replicas_a_delivery_made_twice_is_unexplained() -> None:
    spec, simulation = fanout(1)
    simulation.publish(10)
    simulation.poll(simulation.durables[0], 0, 10, "r")
    simulation.fail_over()
    simulation.poll(simulation.durables[0], 0, 10, "r")
    evidence = simulation.evidence()
    assert balance(spec, evidence).unexplained
    balanced = balance(replicated(spec), evidence)
    assert balanced.unexplained == 0
    assert (balanced.delivered, balanced.duplicate_deliveries) == (10, 10)


def test_a_thousand_consumers_with_many_runs_take_seconds() -> None:
    spec, simulation = fanout(1000)
    simulation.publish(20_000)
    simulation.expire(10_000)
    for durable in simulation.durables:
        log = durable.logs[0]
        for poll in range(60):
            log.record(10_001 + 100 * poll, poll + 1, 0)
            log.end_run()
        durable.stream_seq = 10_001 + 100 * 59
        durable.consumer_seq = durable.receptions = 60
    simulation.first = 16_000
    evidence = simulation.evidence()
    began = time.process_time()
    balanced = balance(spec, evidence)
    assert time.process_time() - began < 5
    assert balanced.unexplained == 0
    assert balanced.delivered == 60_000
