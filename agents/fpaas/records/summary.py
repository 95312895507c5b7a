"""`summary.json`, the figures of a run, as `fpaas report` writes them.

A figure is null if it was not measured. Times are seconds since T0 unless their name says
otherwise; what has no default here is in summaries of all versions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from fpaas.records.fields import Count, Number, doc
from fpaas.records.probe import ClockStep

NAME = "summary.json"
Figures = dict[str, Number | None]


class ReasonCode(msgspec.Struct, kw_only=True):
    """A reason for programs; `fpaas explain` says what its code means."""

    code: str
    severity: Literal["invalid", "fail", "note", "limit"]
    host: str | None
    parameters: dict[str, Any]


class Cause(msgspec.Struct, kw_only=True):
    """A cause among others, for programs."""

    code: str
    host: str | None
    parameters: dict[str, Any]


class Verdict(msgspec.Struct, kw_only=True):
    """Whether the run met its goals, and whether its figures are to be trusted."""

    status: Literal["pass", "fail", "invalid"]
    reasons: Annotated[list[str], doc("sentences, causes first")]
    reason_codes: Annotated[list[ReasonCode], doc("the same, then those of notes")] = []


class Goal(msgspec.Struct, kw_only=True):
    """One goal, judged."""

    name: str
    meaning: str
    unit: str
    comparison: Literal["at most", "at least"]
    limit: Number
    measured: Number | None
    status: Literal["met", "missed", "ruled out", "not measured"]
    why: Annotated[list[str], doc("why it was not met")]
    why_codes: Annotated[list[Cause], doc("the same")] = []
    consumers: Annotated[
        str | None, doc("class of a mix that it is judged for; null: all consumers")
    ] = None


class Limit(msgspec.Struct, kw_only=True):
    """What limited the run."""

    what: Annotated[str, doc("code; see fpaas explain")]
    sentence: str
    parameters: dict[str, Any] = {}


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
    noticed_s: Annotated[
        float | None, doc("when whoever saw it knew; null: that is not written down")
    ] = None
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


class Leg(msgspec.Struct, kw_only=True):
    """Latency of one leg in the window, ms."""

    count: Count | None
    min: Number | None
    p50: Number | None
    p90: Number | None
    p99: Number | None
    p999: Number | None
    max: Number | None
    negative_count: Annotated[Count | None, doc("samples below 0: clocks differ")]
    clock_error_ms: Annotated[Number | None, doc("what the clocks may be off by; null: not known")]
    not_resolvable: Annotated[list[str], doc("figures that are below that")]
    due_count: Annotated[Count | None, doc("calls that fell due")] = None
    open_count: Annotated[Count | None, doc("of those, without an end")] = None
    open_min_ms: Annotated[Number | None, doc("least age of those when nobody looked on")] = None
    at_least: Annotated[
        Figures | None,
        doc("figures that open calls could raise, with the most that each could be; null: any"),
    ] = None
    out_of_range_count: Annotated[Count | None, doc("samples of more than an hour")] = None
    missing_count: Annotated[int | None, doc("messages or calls that the leg leaves out")] = None
    missing_min_ms: Annotated[Number | None, doc("their least age")] = None
    assigned_by: Annotated[
        str | None, doc("what files a sample under the window: due, sent, received, …")
    ] = None


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


class MeanMax(msgspec.Struct, kw_only=True):
    """Over the window."""

    mean: float | None
    max: float | None


class ProcessResources(msgspec.Struct, kw_only=True):
    """What all processes of one name used together."""

    cpu_pct: Annotated[MeanMax, doc("100: one core")]
    rss_mb: Annotated[MeanMax, doc("10^6 bytes")]


class Resources(msgspec.Struct, kw_only=True):
    """What hosts and the lab's processes used in the window."""

    hosts: Annotated[
        dict[str, Figures],
        doc("shares and sizes with mean and _max; bytes, packets and events as they grew"),
    ]
    processes: dict[str, ProcessResources]


class Use(msgspec.Struct, kw_only=True):
    """One resource, or process, of a host; what is not measured is null or left out."""

    utilisation: Figures
    saturation: Figures
    errors: Figures


class ConsumerLag(msgspec.Struct, kw_only=True):
    """What consumers have yet to be sent, messages."""

    mean: float | None
    p50: Count | None
    p99: Count | None
    max: Count | None


class Jetstream(msgspec.Struct, kw_only=True):
    """The stream at the window's end, its consumers and connections."""

    messages: Count | None
    bytes: Count | None
    consumers: Count | None
    consumer_lag: ConsumerLag
    connection_pending_bytes_max: Count | None
    slow_consumers: Annotated[Count | None, doc("in the whole run")]


class LedgerFigures(msgspec.Struct, kw_only=True):
    """What became of each event and delivery; null if a part's evidence is missing.

    offered = not_read + undecodable + published + duplicates_rejected + publish_failed +
    publish_unknown; owed = delivered + expired_unread + pending_at_end + lost.
    """

    offered: Count | None = None
    not_read: Count | None = None
    undecodable: Count | None = None
    published: Count | None = None
    duplicates_rejected: Count | None = None
    publish_failed: Count | None = None
    publish_unknown: Count | None = None
    stored: Count | None = None
    owed: Count | None = None
    delivered: Count | None = None
    expired_unread: Count | None = None
    pending_at_end: Count | None = None
    lost: Count | None = None
    redelivered: Count | None = None
    duplicate_deliveries: Count | None = None
    unexplained: Annotated[Count | None, doc("what does not add up; 0 in a good run")] = None
    stored_twice: Annotated[Count | None, doc("repeats that the stream took as new")] = None
    acked: Annotated[
        Count | None,
        doc("delivered = acked + unacked + terminated + max_deliver_reached + failed + in_process"),
    ] = None
    terminated: Annotated[
        Count | None, doc("messages that consumers terminated: they could not process them")
    ] = None
    max_deliver_reached: Annotated[
        Count | None, doc("messages that failed as often as they may be delivered")
    ] = None
    failed: Annotated[
        Count | None, doc("messages that consumers failed each time so far, by failed_by_cause")
    ] = None
    failed_by_cause: Annotated[
        dict[str, Count] | None,
        doc("waiting: to be delivered again at the end; expired: left the stream before that"),
    ] = None
    in_process: Annotated[
        Count | None, doc("messages that consumers were still at work on when the run was over")
    ] = None
    unacked: Annotated[
        Count | None, doc("deliveries received whose ack the server does not have")
    ] = None
    not_read_by_cause: dict[str, Count] | None = None
    expired_by_cause: dict[str, Count] | None = None
    lost_by_cause: dict[str, Count] | None = None


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


class Order(msgspec.Struct, kw_only=True):
    """Events of one DID that lost their order."""

    violations_in_stream: Count | None
    violations_at_consumers: Count | None


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


class Lateness(msgspec.Struct, kw_only=True):
    """How late something of the lab's own was, ms."""

    p50: Number | None = None
    p99: Number | None
    max: Number | None
    count: Count | None = None
    due_count: Count | None = None
    open_count: Count | None = None
    open_min_ms: Number | None = None
    at_least: Figures | None = None


class Fidelity(msgspec.Struct, kw_only=True):
    """How late the lab itself was; `own`: of what nothing else held up."""

    poll_lateness_ms: Lateness
    poll_lateness_own_ms: Lateness | None = None
    start_spread_ms: Annotated[
        float | None, doc("from the first to the last start of an agent, T0 among them")
    ]
    loop_lag_ms: Lateness
    relay_lateness_ms: Lateness
    relay_lateness_own_ms: Lateness | None = None
    relay_blocked_s: Annotated[
        float | None, doc("how long sockets of the relay's subscribers took no more")
    ] = None


class HostClock(msgspec.Struct, kw_only=True):
    """The NATS host's clock minus this one's lay within offset_ms ± bound_ms; null: not known."""

    bound_ms: Number | None
    offset_ms: Number | None
    offset_at_start_ms: Annotated[
        Number | None,
        doc("the same before the run, which was added to this host's clock in the run"),
    ] = None
    method: str | None
    drifting: bool | None = None
    stepped: bool | None = None
    server: str | None = None
    steps: list[ClockStep] = []


class RelayGap(msgspec.Struct, kw_only=True):
    """Events of the relay that were never read."""

    after_seq: Annotated[int | None, doc("the relay's seq before them; null: none was read")]
    missing: Annotated[Count | None, doc("how many; null: the relay's numbers do not tell")]
    at_s: Annotated[float, doc("when that was noticed")]
    cause: str


class Relay(msgspec.Struct, kw_only=True):
    """How the relay behaved, ours or a foreign one."""

    foreign: bool
    silent_s: Annotated[
        dict[str, float | None],
        doc(
            "total, longest: of the window, without an event though it was read, in stretches "
            "longer than counted_from; unasked_…: without the time of the run's own faults"
        ),
    ]
    lag_growth_s: Annotated[
        float | None,
        doc("by how much it fell behind real time in the window; null: not live, or not measured"),
    ]
    gaps: Annotated[list[RelayGap] | None, doc("the first 100; null: not measured")]
    gap_count: Annotated[Count | None, doc("all of them")]
    missing: Annotated[Count | None, doc("events in gaps; null: their sizes are not known")]
    seq_resets: Annotated[Count | None, doc("how often its seqs went back to new events")]
    read: Annotated[Count | None, doc("events, each once")]
    reread: Annotated[Count | None, doc("frames that were read before")]
    undecodable: Count | None


class Outage(msgspec.Struct, kw_only=True):
    """Agents lost NATS. Seconds since T0; null: not until the end, or not known."""

    lost_s: Annotated[float, doc("the first of them noticed that its connection was lost")]
    noticed_after_s: Annotated[
        float | None, doc("from when it had been heard last; null: nobody watched")
    ]
    answered_s: Annotated[float | None, doc("the shuffler was connected again")]
    published_again_s: Annotated[
        float | None, doc("what was in flight, or lost with a stream, was written again")
    ]
    polled_again_s: Annotated[
        float | None, doc("the last worker had stream and durables, and its polls went on")
    ]
    served_again_s: Annotated[
        float | None, doc("the last consumer received something; null: one never did")
    ]
    consumers_unserved: Annotated[Count, doc("consumers that received nothing after it")]


class Recovery(msgspec.Struct, kw_only=True):
    """What losing NATS cost."""

    stream_recreated: Annotated[bool | None, doc("whether a stream was lost and made again")]
    streams_lost: Annotated[Count | None, doc("how often")]
    rewound_to_seq: Annotated[
        int | None, doc("the relay was read again from there; null: it was not")
    ]
    replayed: Annotated[Count | None, doc("events published again that a lost stream had")]
    lost_by_cause: Annotated[
        dict[str, Count],
        doc(
            "deliveries lost with a stream, by why it did not get them again: max_age (too old), "
            "not_replayed (the relay or the run had ended), in_delivery (on their way)"
        ),
    ]
    outages: list[Outage]


class FaultCost(msgspec.Struct, kw_only=True):
    """Terms of the ledger. Of a fault that is alone they are those of the whole run.

    Of several, a term that is 0 in the run is 0; redelivered, publish_failed and
    duplicates_rejected are as counted from its begin to the next one's, to a second, if they were
    not on at the same time; the rest is null.
    """

    not_read: Count | None
    publish_failed: Count | None
    publish_unknown: Count | None
    duplicates_rejected: Count | None
    lost: Count | None
    redelivered: Count | None
    duplicate_deliveries: Count | None
    lost_by_cause: Annotated[
        dict[str, Count] | None,
        doc("why, without zeros; of what went with a stream, recovery.lost_by_cause"),
    ] = None


class FaultAccount(msgspec.Struct, kw_only=True):
    """What one fault of the run's own did. Times are since T0; null: it did not come to that."""

    kind: Annotated[str, doc("its `do`")]
    on: Annotated[list[str], doc("<host>: <part>, where it happened")]
    parameters: Annotated[dict[str, Any], doc("the entry of bench_faults")]
    at_s: float
    for_s: float
    began_s: float | None
    ended_s: Annotated[float | None, doc("undone on its last host")]
    undone: bool
    detected_s: Annotated[
        float | None,
        doc(
            "from its begin until relay, shuffler or consumers noticed; one that it ended, when it "
            "was started again"
        ),
    ]
    served_s: Annotated[
        float | None,
        doc("from its end until the last consumer was served again, its wait for a poll included"),
    ]
    published_s: Annotated[
        float | None, doc("from its end until the shuffler published again, to two seconds")
    ]
    recovered_s: Annotated[float | None, doc("the longer of the two")]
    cost: FaultCost
    began_late_ms: Annotated[
        Number | None, doc("its begin after plan, on the worst of its hosts; null: not measured")
    ] = None
    begin_took_ms: Annotated[Number | None, doc("until it was injected, from there")] = None
    ended_late_ms: Annotated[
        Number | None, doc("its undoing after plan, the same; negative: the run was stopped before")
    ] = None
    end_took_ms: Annotated[Number | None, doc("until it was undone, from there")] = None


class Summary(msgspec.Struct, kw_only=True):
    """The figures of a run. Counts of ledger, fetches and connections are of the whole run.

    To add a key: a field here, with null as its default, for older reports lack it; and what it is
    in `summary.summary`.
    """

    schema: Annotated[Literal[1], doc("later versions with this number only add keys")]
    run_id: str
    scenario: str
    delivery: str
    fetch: str
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
