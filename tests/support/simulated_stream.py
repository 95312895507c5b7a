"""A stream and its durables, simulated: who got what is known, message by message."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from fpaas.bundle.parts import ServerFinal
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.measures.delivery_log import ConsumerDeliveries, DeliveryLog
from fpaas.measures.intervals import IntervalSet
from fpaas.records.consumers import (
    ClassFetches,
    Connections,
    Fetches,
    WorkerOutage,
    WorkerResult,
)
from fpaas.records.nats import DurableState, StreamState
from fpaas.records.relay import RelayResult
from fpaas.shuffler.subjects import ClassesOf
from fpaas.spec import NS_PER_S, RunSpec, Scenario, Topology, acks, build, read_variables
from fpaas.spec.answers import FAILURES, Answer, Answers
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
                        never_fetched=sum(not log.runs for log in logs),
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
    *,
    never_fetched: int = 0,
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
        consumers_never_fetched=never_fetched,
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


def replicated(spec: RunSpec) -> RunSpec:
    return replace(spec, stream=replace(spec.stream, replicas=3))


def seqs(first: int, last: int) -> IntervalSet:
    return IntervalSet([(first, last)])
