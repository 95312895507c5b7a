"""`network.json`: from a host to those that it connects to, before a run."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import field

from fpaas.records.fields import Count, Number, UnixNs
from fpaas.spec.described import doc

NAME = "network.json"


class RoundTrips(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips of a small message, ms."""

    count: Annotated[Count, doc("round trips")]
    min: Annotated[Number, doc("lowest, ms")]
    p50: Annotated[Number, doc("median, ms")]
    p99: Annotated[Number, doc("99th percentile, ms")]
    max: Annotated[Number, doc("highest, ms")]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Measured between two hosts; null: could not be measured."""

    from_host: Annotated[str, doc("who measured")] = field(name="from")
    to: Annotated[str, doc("name of the other host")]
    address: Annotated[str, doc("of the other host")]
    rtt_ms: Annotated[RoundTrips | None, doc("round trips")] = None
    sent_mbit_per_s: Annotated[Number | None, doc("from `from` to `to`")] = None
    received_mbit_per_s: Annotated[Number | None, doc("from `to` to `from`")] = None
    error: Annotated[str | None, doc("why there are no figures")] = None


class NetworkResult(msgspec.Struct, frozen=True, kw_only=True):
    """From one host to others."""

    unix_ns: Annotated[
        UnixNs, doc("when it was measured, by the host's own clock; before an earlier run, maybe")
    ]
    links: Annotated[list[Link], doc("to each host that this one connects to")]
