"""`summary.json`, the figures of a run, as `fpaas report` writes them.

A figure is null if it was not measured. Times are seconds since T0 unless their name says
otherwise; what has no default here is in summaries of all versions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from fpaas.records.accounts import FaultAccount, LedgerFigures, Order, Recovery, Relay
from fpaas.records.fields import Count, Number, doc
from fpaas.records.judgement import Goal, Limit, Verdict
from fpaas.records.legs import Fidelity, HostClock, Leg
from fpaas.records.usage import Jetstream, Resources, Use

NAME = "summary.json"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened beside the load."""

    at_s: Annotated[float, doc("begin_s")]
    short: Annotated[str, doc("for a chart's margin")]
    sentence: str
    kind: Annotated[str | None, doc("null: of an older report")] = None
    source: Annotated[str | None, doc("agent, playbook, server, observer, or fault")] = None
    host: Annotated[str | None, doc("where it was seen")] = None
    begin_s: float | None = None
    end_s: Annotated[
        float | None, doc("null: it lasted to the run's end, or until who saw it died")
    ] = None
    parameters: dict[str, Any] = {}
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

    from_s: float
    until_s: float
    calls_from_s: Annotated[float | None, doc("of calls, which are filed by second")] = None
    calls_until_s: float | None = None
    calls_by: Annotated[
        Literal["beginning", "end"] | None, doc("what makes a call one of the window")
    ] = None


class PerConsumer(msgspec.Struct, kw_only=True):
    """Over consumers."""

    min: Number | None
    p50: Number | None
    p99: Number | None
    max: Number | None


class Throughput(msgspec.Struct, kw_only=True):
    """Messages a second in the window, as far as the run lasted.

    null if an agent has no samples about an end of the window, because it was frozen, say: nobody
    knows then what it had counted by that time.
    """

    offered_per_s: float | None
    published_per_s: float | None
    processed_per_s: float | None
    per_consumer_per_s: PerConsumer


class MessageBytes(msgspec.Struct, kw_only=True):
    """Payload of published messages, bytes."""

    count: Count | None
    mean: Number | None
    p50: Number | None
    p99: Number | None
    max: Number | None


class KindBytes(MessageBytes, kw_only=True):
    """The same of one kind and collection."""

    share_of_bytes: float | None


class StorageRate(msgspec.Struct, kw_only=True):
    """What the stream takes at a rate, for a time, on a number of replicas together; bytes."""

    rate: str
    per_s: float | None
    bytes_5_min_r1: Count | None
    bytes_5_min_r3: Count | None
    bytes_24_h_r1: Count | None
    bytes_24_h_r3: Count | None


class Storage(msgspec.Struct, kw_only=True):
    """What the stream takes, at its fullest."""

    payload_bytes_per_message: float | None
    stream_bytes_per_message: float | None
    overhead_bytes_per_message: float | None
    stream_messages: Count | None
    rates: list[StorageRate]


class ClassFigures(msgspec.Struct, kw_only=True):
    """One class of a mix's consumers; the side of the deliveries in the ledger."""

    consumers: Count
    filters: Annotated[list[str], doc("subjects that its durables ask for")]
    processed_per_s: float | None
    per_consumer_per_s: PerConsumer
    consumers_never_fetched: Count | None
    polls: Count | None
    fetches: FetchFigures
    ledger: LedgerFigures
    plan: dict[str, Number | str | bool | None]
    latency_ms: Annotated[
        dict[str, Leg], doc("by leg, those of its deliveries and pulls; empty of older runs")
    ] = {}


class FetchFigures(msgspec.Struct, kw_only=True):
    """How pulls ended, as in `consumers-W.json`, of all consumers."""

    pulls: Count | None = None
    ok: Count | None
    empty: Count | None
    refused: Count | None = None
    client_timeout: Count | None
    lost: Count | None = None
    unanswered: Count | None = None
    unsent: Count | None = None
    by_status: dict[str, Count] | None
    batch_fill_pct: Annotated[
        float | None, doc("mean share of a batch that pulls brought, of those that brought any")
    ] = None


class ConnectionFigures(msgspec.Struct, kw_only=True):
    """Consumers' connections to NATS."""

    count: Count | None
    errors: Count | None
    reconnects: Count | None
    slow_consumer_disconnects: Count | None


class Summary(msgspec.Struct, kw_only=True):
    """The figures of a run. Counts of ledger, fetches and connections are of the whole run.

    To add a key: a field here, with null as its default, for older reports lack it; and what it is
    in `summary`.
    """

    schema: Annotated[Literal[1], doc("later versions with this number only add keys")]
    run_id: str
    scenario: str
    delivery: str
    fetch: str
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
    verdict: Verdict
    window: Window
    throughput: Throughput
    latency_ms: Annotated[dict[str, Leg], doc("by leg")]
    message_bytes: MessageBytes
    message_bytes_by_kind: Annotated[dict[str, KindBytes] | None, doc('by "<kind> <collection>"')]
    storage: Storage
    resources: Resources
    use: Annotated[dict[str, dict[str, Use]], doc("by host, then by resource or process")]
    jetstream: Jetstream
    ledger: LedgerFigures
    relay: Relay | None = None
    order: Order
    fetches: FetchFigures
    connections: ConnectionFigures
    fidelity: Fidelity
    plan: Annotated[dict[str, Number | str | bool | None], doc("what the parameters predict")]
    classes: Annotated[
        dict[str, ClassFigures], doc("by class of a mix; empty if all consumers poll alike")
    ] = {}
    clock: Annotated[dict[str, HostClock], doc("by host")]
    events: Annotated[list[Event], doc("what happened, in order of time")]
    notes: list[str]
    goals: list[Goal]
    limited_by: Limit | None
    recovery: Annotated[Recovery | None, doc("null in summaries of older versions")] = None
    faults: Annotated[list[FaultAccount], doc("in the order of bench_faults")] = []
