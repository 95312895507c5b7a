"""Runs with several streams: who is where, what is refused, and an account of each stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpaas.bundle.parts import ServerFinal
from fpaas.jetstream import asked
from fpaas.ledger.balance import balance
from fpaas.ledger.disagreements import About
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.ledger.removals import Removals
from fpaas.measures.delivery_log import DeliveryLog
from fpaas.measures.intervals import IntervalSet
from fpaas.plan import capacity
from fpaas.records.nats import StreamAtEnd, together
from fpaas.records.relay import RelayResult
from fpaas.records.shuffler import PublishedTo
from fpaas.shuffler.publish import Publish
from fpaas.shuffler.publish_account import Account
from fpaas.shuffler.publish_answers import Ack, AnswerReader, Refusal
from fpaas.shuffler.publish_window import PublishWindow
from fpaas.spec import RunSpec, Scenario, SpecError, Topology, build, check_run, read_variables
from fpaas.text import plan_text
from tests.support.shuffler_results import FIRST_SEQ, make_shuffler
from tests.support.simulated_stream import (
    DELIVERED,
    EXPIRED,
    LOST,
    PENDING,
    STEPS,
    Durable,
    Simulation,
    identities_hold,
    make_worker,
    nats_matches,
    play,
    replace,
)

HERE = {group: ["h"] for group in ("relay", "nats", "shuffler", "consumers")}


def make_spec(
    streams: int, consumers: int, hosts: dict[str, list[str]] | None = None, **variables: object
) -> RunSpec:
    values = {"bench_streams": streams, "bench_consumers": consumers, **variables}
    return build(
        read_variables(values),
        run_id="r",
        scenario=Scenario("s", "t", "g"),
        topology=Topology(hosts or HERE, "nats://h", "http://h", "ws://h"),
        first_seq=FIRST_SEQ,
    )


# -- who is where ----------------------------------------------------------------------------------


@given(
    streams=st.integers(2, 64),
    did=st.text(max_size=20),
    delivery=st.sampled_from(["fanout", "partitioned"]),
)
def test_a_did_is_in_one_stream_which_its_publisher_knows(
    streams: int, did: str, delivery: str
) -> None:
    spec = make_spec(streams, 70, bench_delivery=delivery)
    partition = crc32(did.encode()) % spec.partitions
    subject = f"atproto.firehose.commit.{partition}.app.bsky.feed.like"
    having = [
        number
        for number in range(streams)
        if any(nats_matches(one, subject) for one in asked.stream(spec, number)["subjects"])
    ]
    assert having == [partition % streams]


@pytest.mark.parametrize("delivery", ["fanout", "shared", "partitioned"])
def test_a_durable_is_on_one_stream_and_its_filter_lets_through_what_that_has(
    delivery: str,
) -> None:
    spec = make_spec(4, 10, bench_delivery=delivery)
    durables = asked.durables_of(spec, range(10))
    assert (
        len({one.name for one in durables}) == len(durables) == (4 if delivery == "shared" else 10)
    )
    for one in durables:
        number = spec.stream.names.index(one.stream)
        subjects = asked.stream(spec, number)["subjects"]
        [wanted] = one.filter_subjects
        if delivery == "partitioned":
            assert wanted in subjects
        else:
            assert wanted == "atproto.firehose.>"


def test_streams_share_the_size_and_have_names_of_one_length() -> None:
    spec = make_spec(3, 10, bench_stream_max_bytes=10_000_000)
    streams = [asked.stream(spec, number) for number in range(3)]
    assert [one["name"] for one in streams] == [
        f"ATPROTO_FIREHOSE_0{number}" for number in range(3)
    ]
    assert [one["max_bytes"] for one in streams] == [3_333_333] * 3


def test_a_single_stream_is_as_it_was() -> None:
    spec = make_spec(1, 10)
    assert spec.stream.names == ["ATPROTO_FIREHOSE"]
    assert asked.stream(spec)["subjects"] == ["atproto.firehose.>"]
    assert asked.stream(spec)["max_bytes"] == spec.stream.max_bytes
    shared = make_spec(1, 10, bench_delivery="shared")
    assert shared.durable_of(3) == "fpaas-shared"


def test_a_run_of_before_there_were_several_has_one() -> None:
    raw = msgspec.json.decode(make_spec(1, 10).to_json())
    del raw["stream"]["count"], raw["variables"]["bench_streams"]
    spec = RunSpec.from_json(msgspec.json.encode(raw).decode(), "run.json")
    assert spec.stream.count == 1
    check_run(spec, "run.json")


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"bench_streams": 0}, "allowed: a whole number of streams from 1 to 64"),
        ({"bench_streams": "by_kind"}, "bench_streams: 'by_kind' is not allowed"),
        ({"bench_consumers": 1}, "nobody would read the others; allowed: up to 1"),
        ({"bench_mix": [{"name": "a", "count": 2}], "bench_consumers": 2}, "with bench_mix"),
        (
            {"bench_consumers": 10_001, "bench_delivery": "partitioned"},
            "allowed: 1, or up to 10000 consumers",
        ),
        *(
            ({"bench_faults": [{"do": do, "on": on, "at_s": 5}]}, "are not made again")
            for do in ("kill", "restart")
            for on in ("nats", "shuffler", "h")
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_refused_by_name(variables: dict[str, Any], said: str) -> None:
    values = {"bench_streams": 2, "bench_consumers": 10, **variables}
    with pytest.raises(SpecError) as refused:
        make_spec(values.pop("bench_streams"), values.pop("bench_consumers"), **values)
    assert str(refused.value).startswith("bench_streams: ")
    assert said in str(refused.value)


def test_a_cluster_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^bench_streams: 2 is not allowed with 3 NATS hosts: "):
        make_spec(2, 10, HERE | {"nats": ["a", "b", "c"]}, bench_stream_replicas=3)


def test_faults_that_end_no_stream_are_allowed() -> None:
    faults = [
        {"do": "pause", "on": "nats", "at_s": 5, "for_s": 1},
        {"do": "kill", "on": "worker:0", "at_s": 5},
        {"do": "disconnect", "on": "relay", "at_s": 9},
    ]
    spec = make_spec(2, 10, bench_faults=faults)
    check_run(spec, "run.json")
    with pytest.raises(SpecError, match=r"^run.json: bench_streams: 20 is not allowed"):
        check_run(replace(spec, stream=replace(spec.stream, count=20)), "run.json")


# -- what is planned -------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", ["fanout", "shared", "partitioned"])
def test_the_plan_shares_the_firehose_out(delivery: str) -> None:
    one, four = (
        capacity.predict(
            make_spec(n, 100, bench_delivery=delivery, bench_fetch="drain", bench_poll_interval_s=5)
        )
        for n in (1, 4)
    )
    assert four["owed"] == one["owed"] // (4 if delivery == "fanout" else 1)
    assert four["stream_messages"] == one["stream_messages"]
    assert four["delivered"] + four["expired_unread"] + four["pending_at_end"] == four["owed"]


def test_the_plan_says_how_many_streams_there_are() -> None:
    spec = make_spec(4, 100)
    said = plan_text.describe(spec, capacity.predict(spec), [], [])
    said = " ".join(said.split())
    assert "4 streams, each consumer reads one of them" in said
    assert "4 streams of 500 MB" in said


# -- what is published -----------------------------------------------------------------------------


def test_answers_of_several_streams_are_told_apart() -> None:
    reader = AnswerReader(["S_00", "S_01"])
    assert reader.read(b"", b'{"stream":"S_01","seq":7}') == Ack(7, duplicate=False, stream=1)
    assert reader.read(b"", b'{"stream":"S_00","seq":7}') == Ack(7, duplicate=False, stream=0)
    twice = b'{"stream":"S_01","seq":7,"duplicate":true}'
    assert reader.read(b"", twice) == Ack(7, duplicate=True, stream=1)
    assert isinstance(reader.read(b"", b'{"stream":"S_02","seq":7}'), Refusal)


class Bench:
    """A window over two streams."""

    def __init__(self) -> None:
        self.account = Account(keep_dids=True, streams=2)
        self.window = PublishWindow(self.account)

    def write(self, seq: int, stream: int) -> int:
        item = Publish(seq, b"s", b"h", b"f", label="l", did_crc=seq, stream=stream)
        token = self.window.add(item)
        self.window.written(item, 0.0, 1)
        return token

    def write_again(self, token: int) -> None:
        self.window.written(self.window.pending[token], 9.0, 2)

    def stored(self, token: int, place: int, stream: int) -> None:
        self.window.answer(token, Ack(place, duplicate=False, stream=stream), 1.0)


def test_places_of_streams_are_their_own() -> None:
    bench = Bench()
    for seq, place, stream in ((1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 2, 0)):
        bench.stored(bench.write(seq, stream), place, stream)
    assert not bench.window.stream_began_anew
    first, second = bench.account.streams
    assert first.seqs is not None
    assert second.seqs is not None
    assert (first.seqs.tolist(), second.seqs.tolist()) == ([2, 5], [3, 4])
    assert first.dids is not None
    assert first.dids.tolist() == [1, 4]
    assert bench.account.last_stream_seq == 4
    assert bench.account.published == 4


def test_a_repeat_is_settled_by_the_end_of_its_own_stream() -> None:
    bench = Bench()
    for place in range(1, 6):
        bench.stored(bench.write(place, 0), place, 0)
    token = bench.write(6, 1)
    bench.write_again(token)
    # Stream 0 has that many already; stream 1 had nothing when it was written.
    bench.window.answer(token, Ack(1, duplicate=True, stream=1), 9.0)
    assert (bench.account.settled, bench.account.duplicates) == (1, 0)
    assert bench.account.streams[1].last_seq == 1


def test_a_second_copy_is_in_the_stream_that_answered() -> None:
    bench = Bench()
    bench.stored(bench.write(1, 0), 1, 0)
    token = bench.write(2, 1)
    bench.write_again(token)
    bench.stored(token, 1, 1)
    bench.stored(token, 2, 1)
    assert bench.account.stored_twice == 1
    assert [list(one.copy_seqs) for one in bench.account.streams] == [[], [(2, 2)]]


def test_a_place_that_one_stream_gives_twice_is_noticed() -> None:
    bench = Bench()
    bench.stored(bench.write(1, 1), 1, 1)
    bench.stored(bench.write(2, 1), 1, 1)
    assert bench.window.stream_began_anew


# -- the account -----------------------------------------------------------------------------------


def simulations(spec: RunSpec) -> list[Simulation]:
    """Return a simulation of each stream, with the durables that are on it."""
    made = []
    for number in range(spec.stream.count):
        durables: dict[str, Durable] = {}
        for index in range(number, spec.consumers.count, spec.stream.count):
            name = spec.durable_of(index)
            durable = durables.setdefault(name, Durable(name, []))
            durable.logs.append(DeliveryLog(index, name, number))
        made.append(Simulation(list(durables.values())))
    return made


def evidence_of(simulated: Sequence[Simulation]) -> Evidence:
    """Return what a run leaves that has these streams; they take events in turn."""
    own = [one.evidence() for one in simulated]
    servers = [one.server for one in own if one.server is not None]
    total = sum(one.last for one in simulated)
    left = [one.last for one in simulated]
    seqs: list[list[int]] = [[] for _ in simulated]
    for seq in range(FIRST_SEQ, FIRST_SEQ + total):
        number = max(range(len(left)), key=lambda one: (left[one], seq % (one + 2)))
        left[number] -= 1
        seqs[number].append(seq + 1)
    workers = [worker for one in own for worker in one.workers or ()]
    return Evidence(
        relay=RelayResult(FIRST_SEQ, FIRST_SEQ + total - 1, total, total, 0, 0, 1, 0, 0.0),
        shuffler=make_shuffler(
            total, stream_seqs=[], streams=[PublishedTo(copy_seqs=IntervalSet()) for _ in own]
        ),
        server=ServerFinal(
            0,
            together([one.stream_before for one in servers]),
            together([one.stream_after for one in servers]),
            {name: state for one in servers for name, state in one.durables.items()},
            None,
            0,
            [StreamAtEnd(before=one.stream_before, after=one.stream_after) for one in servers],
        ),
        deliveries=[log for one in own for log in one.deliveries or ()],
        workers=[
            make_worker(
                sum(one.count for one in workers),
                sum(one.processed for one in workers),
                acks=sum(one.acks for one in workers),
                reconnects=sum(one.connections.reconnects for one in workers),
                never_fetched=sum(one.consumers_never_fetched for one in workers),
            )
        ],
        removals=Removals(),
        by_stream=[
            Evidence(
                relay=None,
                shuffler=None,
                server=one.server,
                deliveries=one.deliveries,
                workers=one.workers,
                dids=one.dids,
                removals=Removals(),
                seqs=places,
            )
            for one, places in zip(own, seqs, strict=True)
        ],
    )


STREAMS_STEPS = st.lists(st.tuples(st.integers(0, 3), STEPS), max_size=6)


@pytest.mark.parametrize("delivery", ["fanout", "shared"])
@settings(max_examples=200, deadline=None)
@given(streams=st.integers(2, 4), more=st.integers(0, 4), steps=STREAMS_STEPS)
def test_agrees_with_what_happened_in_each_stream(
    delivery: str, streams: int, more: int, steps: list[tuple[int, list[tuple[Any, ...]]]]
) -> None:
    spec = make_spec(streams, streams + more, bench_delivery=delivery)
    simulated = simulations(spec)
    for which, own in steps:
        play(simulated[which % streams], own)
    balanced = balance(spec, evidence_of(simulated))
    truth = [one.truth() for one in simulated]

    def happened(outcome: str) -> int:
        return sum(one[outcome] for one in truth)

    assert balanced.disagreements == []
    assert balanced.unexplained == 0
    assert identities_hold(balanced)
    assert balanced.stored == sum(one.last for one in simulated)
    assert balanced.delivered == happened(DELIVERED)
    assert balanced.pending_at_end == happened(PENDING)
    assert balanced.lost is not None
    assert balanced.expired_unread is not None
    assert balanced.lost + balanced.expired_unread == happened(LOST) + happened(EXPIRED)
    assert balanced.lost >= happened(LOST)


def played() -> tuple[RunSpec, list[Simulation]]:
    spec = make_spec(2, 4)
    simulated = simulations(spec)
    for one in simulated:
        one.publish(10)
        for durable in one.durables:
            one.poll(durable, 0, 6, "r")
    return spec, simulated


def about(ledger: Ledger) -> set[About]:
    return {one.about for one in ledger.disagreements}


def changed(evidence: Evidence, number: int, **changes: object) -> Evidence:
    by_stream = list(evidence.by_stream)
    by_stream[number] = replace(by_stream[number], **changes)
    return replace(evidence, by_stream=by_stream)


def test_an_event_that_is_in_no_stream_does_not_balance() -> None:
    spec, simulated = played()
    evidence = evidence_of(simulated)
    seqs = list(evidence.by_stream[1].seqs or ())
    ledger = balance(spec, changed(evidence, 1, seqs=[*seqs[:4], 0, *seqs[5:]]))
    assert about(ledger) == {About.STREAM_PLACES, About.STORED_PUBLISHED}
    assert ledger.unexplained == 2


def test_an_event_that_is_in_two_streams_does_not_balance() -> None:
    spec, simulated = played()
    evidence = evidence_of(simulated)
    other, seqs = (list(one.seqs or ()) for one in evidence.by_stream)
    ledger = balance(spec, changed(evidence, 1, seqs=[*seqs[:4], other[0], *seqs[5:]]))
    # Twice in one place, and missing in another.
    assert about(ledger) == {About.STREAM_PLACES}
    assert ledger.unexplained == 2


def test_streams_that_took_each_others_messages_do_not_balance() -> None:
    spec, simulated = played()
    evidence = evidence_of(simulated)
    seqs = [list(one.seqs or ()) for one in evidence.by_stream]
    evidence = changed(evidence, 0, seqs=[*seqs[0], seqs[1][-1]])
    ledger = balance(spec, changed(evidence, 1, seqs=seqs[1][:-1]))
    # In sum there is nothing amiss.
    assert about(ledger) == {About.STORED_PUBLISHED, About.ACKED_BEYOND_END}
    assert ledger.unexplained == 3


def test_copies_are_counted_where_they_are() -> None:
    spec, simulated = played()
    simulated[1].publish(1)
    evidence = evidence_of(simulated)
    seqs = list(evidence.by_stream[1].seqs or ())
    last = IntervalSet([(seqs[-1] - 1, seqs[-1] - 1)])
    published = IntervalSet([(FIRST_SEQ, FIRST_SEQ + 20)]).difference(last)
    shuffler = make_shuffler(21, stream_seqs=[], published=published, failed=last, stored_twice=1)
    # In the place of its last event, the second stream has a copy of another.
    evidence = changed(replace(evidence, shuffler=shuffler), 1, seqs=seqs[:-1])
    copied = changed(evidence, 1, copy_seqs=IntervalSet([(11, 11)]))
    assert balance(spec, copied).unexplained == 0
    assert about(balance(spec, evidence)) == {About.STORED_PUBLISHED}
    elsewhere = changed(evidence, 0, copy_seqs=IntervalSet([(11, 11)]))
    assert about(balance(spec, elsewhere)) == {About.STORED_PUBLISHED, About.ACKED_BEYOND_END}
    twice = changed(evidence, 1, copy_seqs=IntervalSet([(10, 11)]))
    assert about(balance(spec, twice)) == {About.STORED_PUBLISHED, About.STREAM_PLACES}


def test_an_unknown_publish_may_be_in_one_stream_and_not_in_both() -> None:
    spec, simulated = played()
    evidence = evidence_of(simulated)
    assert evidence.shuffler is not None
    # Each stream has one more than was acknowledged, and one publish has no known fate.
    seqs = [list(one.seqs or ()) for one in evidence.by_stream]
    last = [one[-1] for one in seqs]
    shuffler = make_shuffler(
        20,
        stream_seqs=[],
        published=evidence.shuffler.published.difference(
            IntervalSet(sorted((one - 1, one - 1) for one in last))
        ),
        unknown=IntervalSet([(last[0] - 1, last[0] - 1)]),
        failed=IntervalSet([(last[1] - 1, last[1] - 1)]),
    )
    evidence = replace(evidence, shuffler=shuffler)
    for number, one in enumerate(seqs):
        evidence = changed(evidence, number, seqs=one[:-1])
    ledger = balance(spec, evidence)
    assert about(ledger) == {About.STORED_PUBLISHED}
    assert ledger.unexplained == 1


def test_a_delivery_that_is_missing_in_one_stream_does_not_balance() -> None:
    spec, simulated = played()
    evidence = evidence_of(simulated)
    deliveries = evidence.by_stream[1].deliveries
    assert deliveries is not None
    fewer = [replace(deliveries[0], runs=[]), *deliveries[1:]]
    ledger = balance(spec, changed(evidence, 1, deliveries=fewer))
    assert ledger.unexplained != 0


def test_an_account_without_one_of_the_streams_is_none() -> None:
    spec, simulated = played()
    ledger = balance(spec, changed(evidence_of(simulated), 1, server=None))
    assert ledger.owed is None
    assert ledger.unexplained is None
