"""`network.json`: from a host to those that it connects to, before a run."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import field

from fpaas.records.fields import Count, Number, UnixNs, doc

NAME = "network.json"


class RoundTrips(msgspec.Struct, frozen=True, kw_only=True):
    """Round trips of a small message, ms."""

    count: Count
    min: Number
    p50: Number
    p99: Number
    max: Number


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Measured between two hosts; null: could not be measured."""

    from_host: Annotated[str, doc("who measured")] = field(name="from")
    to: str
    address: str
    rtt_ms: RoundTrips | None = None
    sent_mbit_per_s: Annotated[Number | None, doc("from `from` to `to`")] = None
    received_mbit_per_s: Annotated[Number | None, doc("from `to` to `from`")] = None
    error: Annotated[str | None, doc("why there are no figures")] = None


class NetworkResult(msgspec.Struct, frozen=True, kw_only=True):
    """From one host to others."""

    unix_ns: Annotated[
        UnixNs, doc("when it was measured, by the host's own clock; before an earlier run, maybe")
    ]
    links: list[Link]
