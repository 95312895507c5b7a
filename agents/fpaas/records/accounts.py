"""The accounts in `summary.json`: events and deliveries, the relay, outages and faults."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fpaas.records.fields import Count, Number
from fpaas.spec.described import doc


class LedgerFigures(msgspec.Struct, kw_only=True):
    """What became of each event and delivery; null if a part's evidence is missing.

    offered = not_read + undecodable + published + duplicates_rejected + publish_failed +
    publish_unknown; owed = delivered + expired_unread + pending_at_end + lost.
    """

    offered: Annotated[
        Count | None,
        doc("frames that fell due; of a foreign relay, read or missing by its numbers"),
    ] = None
    not_read: Annotated[Count | None, doc("frames offered and never read")] = None
    undecodable: Annotated[Count | None, doc("frames that could not be decoded")] = None
    published: Annotated[Count | None, doc("events stored, acked or settled")] = None
    duplicates_rejected: Annotated[Count | None, doc("publishes that NATS knew already")] = None
    publish_failed: Annotated[Count | None, doc("publishes that failed for good")] = None
    publish_unknown: Annotated[Count | None, doc("publishes without a known outcome")] = None
    stored: Annotated[Count | None, doc("messages in the stream, all in all")] = None
    owed: Annotated[Count | None, doc("deliveries owed to consumers")] = None
    delivered: Annotated[Count | None, doc("deliveries received, each once")] = None
    expired_unread: Annotated[Count | None, doc("owed and left the stream unread")] = None
    pending_at_end: Annotated[Count | None, doc("owed and still stored when the run ended")] = None
    lost: Annotated[Count | None, doc("sent by NATS or removed, and received by nobody")] = None
    redelivered: Annotated[Count | None, doc("deliveries that NATS marked as repeats")] = None
    duplicate_deliveries: Annotated[
        Count | None, doc("repeats of what the same consumer had received")
    ] = None
    unexplained: Annotated[Count | None, doc("what does not add up; 0 in a good run")] = None
    stored_twice: Annotated[Count | None, doc("repeats that the stream took as new")] = None
    acked: Annotated[
        Count | None,
        doc(
            "delivered = acked + unacked + terminated + max_deliver_reached + failed + in_process; "
            "null, as the others, if nothing is acknowledged (bench_ack)"
        ),
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
    not_read_by_cause: Annotated[dict[str, Count] | None, doc("frames by cause")] = None
    expired_by_cause: Annotated[dict[str, Count] | None, doc("deliveries by cause")] = None
    lost_by_cause: Annotated[dict[str, Count] | None, doc("deliveries by cause")] = None


class Order(msgspec.Struct, kw_only=True):
    """Events of one DID that lost their order."""

    violations_in_stream: Annotated[
        Count | None, doc("events stored after a later one of their DID")
    ]
    violations_at_consumers: Annotated[
        Count | None, doc("first deliveries after that of a later event of the DID")
    ]


class RelayGap(msgspec.Struct, kw_only=True):
    """Events of the relay that were never read."""

    after_seq: Annotated[int | None, doc("the relay's seq before them; null: none was read")]
    missing: Annotated[Count | None, doc("how many; null: the relay's numbers do not tell")]
    at_s: Annotated[float, doc("when that was noticed")]
    cause: Annotated[str, doc("why it is known")]


class Relay(msgspec.Struct, kw_only=True):
    """How the relay behaved, ours or a foreign one."""

    foreign: Annotated[bool, doc("whether it is not the lab's")]
    silent_s: Annotated[
        dict[str, float | None],
        doc(
            "total, longest: of the window, without an event though it was read, in stretches "
            "longer than counted_from; unasked_…: without the time of the run's own faults"
        ),
    ]
    lag_growth_s: Annotated[
        float | None,
        doc("the most by which it fell behind real time; null: not live, or not measured"),
    ]
    lag_s: Annotated[
        float | None,
        doc(
            "of a foreign relay's events in the window, from their own times until they were read, "
            "median; null: not measured"
        ),
    ]
    timed_pct: Annotated[
        float | None,
        doc(
            "% of the window's samples with new events of a foreign relay in which the last one's "
            "own time could be read; null: none came, or an older shuffler"
        ),
    ]
    gaps: Annotated[list[RelayGap] | None, doc("the first 100; null: not measured")]
    gap_count: Annotated[Count | None, doc("all of them")]
    missing: Annotated[Count | None, doc("events in gaps; null: their sizes are not known")]
    jumps: Annotated[
        Count | None, doc("places at which its seqs left numbers out; null: not measured")
    ]
    jumped_seqs: Annotated[
        Count | None, doc("the numbers left out there, which need not be of events; null: as above")
    ]
    seq_resets: Annotated[Count | None, doc("how often its seqs went back to new events")]
    read: Annotated[Count | None, doc("events, each once")]
    reread: Annotated[Count | None, doc("frames that were read before")]
    ignored: Annotated[
        Count | None, doc("frames that are no events: #info, types and operations not known")
    ]
    undecodable: Annotated[Count | None, doc("frames that could not be decoded")]
    undecodable_once: Annotated[
        Count | None, doc("more bad frames, no events: they did not come again after a reconnect")
    ]


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
    replayed: Annotated[
        Count | None,
        doc("events published again that a lost stream had, or that the stream forgot"),
    ]
    forgotten: Annotated[
        Count | None,
        doc("messages that the server had acked and, killed before they were on its disk, forgot"),
    ] = None
    forgotten_missing: Annotated[
        Count | None, doc("those of them that did not get their places in the stream back")
    ] = None
    lost_by_cause: Annotated[
        dict[str, Count],
        doc(
            "deliveries lost with a stream, by why it did not get them again: max_age (too old), "
            "not_replayed (the relay or the run had ended), in_delivery (on their way)"
        ),
    ]
    outages: Annotated[list[Outage], doc("of the connection to NATS")]


class FaultCost(msgspec.Struct, kw_only=True):
    """Terms of the ledger. If a run has only one fault, they are those of the whole run.

    With several, a term that is 0 in the run is 0; redelivered, publish_failed and
    duplicates_rejected are as counted from its begin to the next one's, to a second, if they were
    not on at the same time; the rest is null.
    """

    not_read: Annotated[Count | None, doc("frames that were never read")]
    publish_failed: Annotated[Count | None, doc("publishes that failed for good")]
    publish_unknown: Annotated[Count | None, doc("publishes without a known outcome")]
    duplicates_rejected: Annotated[Count | None, doc("publishes that NATS knew already")]
    lost: Annotated[Count | None, doc("deliveries lost")]
    redelivered: Annotated[Count | None, doc("deliveries that NATS marked as repeats")]
    duplicate_deliveries: Annotated[
        Count | None, doc("repeats of what the same consumer had received")
    ]
    lost_by_cause: Annotated[
        dict[str, Count] | None,
        doc("why, without zeros; for what was lost with a stream, see recovery.lost_by_cause"),
    ] = None


class FaultAccount(msgspec.Struct, kw_only=True):
    """What one fault of the run did. Times are since T0; null: that did not happen."""

    kind: Annotated[str, doc("its `do`")]
    on: Annotated[list[str], doc("<host>: <part>, where it happened")]
    parameters: Annotated[dict[str, Any], doc("the entry of bench_faults")]
    at_s: Annotated[float, doc("as planned, s since T0")]
    for_s: Annotated[float, doc("as planned")]
    began_s: Annotated[float | None, doc("s since T0; null: it did not happen")]
    ended_s: Annotated[float | None, doc("undone on its last host")]
    undone: Annotated[bool, doc("whether it was undone")]
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
        float | None,
        doc(
            "from its end until the stream took what the shuffler published, to 50 ms (of older "
            "agents, 2 s)"
        ),
    ]
    recovered_s: Annotated[float | None, doc("the longer of the two")]
    cost: Annotated[FaultCost, doc("what it cost")]
    began_late_ms: Annotated[
        Number | None, doc("its begin after plan, on the worst of its hosts; null: not measured")
    ] = None
    begin_took_ms: Annotated[Number | None, doc("until it was injected, from there")] = None
    ended_late_ms: Annotated[
        Number | None, doc("its undoing after plan, the same; negative: the run was stopped before")
    ] = None
    end_took_ms: Annotated[Number | None, doc("until it was undone, from there")] = None
