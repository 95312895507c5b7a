"""`relay.json`, what our relay offered, and `relay.samples.jsonl`, once a second."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.calls import Calls
from fpaas.records.fields import Count, UnixNs
from fpaas.spec.described import doc

NAME = "relay.json"
SAMPLES = "relay.samples.jsonl"


class RelayResult(msgspec.Struct, frozen=True):
    """`relay.json`. It is replaced every second, for a relay that is killed."""

    first_seq: Annotated[Count, doc("seq of the first frame")]
    last_seq: Annotated[
        int,
        doc(
            "first_seq + offered - 1, also if it renumbered: before the first if nothing was "
            "offered"
        ),
    ]
    offered: Annotated[Count, doc("frames that fell due, whether or not somebody was subscribed")]
    sent: Annotated[Count, doc("frames to subscribers that had caught up")]
    replayed: Annotated[Count, doc("frames to subscribers on their way there")]
    ignored: Annotated[Count, doc("offered frames of kinds that are no events")]
    connects: Annotated[Count, doc("subscribers that connected")]
    slow_disconnects: Annotated[Count, doc("subscribers that were dropped for being too slow")]
    blocked_s: Annotated[
        float, doc("how long sockets of subscribers that had caught up took no more, s")
    ]
    handed: Annotated[
        Count, doc("frames sent to somebody, each counted once; 0 of older relays")
    ] = 0
    complete: Annotated[bool, doc("false: as of up to a second before the relay was killed")] = True
    numberings: Annotated[
        list[tuple[int, Count]],
        doc("[first seq, frames] in order, if it renumbered; empty: once from first_seq on"),
    ] = []
    damaged: Annotated[Count, doc("offered frames that were malformed, as a fault had it")] = 0


class RelaySample(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `relay.samples.jsonl`: counts since the start, as `relay.json` has them."""

    unix_ns: UnixNs
    offered: Annotated[Count, doc("frames that fell due so far")]
    ignored: Annotated[Count, doc("offered frames of kinds that are no events, so far")]
    sent: Annotated[Count, doc("frames sent so far")]
    replayed: Annotated[Count, doc("frames sent again so far")]
    subscribers: Annotated[Count, doc("subscribers now")]
    blocked_s: Annotated[float, doc("how long sockets have accepted no data so far")]
    calls: Annotated[Calls | None, doc("null of older relays")] = None

    @property
    def events(self) -> int:
        """Offered frames of kinds that are events."""
        return self.offered - self.ignored
