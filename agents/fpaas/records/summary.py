"""`summary.json`, the figures of a run, as `fpaas report` writes them.

A figure is null if it was not measured. Times are seconds since T0 unless their name says
otherwise; what has no default here is in summaries of all versions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from fpaas.records.accounts import FaultAccount, LedgerFigures, Order, Recovery, Relay
from fpaas.records.fields import Count, Number
from fpaas.records.judgement import Goal, Limit, Verdict
from fpaas.records.legs import Fidelity, HostClock, Leg
from fpaas.records.usage import Jetstream, Resources, Use
from fpaas.spec.described import doc

NAME = "summary.json"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened beside the load."""

    at_s: Annotated[float, doc("begin_s")]
    short: Annotated[str, doc("for a chart's margin")]
    sentence: Annotated[str, doc("for people")]
    kind: Annotated[str | None, doc("null: of an older report")] = None
    source: Annotated[str | None, doc("agent, playbook, server, observer, or fault")] = None
    host: Annotated[str | None, doc("where it was seen")] = None
    begin_s: Annotated[float | None, doc("s since T0")] = None
    end_s: Annotated[
        float | None, doc("null: it lasted to the run's end, or until who saw it died")
    ] = None
    parameters: Annotated[dict[str, Any], doc("of its kind")] = {}
    noticed_s: Annotated[float | None, doc("when the observer noticed it; null: not recorded")] = (
        None
    )
    faults: Annotated[
        list[int],
        doc(
            "places in bench_faults of those that may have brought it about: they were on when it "
            "happened, or one had been last, up to 30 s before"
        ),
    ] = []


class Window(msgspec.Struct, kw_only=True):
    """The stretch of the run that rates and latencies are of."""

    from_s: Annotated[float, doc("s since T0")]
    until_s: Annotated[float, doc("s since T0")]
    calls_from_s: Annotated[float | None, doc("of calls, which are filed by second")] = None
    calls_until_s: Annotated[float | None, doc("s since T0, of calls")] = None
    calls_by: Annotated[
        Literal["beginning", "end"] | None, doc("what makes a call one of the window")
    ] = None


class PerConsumer(msgspec.Struct, kw_only=True):
    """Over consumers."""

    min: Annotated[Number | None, doc("lowest, messages/s")]
    p50: Annotated[Number | None, doc("median, messages/s")]
    p99: Annotated[Number | None, doc("99th percentile, messages/s")]
    max: Annotated[Number | None, doc("highest, messages/s")]


class Throughput(msgspec.Struct, kw_only=True):
    """Messages a second in the window, as far as the run lasted.

    null if an agent has no samples about an end of the window, because it was frozen, say: nobody
    knows then what it had counted by that time.
    """

    offered_per_s: Annotated[float | None, doc("frames/s that fell due")]
    published_per_s: Annotated[float | None, doc("events/s that NATS acknowledged")]
    processed_per_s: Annotated[float | None, doc("messages/s of all consumers together")]
    per_consumer_per_s: Annotated[PerConsumer, doc("of each consumer")]


class MessageBytes(msgspec.Struct, kw_only=True):
    """Payload of published messages, bytes."""

    count: Annotated[Count | None, doc("messages")]
    mean: Annotated[Number | None, doc("mean, bytes")]
    p50: Annotated[Number | None, doc("median, bytes")]
    p99: Annotated[Number | None, doc("99th percentile, bytes")]
    max: Annotated[Number | None, doc("highest, bytes")]


class KindBytes(MessageBytes, kw_only=True):
    """The same of one kind and collection."""

    share_of_bytes: Annotated[float | None, doc("of all published bytes, 0 to 1")]


class StorageRate(msgspec.Struct, kw_only=True):
    """What the stream takes at a rate, for a time, on a number of replicas together; bytes."""

    rate: Annotated[str, doc("which rate")]
    per_s: Annotated[float | None, doc("messages/s")]
    bytes_5_min_r1: Annotated[Count | None, doc("of 5 minutes, one replica")]
    bytes_5_min_r3: Annotated[Count | None, doc("of 5 minutes, three replicas")]
    bytes_24_h_r1: Annotated[Count | None, doc("of 24 hours, one replica")]
    bytes_24_h_r3: Annotated[Count | None, doc("of 24 hours, three replicas")]


class Storage(msgspec.Struct, kw_only=True):
    """What the stream takes, at its fullest."""

    payload_bytes_per_message: Annotated[float | None, doc("as published")]
    stream_bytes_per_message: Annotated[float | None, doc("as the server counts")]
    overhead_bytes_per_message: Annotated[float | None, doc("the difference")]
    stream_messages: Annotated[Count | None, doc("messages when the stream was fullest")]
    rates: Annotated[list[StorageRate], doc("what the stream takes at several rates")]


class ClassFigures(msgspec.Struct, kw_only=True):
    """One class of a mix's consumers; the side of the deliveries in the ledger."""

    consumers: Annotated[Count, doc("how many")]
    filters: Annotated[list[str], doc("subjects that its durables ask for")]
    processed_per_s: Annotated[float | None, doc("messages/s of all its consumers")]
    per_consumer_per_s: Annotated[PerConsumer, doc("of each consumer")]
    consumers_never_fetched: Annotated[Count | None, doc("consumers that received nothing")]
    polls: Annotated[Count | None, doc("polls made")]
    fetches: Annotated[FetchFigures, doc("how its pulls ended")]
    ledger: Annotated[LedgerFigures, doc("its deliveries")]
    plan: Annotated[
        dict[str, Number | str | bool | None], doc("figures of the plan for this class")
    ]
    latency_ms: Annotated[
        dict[str, Leg], doc("by leg, those of its deliveries and pulls; empty of older runs")
    ] = {}


class FetchFigures(msgspec.Struct, kw_only=True):
    """How pulls ended, as in `consumers-W.json`, of all consumers."""

    pulls: Annotated[Count | None, doc("pulls sent")] = None
    ok: Annotated[Count | None, doc("pulls that brought at least one message")]
    empty: Annotated[Count | None, doc("pulls that brought none (404 or 408)")]
    refused: Annotated[
        Count | None, doc("pulls that another status answered without a message")
    ] = None
    client_timeout: Annotated[Count | None, doc("pulls without an answer for 5 s")]
    lost: Annotated[Count | None, doc("pulls whose connection broke")] = None
    unanswered: Annotated[Count | None, doc("pulls that were open when the run ended")] = None
    unsent: Annotated[Count | None, doc("polls that fell due and were never sent")] = None
    by_status: Annotated[dict[str, Count] | None, doc("statuses received, by code")]
    batch_fill_pct: Annotated[
        float | None, doc("mean share of a batch that pulls brought, of those that brought any")
    ] = None


class ConnectionFigures(msgspec.Struct, kw_only=True):
    """Consumers' connections to NATS."""

    count: Annotated[Count | None, doc("connections of consumers")]
    errors: Annotated[Count | None, doc("errors on them")]
    reconnects: Annotated[Count | None, doc("lost and made again")]
    slow_consumer_disconnects: Annotated[
        Count | None, doc("cut off by NATS because they read too slowly")
    ]


class Summary(msgspec.Struct, kw_only=True):
    """The figures of a run. Counts of ledger, fetches and connections are of the whole run.

    To add a key: a field here, with null as its default, for older reports lack it; and what it is
    in `summary`.
    """

    schema: Annotated[Literal[1], doc("later versions with this number only add keys")]
    run_id: Annotated[str, doc("as in run.json")]
    scenario: Annotated[str, doc("its name")]
    delivery: Annotated[str, doc("fanout, shared or partitioned")]
    fetch: Annotated[str, doc("once or drain")]
    consumer_kind: Annotated[
        str, doc("bench_consumer_kind; pull in summaries of older versions")
    ] = "pull"
    made_again: Annotated[
        dict[str, Count] | None,
        doc(
            "how often ordered consumers were made again, by cause: gap, silence, connection, "
            "status; null if there were none"
        ),
    ] = None
    verdict: Annotated[Verdict, doc("and its reasons")]
    window: Annotated[Window, doc("what rates and latencies cover")]
    throughput: Annotated[Throughput, doc("rates in the window")]
    latency_ms: Annotated[dict[str, Leg], doc("by leg")]
    message_bytes: Annotated[MessageBytes, doc("sizes of published messages")]
    message_bytes_by_kind: Annotated[dict[str, KindBytes] | None, doc('by "<kind> <collection>"')]
    storage: Annotated[Storage, doc("bytes of the stream")]
    resources: Annotated[Resources, doc("of the lab's processes")]
    use: Annotated[dict[str, dict[str, Use]], doc("by host, then by resource or process")]
    jetstream: Annotated[Jetstream, doc("the server's own figures")]
    ledger: Annotated[LedgerFigures, doc("of every event and delivery")]
    relay: Annotated[Relay | None, doc("how the relay behaved")] = None
    order: Annotated[Order, doc("events of one DID out of order")]
    fetches: Annotated[FetchFigures, doc("how pulls ended")]
    connections: Annotated[ConnectionFigures, doc("of the consumers")]
    fidelity: Annotated[Fidelity, doc("how punctual the lab itself was")]
    plan: Annotated[dict[str, Number | str | bool | None], doc("what the parameters predict")]
    classes: Annotated[
        dict[str, ClassFigures], doc("by class of a mix; empty if all consumers poll alike")
    ] = {}
    clock: Annotated[dict[str, HostClock], doc("by host")]
    events: Annotated[list[Event], doc("what happened, in order of time")]
    notes: Annotated[list[str], doc("sentences")]
    goals: Annotated[list[Goal], doc("each with its limit and what was measured")]
    limited_by: Annotated[Limit | None, doc("what limited the run; null: older versions")]
    recovery: Annotated[Recovery | None, doc("null in summaries of older versions")] = None
    faults: Annotated[list[FaultAccount], doc("in the order of bench_faults")] = []
