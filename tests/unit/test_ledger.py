"""The ledger against a simulated stream: who got what is known there, message by message."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.bundle.parts import ServerFinal
from fpaas.ledger.balance import balance
from fpaas.ledger.disagreements import About
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.ledger.removals import Removals
from fpaas.measures.delivery_log import ConsumerDeliveries, DeliveryLog
from fpaas.measures.intervals import IntervalSet
from fpaas.records.consumers import (
    ClassFetches,
    Connections,
    Fetches,
    WorkerOutage,
    WorkerResult,
)
from fpaas.records.nats import DurableState, NatsSample, StreamState
from fpaas.records.relay import RelayResult
from fpaas.shuffler.subjects import ClassesOf
from fpaas.spec import NS_PER_S, RunSpec, Scenario, Topology, acks, build, read_variables
from fpaas.spec.answers import FAILURES, PLACES, Answer, Answers
from tests.support.shuffler_results import FIRST_SEQ, make_shuffler

DELIVERED, PENDING, LOST, EXPIRED = "delivered", "pending", "lost", "expired"


def make_spec(
    consumers: int,
    delivery: str = "fanout",
    source: str = "synthetic",
    mix: Sequence[dict[str, Any]] = (),
) -> RunSpec:
    groups = ("relay", "nats", "shuffler", "consumers")
    return build(
        read_variables(
            {
                "bench_consumers": consumers,
                "bench_delivery": delivery,
                "bench_mix": list(mix),
                "bench_firehose_source": source,
            }
        ),
        run_id="r",
        scenario=Scenario("s", "t", "g"),
        topology=Topology({group: ["h"] for group in groups}, "nats://h", "http://h", "ws://h"),
        first_seq=FIRST_SEQ,
    )


@dataclass
class Durable:
    """The server's consumer and what its pullers saw."""

    name: str
    logs: list[DeliveryLog]
    filter_partition: int | None = None
    filters: Sequence[str] = ()
    #: The first that it is served.
    begin: int = 1
    stream_seq: int = 0
    consumer_seq: int = 0
    unacked: dict[int, int] = field(default_factory=dict)  # seq → deliveries
    delivered_as: dict[int, int] = field(default_factory=dict)  # seq → its last consumer sequence
    to_repeat: list[int] = field(default_factory=list)
    sent: set[int] = field(default_factory=set)
    agreed: tuple[int, int, dict[int, int], list[int]] = (0, 0, {}, [])
    received: set[int] = field(default_factory=set)
    receptions: int = 0
    lost_a_repeat: bool = False
    answers: Answers = field(default_factory=Answers)
    max_deliver: int = 0
    #: What it received and never acked nor terminated, and how often it was delivered.
    failed: dict[int, int] = field(default_factory=dict)
    answered: Counter[Answer] = field(default_factory=Counter)

    def ack_up_to(self, last: int) -> None:
        self.unacked = {s: n for s, n in self.unacked.items() if s > last}
        self.to_repeat = [s for s in self.to_repeat if s > last]


class Simulation:
    """A stream whose messages expire from the front, and durables polled with every mishap."""

    def __init__(self, durables: list[Durable], partitions: int = 0) -> None:
        self.durables = durables
        self.partitions = partitions
        self.ack = acks.EXPLICIT
        self.acks_sent = 0
        self.classes_of = ClassesOf(())
        self.first = 1
        self.last = 0
        #: Seconds since T0; a server that is killed is there again a second later.
        self.now_s = 0
        self.killed_s: list[int] = []

    def publish(self, count: int) -> None:
        self.last += count

    def expire(self, count: int) -> None:
        self.first = min(self.first + count, self.last + 1)
        for durable in self.durables:
            durable.unacked = {s: n for s, n in durable.unacked.items() if s >= self.first}
            durable.to_repeat = [s for s in durable.to_repeat if s >= self.first]

    def pass_ack_wait(self) -> None:
        for durable in self.durables:
            durable.to_repeat = sorted(durable.unacked)

    def owed(self, durable: Durable) -> list[int]:
        return [s for s in range(durable.begin, self.last + 1) if self.matches(durable, s)]

    @staticmethod
    def did(seq: int) -> int:
        return seq * 5 % 3 + 6

    def partition(self, seq: int) -> int:
        return self.did(seq) % self.partitions

    @staticmethod
    def subject(seq: int) -> str:
        kind, collection = SUBJECTS[seq * 7 % len(SUBJECTS)]
        return f"atproto.firehose.{kind}.{seq * 5 % 4}.{collection}"

    def matches(self, durable: Durable, seq: int) -> bool:
        if durable.filters:
            return any(nats_matches(one, self.subject(seq)) for one in durable.filters)
        return durable.filter_partition is None or self.partition(seq) == durable.filter_partition

    def _next(self, durable: Durable) -> int | None:
        while durable.to_repeat:
            seq = durable.to_repeat.pop(0)
            if not durable.max_deliver or durable.unacked[seq] < durable.max_deliver:
                return seq
            del durable.unacked[seq]
        for seq in range(max(self.first, durable.stream_seq + 1), self.last + 1):
            durable.stream_seq = seq
            if self.matches(durable, seq):
                return seq
        durable.stream_seq = self.last
        return None

    def poll(self, durable: Durable, puller: int, batch: int, fates: str) -> None:
        """`fates`, repeated over the batch: r received, a received but its ack lost, x lost."""
        log = durable.logs[puller % len(durable.logs)]
        furthest = 0
        for position in range(batch):
            seq = self._next(durable)
            if seq is None:
                break
            durable.consumer_seq += 1
            fate = fates[position % len(fates)]
            if fate == "x" and seq in durable.sent:
                durable.lost_a_repeat = True
            durable.sent.add(seq)
            durable.unacked[seq] = durable.unacked.get(seq, 0) + 1
            durable.delivered_as[seq] = durable.consumer_seq
            number = durable.unacked[seq]
            if self.ack == acks.NONE:
                del durable.unacked[seq]
            if fate == "x":
                continue
            durable.received.add(seq)
            durable.receptions += 1
            log.record(seq, durable.consumer_seq, 1000 * self.now_s)
            if number > 1:
                log.repeats.append(durable.consumer_seq)
                log.numbers.append(number)
            if self.ack != acks.EXPLICIT:
                furthest = max(furthest, seq)
                continue
            answer = durable.answers.to(seq, number)
            durable.answered[answer] += 1
            if answer in FAILURES:
                durable.failed[seq] = number
                if answer is Answer.NAK and fate == "r":
                    durable.to_repeat.append(seq)
            else:
                durable.failed.pop(seq, None)
                if fate == "r":
                    del durable.unacked[seq]
        log.end_run()
        if self.ack == acks.ALL and furthest:
            self.acks_sent += 1
            durable.ack_up_to(0 if "a" in fates else furthest)

    def remember(self) -> None:
        """Have the replicas agree on where the durables are."""
        for durable in self.durables:
            durable.agreed = (
                durable.stream_seq,
                durable.consumer_seq,
                dict(durable.unacked),
                list(durable.to_repeat),
            )

    def fail_over(self) -> None:
        """Lose the leader, and with it whatever was not agreed on yet."""
        for durable in self.durables:
            stream_seq, consumer_seq, unacked, to_repeat = durable.agreed
            durable.stream_seq, durable.consumer_seq = stream_seq, consumer_seq
            durable.unacked = {s: n for s, n in unacked.items() if s >= self.first}
            durable.to_repeat = [s for s in to_repeat if s >= self.first]

    def kill(self) -> None:
        """Kill the server; it comes back with what it had written by `remember`."""
        self.killed_s.append(self.now_s + 1)
        self.now_s += 2
        self.fail_over()
        for durable in self.durables:
            for log in durable.logs:
                log.end_life()

    def outcome(self, durable: Durable, seq: int) -> str:
        if seq in durable.received:
            return DELIVERED
        comes_again = seq not in durable.sent or seq in durable.unacked
        if seq >= self.first and (comes_again or self.ack == acks.EXPLICIT):
            return PENDING
        return LOST if seq in durable.sent else EXPIRED

    def truth(self) -> dict[str, int]:
        outcomes = [self.outcome(d, seq) for d in self.durables for seq in self.owed(d)]
        return {kind: outcomes.count(kind) for kind in (DELIVERED, PENDING, LOST, EXPIRED)}

    def evidence(self) -> Evidence:
        last = self.last
        stream = StreamState(
            messages=last - self.first + 1,
            bytes=0,
            first_seq=self.first,
            last_seq=last,
            consumer_count=len(self.durables),
        )
        logs = [
            ConsumerDeliveries(
                log.consumer_index,
                log.durable,
                list(zip(*[log.runs[column::4] for column in range(4)], strict=True)),
                list(log.repeats),
                numbers=list(log.numbers),
            )
            for durable in self.durables
            for log in durable.logs
        ]
        receptions = sum(durable.receptions for durable in self.durables)
        troubled = any(
            durable.lost_a_repeat or (self.ack != acks.EXPLICIT and durable.sent > durable.received)
            for durable in self.durables
        )
        others = sum((durable.answered for durable in self.durables), Counter[Answer]())
        del others[Answer.ACK]
        return Evidence(
            relay=RelayResult(FIRST_SEQ, FIRST_SEQ + last - 1, last, last, 0, 0, 1, 0, 0.0),
            shuffler=make_shuffler(last),
            server=ServerFinal(
                0, stream, stream, {d.name: self._state(d) for d in self.durables}, None, 0
            ),
            deliveries=logs,
            workers=[
                replace(
                    make_worker(
                        len(logs),
                        receptions,
                        acks=receptions - sum(others.values()) + others[Answer.IN_PROGRESS]
                        if self.ack == acks.EXPLICIT
                        else self.acks_sent,
                        by_class={"all": answers_of(others)},
                        reconnects=int(troubled or bool(self.killed_s)),
                    ),
                    nats_outages=[
                        WorkerOutage(NS_PER_S * at_s, NS_PER_S * (at_s + 1))
                        for at_s in self.killed_s
                    ],
                )
            ],
            dids=[self.did(seq) for seq in range(1, last + 1)],
            classes=[self.classes_of(self.subject(seq).encode()) for seq in range(1, last + 1)],
            starts={d.name: d.begin for d in self.durables if d.begin > 1},
            restarts=[(NS_PER_S * at_s - 1, NS_PER_S * (at_s + 1) + 1) for at_s in self.killed_s],
        )

    def _state(self, durable: Durable) -> DurableState:
        seqs = range(max(self.first, durable.stream_seq + 1), self.last + 1)
        waiting = durable.unacked
        floor = min((durable.delivered_as[s] for s in waiting), default=durable.consumer_seq + 1)
        return DurableState(
            ack_floor_consumer_seq=floor - 1,
            ack_floor_stream_seq=min(waiting, default=durable.stream_seq + 1) - 1,
            name=durable.name,
            delivered_consumer_seq=durable.consumer_seq,
            delivered_stream_seq=durable.stream_seq,
            num_pending=sum(self.matches(durable, seq) for seq in seqs),
            num_ack_pending=len(durable.unacked),
            num_redelivered=sum(count > 1 for count in durable.unacked.values()),
        )


T = TypeVar("T")


def replace(record: T, **changes: object) -> T:
    """Return a record, or a dataclass, with some of its fields changed."""
    if isinstance(record, msgspec.Struct):
        return msgspec.structs.replace(record, **changes)
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]


def make_worker(
    count: int,
    processed: int,
    reconnects: int = 0,
    acks: int | None = None,
    by_class: dict[str, ClassFetches] | None = None,
) -> WorkerResult:
    return WorkerResult(
        worker=0,
        first=0,
        count=count,
        processed=processed,
        bytes=0,
        redelivered=0,
        duplicate_deliveries=0,
        polls=0,
        acks=processed if acks is None else acks,
        consumers_never_fetched=0,
        fetches=Fetches(0, 0, 0, 0, 0, 0, 0, 0),
        connections=Connections(1, 0, reconnects, 0),
        by_class=by_class or {},
    )


def answers_of(counts: Mapping[Answer, int]) -> ClassFetches:
    return ClassFetches(0, Fetches(), **{answer.value: count for answer, count in counts.items()})


def fanout(consumers: int) -> tuple[RunSpec, Simulation]:
    spec = make_spec(consumers)
    names = [spec.durable_of(index) for index in range(consumers)]
    return spec, Simulation(
        [Durable(name, [DeliveryLog(index, name)]) for index, name in enumerate(names)]
    )


def shared(consumers: int) -> tuple[RunSpec, Simulation]:
    spec = make_spec(consumers, "shared")
    name = spec.durable_of(0)
    logs = [DeliveryLog(index, name) for index in range(consumers)]
    return spec, Simulation([Durable(name, logs)])


def partitioned(consumers: int) -> tuple[RunSpec, Simulation]:
    spec = make_spec(consumers, "partitioned")
    names = [spec.durable_of(index) for index in range(consumers)]
    durables = [Durable(n, [DeliveryLog(i, n)], filter_partition=i) for i, n in enumerate(names)]
    return spec, Simulation(durables, partitions=consumers)


MIX: list[dict[str, Any]] = [
    {"name": "all", "count": 1},
    {"name": "social", "count": 1, "collections": ["app.bsky.*", "app.bsky.feed.post"]},
    {"name": "posts", "count": 1, "collections": ["app.bsky.feed.post", "_mixed"]},
    {"name": "part", "count": 1, "partitions": [0, 3], "kinds": ["commit", "identity"]},
    {"name": "accounts", "count": 1, "kinds": ["account", "identity"]},
    {"name": "nothing", "count": 1, "collections": ["app.bsky.feed"]},
]
SUBJECTS = (
    *(("commit", "app.bsky.feed.post"), ("commit", "app.bsky.feed.like"), ("commit", "_mixed")),
    *(("identity", "_"), ("account", "_"), ("commit", "com.example.app.bsky.feed.post")),
    *(("commit", "app.bsky.feed.postgate"), ("commit", "_"), ("sync", "_")),
)


def nats_matches(pattern: str, subject: str) -> bool:
    """Match as the server does: * is a token, > one or more at the end."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">" and len(tokens) >= len(wanted):
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )


def mixed(consumers: int) -> tuple[RunSpec, Simulation]:
    """Several consumers of each class, which are owed parts of the stream that overlap."""
    mix = [{**one, "count": one["count"] * consumers} for one in MIX]
    spec = make_spec(len(MIX) * consumers, mix=mix)
    names = [spec.durable_of(index) for index in range(spec.consumers.count)]
    simulation = Simulation(
        [
            Durable(name, [DeliveryLog(index, name)], filters=spec.filters_of(index))
            for index, name in enumerate(names)
        ]
    )
    simulation.classes_of = ClassesOf(spec.consumers.classes)
    return spec, simulation


FAILING: list[dict[str, Any]] = [
    {"name": "all", "count": 1},
    {"name": "naks", "count": 1, "nak_pct": 30, "no_ack_pct": 20, "in_progress_pct": 10},
    {"name": "gives_up", "count": 1, "nak_pct": 40, "fail_times": 3, "max_deliver": 3},
    {"name": "late", "count": 1, "no_ack_pct": 50, "fail_times": 2, "max_deliver": 1},
    {
        "name": "part",
        "count": 1,
        "partitions": [0, 3],
        "terminate_pct": 10,
        "nak_pct": 30,
        "fail_times": 2,
        "max_deliver": 3,
    },
]


def failing(consumers: int) -> tuple[RunSpec, Simulation]:
    """Several consumers of each class, which fail parts of what they receive."""
    mix = [{**one, "count": one["count"] * consumers} for one in FAILING]
    spec = make_spec(len(mix) * consumers, mix=mix)
    durables = []
    for index in range(spec.consumers.count):
        name, own = spec.durable_of(index), spec.consumers.classes[spec.class_of(index)]
        durables.append(
            Durable(
                name,
                [DeliveryLog(index, name)],
                filters=spec.filters_of(index),
                answers=own.answers,
                max_deliver=own.max_deliver,
            )
        )
    simulation = Simulation(durables)
    simulation.classes_of = ClassesOf(spec.consumers.classes)
    return spec, simulation


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 20)),
        st.tuples(st.just("expire"), st.integers(1, 15)),
        st.tuples(st.just("ack_wait")),
        st.tuples(
            st.just("poll"),
            st.integers(0, 17),
            st.integers(0, 2),
            st.integers(1, 12),
            st.sampled_from(["r", "r", "r", "x", "a", "rx", "xr", "rax"]),
        ),
    ),
    max_size=40,
)


def play(simulation: Simulation, steps: list[tuple[Any, ...]]) -> None:
    for kind, *arguments in steps:
        if kind == "publish":
            simulation.publish(*arguments)
        elif kind == "expire":
            simulation.expire(*arguments)
        elif kind == "ack_wait":
            simulation.pass_ack_wait()
        else:
            which, puller, batch, fates = arguments
            durable = simulation.durables[which % len(simulation.durables)]
            simulation.poll(durable, puller, batch, fates)


def figures_of(one: Ledger) -> dict[str, object]:
    return msgspec.structs.asdict(one.figures())


def identities_hold(one: Ledger) -> bool:
    figures = {name: value for name, value in figures_of(one).items() if isinstance(value, int)}
    publishing = ("not_read", "undecodable", "published", "duplicates_rejected")
    outcomes = (*publishing, "publish_failed", "publish_unknown")
    deliveries = ("delivered", "expired_unread", "pending_at_end", "lost")
    return figures["offered"] == sum(figures[name] for name in outcomes) and figures["owed"] == sum(
        figures[name] for name in deliveries
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


def replicated(spec: RunSpec) -> RunSpec:
    return replace(spec, stream=replace(spec.stream, replicas=3))


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


def healthy() -> tuple[RunSpec, Evidence]:
    """Two consumers, nothing expired, nothing lost; one has read all, one has not."""
    spec, simulation = fanout(2)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 30, "r")
    simulation.poll(simulation.durables[0], 0, 20, "r")
    simulation.poll(simulation.durables[1], 0, 30, "r")
    return spec, simulation.evidence()


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


def with_relay(evidence: Evidence, **changes: int) -> Evidence:
    assert evidence.relay is not None
    relay = replace(evidence.relay, **changes)
    return replace(evidence, relay=relay)


def seqs(first: int, last: int) -> IntervalSet:
    return IntervalSet([(first, last)])


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
    [(20, 0, 0), (19, 0, 1), (18, 2, 0), (21, 1, 0)],
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


def test_messages_may_expire_while_the_server_is_looked_at() -> None:
    spec, simulation = fanout(1)
    simulation.publish(50)
    simulation.poll(simulation.durables[0], 0, 10, "r")
    evidence = simulation.evidence()
    assert evidence.server is not None
    after = replace(evidence.server.stream_before, first_seq=21)
    durable = replace(evidence.server.durables["fpaas-00000"], num_pending=35)
    server = replace(evidence.server, stream_after=after, durables={durable.name: durable})
    balanced = balance(spec, replace(evidence, server=server))
    assert balanced.unexplained == 0
    assert (balanced.expired_unread, balanced.pending_at_end) == (0, 40)


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


# -- what was killed, lost, removed ----------------------------------------------------------------


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
