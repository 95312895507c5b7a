"""`shuffler.json`, what became of every frame, and `shuffler.samples.jsonl`, once a second.

`shuffler.undecodable-01.bin` and so on are the first 64 KB of frames that could not be decoded, 16
at most; the events `frame_undecodable` name them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import field

from fpaas.measures.intervals import IntervalSet
from fpaas.records.calls import Calls
from fpaas.records.fields import Count, UnixNs
from fpaas.spec.described import doc

NAME = "shuffler.json"
SAMPLES = "shuffler.samples.jsonl"
UNDECODABLE_FRAME = "shuffler.undecodable-{}.bin"
#: CRC-32 of the DID of each stream sequence from 1 on, 32 bits each, little-endian. Of several
#: streams, and of those that were lost, each has its own file.
DIDS = "shuffler.dids.bin"
#: In it: a message that this shuffler did not publish.
NO_DID = 0
#: Of several streams: the relay's seq + 1 of each stream sequence from 1 on, 64 bits each,
#: little-endian; 0: a message that this shuffler did not publish.
SEQS = "shuffler.seqs-{}.bin"
NO_SEQ = 0
CLASSES = "shuffler.classes.bin"


class RelayConnections(msgspec.Struct, frozen=True):
    """How the subscription fared."""

    connects: Annotated[Count, doc("connections made")]
    errors: Annotated[Count, doc("connections that failed or broke")]


class NatsConnections(msgspec.Struct, frozen=True):
    """How the connection to NATS fared."""

    connects: Annotated[Count, doc("connections made")]
    errors: Annotated[Count, doc("errors on them")]
    reconnects: Annotated[Count, doc("lost and made again")]


class RelayGap(msgspec.Struct, frozen=True):
    """Events of the relay that were never read."""

    after_seq: Annotated[int | None, doc("the relay's seq before them; null: none was read")]
    missing: Annotated[int | None, doc("how many; null: the relay's numbers do not tell")]
    at_unix_ns: Annotated[UnixNs, doc("when that was noticed")]
    cause: Annotated[
        str,
        doc("outdated_cursor, seq_jump, after_reconnect, future_cursor, renumbered or away_at_end"),
    ]


class NatsOutage(msgspec.Struct):
    """The connection to NATS was lost, from when that was noticed on; null: not until the end."""

    lost_unix_ns: UnixNs
    answered_unix_ns: Annotated[UnixNs | None, doc("connected again")] = None
    resumed_unix_ns: Annotated[
        UnixNs | None, doc("all that was in flight, or lost with a stream, was written again")
    ] = None


class LostStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that was gone, and what this shuffler had published into it."""

    created: Annotated[str | None, doc("when it was made, as the server said; null: not known")]
    stream_seqs: Annotated[list[tuple[int, int, int]], doc("as of the stream that is there now")]
    presumed_seqs: Annotated[
        list[tuple[int, int, int]],
        doc("the same, of publishes in flight when it was lost, if it took them as they came"),
    ]
    copy_seqs: IntervalSet
    noticed_unix_ns: Annotated[UnixNs, doc("when another one was found in its place")]
    rewound_to_seq: Annotated[
        int | None, doc("the relay's seq that was read again from; null: nothing was missing")
    ]
    oldest_seq: Annotated[
        int | None,
        doc("earlier seqs had reached the stream's maximum age by then; null: none had"),
    ]


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that a server had acked, and did not have any more when it was back."""

    stream_seqs: Annotated[
        list[tuple[int, int, int]], doc("[relay seq, stream seq, count]: where the stream had them")
    ]
    noticed_unix_ns: Annotated[
        UnixNs | None, doc("null: not while the shuffler ran; the stream ends before them")
    ]


class PublishedTo(msgspec.Struct, frozen=True, kw_only=True):
    """What one of several streams has of this shuffler's; `shuffler.seqs-0.bin` … have the rest."""

    copy_seqs: IntervalSet


class ShufflerResult(msgspec.Struct, frozen=True, kw_only=True):
    """`shuffler.json`: sets of the relay's sequence numbers, as `[[first, last], …]`, and counts.

    If the relay renumbers, its numbers go on from the last one here: two events never share one.
    A seq that was read has one outcome. The file is replaced every second, for a shuffler that is
    killed, and for the one that goes on in its place.
    """

    read: Annotated[IntervalSet, doc("seqs read")]
    published: Annotated[IntervalSet, doc("seqs that the stream has: acked as new, or settled")]
    duplicates: Annotated[IntervalSet, doc("seqs whose first publish was answered as a duplicate")]
    failed: Annotated[IntervalSet, doc("seqs refused for good")]
    unknown: Annotated[IntervalSet, doc("seqs without an answer, and not settled")]
    undecodable_seqs: Annotated[IntervalSet, doc("seqs of frames that could not be decoded")]
    undecodable: Annotated[Count, doc("such frames, those without a seq included")]
    ignored: Annotated[Count, doc("frames that are no events: unknown kinds, #info")]
    reread: Annotated[Count, doc("frames read once more after a reconnect")]
    settled: Annotated[
        Count,
        doc("publishes without an answer that a repeat settled, or that were found in the stream"),
    ]
    failures_by_reason: Annotated[dict[str, Count], doc("of failed")]
    stream_seqs: Annotated[
        list[tuple[int, int, int]],
        doc("[relay seq, stream seq, count]: runs in which both go up by one"),
    ]
    message_bytes: Annotated[
        dict[str, dict[int, Count]],
        doc('"<kind> <collection>" -> size in bytes -> published frames'),
    ]
    relay_connections: Annotated[RelayConnections, doc("to the relay")]
    nats_connections: Annotated[NatsConnections, doc("to NATS")]
    stored_twice: Annotated[
        Count, doc("repeats that the stream took as new: its duplicate window was over")
    ] = 0
    stream_began_anew: Annotated[
        bool, doc("the stream gave a sequence number twice: it was lost and made again")
    ] = False
    ignored_seqs: Annotated[IntervalSet, doc("seqs of ignored")] = field(
        default_factory=IntervalSet
    )
    copy_seqs: Annotated[
        IntervalSet, doc("stream sequences of the second copies of stored_twice")
    ] = field(default_factory=IntervalSet)
    foreign: Annotated[Count, doc("messages in the stream that are not this shuffler's")] = 0
    undecodable_once: Annotated[
        Count,
        doc(
            "more such frames, which did not come again: damaged on the way, or none of the relay's"
        ),
    ] = 0
    refusals_by_reason: Annotated[
        dict[str, Count], doc("of all answers that refused a publish; most are tried again")
    ] = field(default_factory=dict)
    last_cursor: Annotated[
        int | None, doc("all events up to this seq have their outcome; null: none yet")
    ] = None
    numbering: Annotated[
        tuple[int, int] | None,
        doc(
            "of the relay's own numbers since it renumbered last: how far they are behind these, "
            "and the first that may be asked for; null: none was read, or an older shuffler"
        ),
    ] = None
    complete: Annotated[bool, doc("false: as of up to a second before the shuffler was killed")] = (
        True
    )
    quiet: Annotated[
        list[tuple[UnixNs, UnixNs]] | None,
        doc(
            "[begin, end]: a second and more without an event from the relay, though it was read; "
            "null: not known"
        ),
    ] = None
    gaps: Annotated[list[RelayGap], doc("the first 1000")] = []
    gap_count: Annotated[Count, doc("all of them")] = 0
    numbers_densely: Annotated[
        bool | None, doc("whether the relay's seqs tell what is missing; null: not known")
    ] = None
    jumps: Annotated[
        Count | None,
        doc("places at which the relay's seqs left numbers out on one connection; null: not known"),
    ] = None
    jumped_seqs: Annotated[Count | None, doc("the numbers left out there; null: not known")] = None
    seq_resets: Annotated[Count, doc("how often the relay's seqs went back to new events")] = 0
    stream_created: Annotated[
        str | None, doc("when the stream was made that is there now; null: not known")
    ] = None
    lost_streams: Annotated[list[LostStream], doc("in order; made again each time")] = []
    replayed_seqs: Annotated[
        IntervalSet, doc("seqs published again, as a lost stream had had them, or one forgot them")
    ] = field(default_factory=IntervalSet)
    resumed_at: Annotated[
        list[tuple[UnixNs, int]],
        doc("when one went on after one that was killed, and where the stream ended then"),
    ] = []
    forgotten: Annotated[
        list[Forgotten],
        doc("in order; published again each time"),
    ] = []
    lives: Annotated[
        Count, doc("how often the shuffler was started: one that was killed goes on where it was")
    ] = 1
    cursor_errors: Annotated[
        Count, doc("how often the cursor could not be saved in NATS (bench_cursor_place)")
    ] = 0
    nats_outages: Annotated[
        list[NatsOutage], doc("the first 1000 times that the connection to NATS was lost")
    ] = []
    writer: Annotated[
        str | msgspec.UnsetType, doc("what Fpaas-Shuffler says in the headers of its messages")
    ] = msgspec.UNSET
    streams: Annotated[
        list[PublishedTo] | msgspec.UnsetType,
        doc("with bench_streams, each in order; then stream_seqs and copy_seqs are empty"),
    ] = msgspec.UNSET


class ShufflerSample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `shuffler.samples.jsonl`: counts since the start, and what is now."""

    unix_ns: UnixNs
    read: Annotated[Count, doc("frames so far")]
    published: Annotated[Count, doc("events so far")]
    duplicates: Annotated[Count, doc("publishes that NATS knew already, so far")]
    failed: Annotated[Count, doc("publishes that failed for good, so far")]
    unknown: Annotated[Count, doc("publishes without a known outcome so far")]
    in_flight: Annotated[Count, doc("publishes without an outcome now")]
    last_seq: Annotated[int | None, doc("the relay's seq read last; null: none yet")]
    last_stream_seq: Annotated[int | None, doc("highest stream sequence acked; null: none yet")]
    relay_connects: Annotated[Count, doc("connections to the relay so far")]
    nats_connects: Annotated[Count, doc("connections to NATS so far")]
    calls: Annotated[Calls | None, doc("null of older shufflers")] = None
    lag_s: Annotated[
        float | None,
        doc("of the event read last: from its own time until it was read; null: not known"),
    ] = None
    reading_paused_s: Annotated[
        float, doc("how long the relay was not read, because the stream did not take more")
    ] = 0.0
    stream: Annotated[Count, doc("how often the stream had been lost and made again")] = 0
    replayed: Annotated[Count, doc("events of a lost stream that were published again")] = 0
    last_ack_unix_ns: Annotated[UnixNs | None, doc("null: none yet, or an older shuffler")] = None
    ack_gaps: Annotated[
        list[tuple[UnixNs | None, UnixNs]],
        doc(
            "[last ack before, next ack]: 50 ms and more without one that ended since the last "
            "sample; the first begins with null: what an earlier shuffler had is not known"
        ),
    ] = []
    last_stream_seqs: Annotated[
        list[Count] | msgspec.UnsetType,
        doc("with bench_streams, of each stream, 0: none yet; then last_stream_seq is their sum"),
    ] = msgspec.UNSET

    def last_seq_of(self, stream: int | None) -> int | None:
        """Return the highest sequence acked of one of several streams; None: of the only one."""
        if stream is None:
            return self.last_stream_seq
        seqs = self.last_stream_seqs or []
        return seqs[stream] if stream < len(seqs) else None


def dids_name(number: int | None) -> str:
    """Return the name of the DIDs of a stream, counted from 0: of several, or of those lost.

    None: of the only one, or the last.
    """
    return DIDS if number is None else f"shuffler.dids-{number}.bin"


def classes_name(number: int | None) -> str:
    """Return the name of the file that says which classes of consumers want each message."""
    return CLASSES if number is None else f"shuffler.classes-{number}.bin"
