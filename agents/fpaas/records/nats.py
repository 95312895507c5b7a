"""What a probe writes about NATS: `probe.nats.jsonl` during a run, then `probe.final.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from fpaas.records.fields import Count, Number, UnixNs
from fpaas.spec.described import doc

SAMPLES = "probe.nats.jsonl"
FINAL = "probe.final.json"


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The stream as the server describes it."""

    messages: Annotated[Count, doc("stored")]
    bytes: Annotated[Count, doc("as stored")]
    first_seq: Annotated[Count, doc("of the oldest message")]
    last_seq: Annotated[Count, doc("of the newest message")]
    consumer_count: Annotated[Count, doc("consumers that the stream has")] = 0
    num_deleted: Annotated[Count, doc("sequences inside the stream that are gone")] = 0
    deleted: Annotated[list[int], doc("which ones, if that was asked for")] = []
    created: Annotated[
        str | None, doc("when it was made: tells it from one that was lost; null: not known")
    ] = None


def together(states: Sequence[StreamState]) -> StreamState:
    """Return several streams as if they were one: sequences count the messages of all.

    >>> one = StreamState(messages=2, bytes=9, first_seq=4, last_seq=5)
    >>> empty = StreamState(messages=0, bytes=0, first_seq=0, last_seq=0)
    >>> both = together([one, one, empty])
    >>> both.messages, both.first_seq, both.last_seq
    (4, 7, 10)
    """
    if len(states) == 1:
        return states[0]
    return StreamState(
        messages=sum(one.messages for one in states),
        bytes=sum(one.bytes for one in states),
        first_seq=1 + sum(max(one.first_seq, 1) - 1 for one in states),
        last_seq=sum(one.last_seq for one in states),
        consumer_count=sum(one.consumer_count for one in states),
        num_deleted=sum(one.num_deleted for one in states),
    )


class StreamAtEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One of several streams when the run has settled."""

    before: Annotated[StreamState, doc("before the consumers were listed")]
    after: Annotated[StreamState, doc("after that")]


class DurableState(msgspec.Struct, frozen=True, kw_only=True):
    """A durable as the server describes it."""

    name: Annotated[str, doc("of the durable")]
    delivered_consumer_seq: Annotated[Count, doc("deliveries so far")]
    delivered_stream_seq: Annotated[Count, doc("stream sequence delivered last")]
    num_pending: Annotated[Count, doc("messages that it has yet to be sent")]
    num_ack_pending: Annotated[Count, doc("deliveries that wait for their ack")]
    num_redelivered: Annotated[Count, doc("of those, the ones sent more than once")]
    ack_floor_consumer_seq: Annotated[Count, doc("up to which all deliveries were acked")] = 0
    ack_floor_stream_seq: Annotated[Count, doc("up to which all messages were acked")] = 0
    num_waiting: Annotated[Count | None, doc("pulls that wait")] = None
    paused: Annotated[bool, doc("somebody paused it: pulls are answered as if nothing waited")] = (
        False
    )


class ServerLife(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tells one life of a server from the next."""

    server_id: Annotated[str, doc("new at each start")]
    start: Annotated[str, doc("when it started, as it says")]
    version: Annotated[str, doc("of nats-server")]
    slow_consumers: Annotated[Count | None, doc("connections dropped for being too slow")] = None


class Varz(ServerLife, frozen=True, kw_only=True, omit_defaults=True):
    """The server's counters, since it started."""

    cpu_pct: Annotated[Number | None, doc("of one core")] = None
    mem_mb: Annotated[float | None, doc("10^6 bytes")] = None
    connections: Annotated[Count | None, doc("open now")] = None
    total_connections: Annotated[Count | None, doc("since its start")] = None
    in_msgs: Annotated[Count | None, doc("received since its start")] = None
    out_msgs: Annotated[Count | None, doc("sent since its start")] = None
    in_bytes: Annotated[Count | None, doc("received since its start")] = None
    out_bytes: Annotated[Count | None, doc("sent since its start")] = None


class Connz(msgspec.Struct, frozen=True, kw_only=True):
    """Its connections now."""

    count: Annotated[Count, doc("connections")]
    pending_bytes_max: Annotated[Count | None, doc("most bytes that one has yet to be sent")]


class Lag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What consumers have yet to be sent, in messages; percentiles are null without consumers."""

    consumers: Annotated[Count, doc("how many were asked")]
    p50: Annotated[Count | None, doc("median, messages")]
    p99: Annotated[Count | None, doc("99th percentile, messages")]
    max: Annotated[Count | None, doc("highest, messages")]
    sum: Annotated[Count, doc("of all, messages")]
    unix_ns: Annotated[UnixNs | None, doc("when looking at all consumers began")] = None
    took_ms: Annotated[float | None, doc("to ask all of them")] = None


class NatsSample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `probe.nats.jsonl`. Missing figures are left out; `error` says why."""

    unix_ns: UnixNs
    varz: Annotated[Varz | None, doc("the server")] = None
    stream: Annotated[StreamState | None, doc("left out: the server has no such stream")] = None
    connz: Annotated[Connz | None, doc("its connections")] = None
    lag: Annotated[Lag | None, doc("of the server that leads the stream only")] = None
    ack_pending: Annotated[Count | None, doc("deliveries of all consumers without an ack")] = None
    took_ms: Annotated[float | None, doc("how long asking took")] = None
    server: Annotated[str | None, doc("its name, in a cluster")] = None
    leader: Annotated[str | None, doc("who leads the stream, in a cluster; empty: nobody")] = None
    streams: Annotated[
        list[StreamState], doc("with bench_streams, each in order; then stream has them together")
    ] = []
    error: Annotated[str | None, doc("what did not answer, and why")] = None


class FinalSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`probe.final.json`: the server's own figures when the run has settled."""

    unix_ns: UnixNs
    took_ms: Annotated[float | None, doc("from the first look to the last")] = None
    stream_before: Annotated[StreamState, doc("before the consumers were listed")]
    stream_after: Annotated[StreamState, doc("after that")]
    consumers: Annotated[list[DurableState], doc("all durables")]
    server: Annotated[ServerLife | None, doc("null: the monitoring port did not answer")]
    streams: Annotated[
        list[StreamAtEnd] | msgspec.UnsetType,
        doc("with bench_streams, each in order; stream_before and stream_after have them together"),
    ] = msgspec.UNSET
