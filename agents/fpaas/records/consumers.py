"""`consumers-W.json`, what a worker process did, and `consumers-W.samples.jsonl`, once a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import field

from fpaas.records.calls import Calls
from fpaas.records.fields import Count, UnixNs
from fpaas.spec.described import doc


class Fetches(msgspec.Struct):
    """How pulls ended, and polls that never became one. A worker counts in it while it runs.

    `pulls` = ok + empty + refused + client_timeout + lost + unanswered + those in flight; none is
    in flight at the end.
    """

    pulls: Annotated[Count, doc("requests sent; a poll that drains sends several")] = 0
    ok: Annotated[Count, doc("brought at least one message")] = 0
    empty: Annotated[Count, doc("answered by 404 or 408, without a message")] = 0
    refused: Annotated[Count, doc("answered by another status, without a message")] = 0
    client_timeout: Annotated[Count, doc("not answered for 5 s")] = 0
    lost: Annotated[Count, doc("in flight when their connection broke")] = 0
    unanswered: Annotated[Count, doc("in flight when the agent ended")] = 0
    unsent: Annotated[Count, doc("polls that were due and never sent; not among the pulls")] = 0
    by_status: Annotated[
        dict[str, Count],
        doc("every status received, those after some messages included: 404, 409:<reason>, …"),
    ] = field(default_factory=dict)


def total_of(many: Iterable[Fetches]) -> Fetches:
    """Add up how pulls ended."""
    total = Fetches()
    for one in many:
        for name in ("pulls", *PULL_ENDS, "unsent"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        for status, count in one.by_status.items():
            total.by_status[status] = total.by_status.get(status, 0) + count
    return total


#: How a pull can end, in the order in which they are shown.
PULL_ENDS = ("ok", "empty", "refused", "client_timeout", "lost", "unanswered")


class Connections(msgspec.Struct, frozen=True):
    """How a worker's connections to NATS fared."""

    count: Annotated[Count, doc("how many")]
    errors: Annotated[Count, doc("errors on them")]
    reconnects: Annotated[Count, doc("lost and made again")]
    slow_consumer_disconnects: Annotated[Count, doc("the server dropped it as a slow consumer")]


class LatenessOwn(msgspec.Struct, frozen=True):
    """Lateness in ms, over the whole run, of polls that waited for nobody but this process."""

    count: Annotated[Count, doc("samples")]
    p50: Annotated[float | None, doc("median, ms")]
    p99: Annotated[float | None, doc("99th percentile, ms")]
    max: Annotated[float | None, doc("highest, ms")]


class WorkerOutage(msgspec.Struct):
    """Connections to NATS were lost, from when that was noticed on; null: not until the end."""

    lost_unix_ns: UnixNs
    resumed_unix_ns: Annotated[
        UnixNs | None, doc("stream and durables were there, and polls went on")
    ] = None


class ClassFetches(msgspec.Struct, frozen=True):
    """Polls and pulls of the consumers of one class that a worker plays."""

    polls: Annotated[Count, doc("polls sent")]
    fetches: Annotated[Fetches, doc("how its pulls ended")]
    terminated: Annotated[Count, doc("deliveries that were terminated, not acked")] = 0
    naks: Annotated[Count, doc("deliveries that were given back (-NAK)")] = 0
    not_acked: Annotated[Count, doc("deliveries that were not answered")] = 0
    in_progress: Annotated[
        Count, doc("deliveries that were said to be in progress (+WPI), before they were acked")
    ] = 0


class OrderedPlace(msgspec.Struct, frozen=True):
    """The last of the ordered consumers that served one of a worker's consumers."""

    name: Annotated[str, doc("of the ephemeral consumer")]
    before: Annotated[Count, doc("deliveries of those before it, of the same stream")]


class WorkerResult(msgspec.Struct, frozen=True, kw_only=True):
    """`consumers-W.json`: one process that plays `count` consumers from `first` on.

    It is replaced every second, for a worker that is killed.
    """

    worker: Annotated[Count, doc("W")]
    first: Annotated[Count, doc("index of the first consumer")]
    count: Annotated[Count, doc("consumers")]
    processed: Annotated[Count, doc("deliveries")]
    bytes: Annotated[Count, doc("payload of deliveries")]
    redelivered: Annotated[Count, doc("deliveries that the server called repeats")]
    duplicate_deliveries: Annotated[
        Count | None, doc("deliveries of a message to a durable after its first; null: not known")
    ]
    polls: Annotated[Count, doc("polls sent")]
    acks: Annotated[Count, doc("acks sent")]
    consumers_never_fetched: Annotated[Count, doc("consumers that received nothing")]
    fetches: Annotated[Fetches, doc("how its pulls ended")]
    connections: Annotated[Connections, doc("to NATS")]
    by_class: Annotated[
        dict[str, ClassFetches], doc("by the name of the class; empty if all poll alike")
    ] = {}
    first_poll_unix_ns: Annotated[UnixNs | None, doc("Unix time, ns; null: none")] = None
    started_unix_ns: Annotated[UnixNs | None, doc("Unix time, ns")] = None
    nats_rtt_ms: Annotated[
        float | None, doc("least round trip to the server when connecting, ms")
    ] = None
    lateness_own: Annotated[
        LatenessOwn | None, doc("of older workers; newer ones log it as a leg")
    ] = None
    polls_until_unix_ns: Annotated[
        UnixNs | None,
        doc("polls due by then are accounted for; null of a worker that was killed"),
    ] = None
    polls_from_unix_ns: Annotated[
        UnixNs | None,
        doc("it went on with another worker's consumers: polls due before are not its own"),
    ] = None
    complete: Annotated[bool, doc("false: as of up to a second before the worker was killed")] = (
        True
    )
    streams: Annotated[
        list[str | None],
        msgspec.Meta(min_length=1),
        doc("when each stream was made that it received of, in order; null: not known"),
    ] = field(default_factory=lambda: [None])
    ordered: Annotated[
        dict[str, OrderedPlace],
        doc("of ordered consumers: by the name in logs, the last of several in its place"),
    ] = {}
    made_again: Annotated[
        dict[str, Count], doc("how often ordered consumers were made again, by cause")
    ] = {}
    starts: Annotated[
        list[dict[str, Count]],
        doc("by stream: the first sequence that durables which joined late are served"),
    ] = []
    nats_outages: Annotated[
        list[WorkerOutage],
        doc("the first 1000 times that connections to NATS were lost"),
    ] = []


class WorkerSample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `consumers-W.samples.jsonl`: counts since the start."""

    unix_ns: UnixNs
    processed: Annotated[Count, doc("deliveries so far")]
    bytes: Annotated[Count, doc("of payloads so far")]
    polls: Annotated[Count, doc("made so far")]
    ok: Annotated[Count, doc("pulls that brought at least one message")]
    empty: Annotated[Count, doc("pulls that brought none")]
    acks: Annotated[Count, doc("sent so far")]
    redelivered: Annotated[Count, doc("deliveries that NATS marked as repeats, so far")]
    errors: Annotated[Count, doc("errors of connections")]
    reconnects: Annotated[Count, doc("to NATS so far")]
    calls: Annotated[Calls | None, doc("null of older workers")] = None


def stem(worker: int) -> str:
    """Return what the names of a worker's files begin with."""
    return f"consumers-{worker}"


def name(worker: int) -> str:
    """Return the name of a worker's account."""
    return f"{stem(worker)}.json"


def samples_name(worker: int) -> str:
    """Return the name of a worker's samples."""
    return f"{stem(worker)}.samples.jsonl"


def first_fetch_name(worker: int, stream: int, streams: int) -> str:
    """Return the name of a worker's first fetches of one of the streams that it received of."""
    number = "" if stream == streams - 1 else f"-{stream}"
    return f"{stem(worker)}.first_fetch{number}.bin.gz"
