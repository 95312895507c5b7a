"""Hosts, processes and the server in `summary.json`: what they used and held."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.fields import Count, Figures
from fpaas.spec.described import doc


class MeanMax(msgspec.Struct, kw_only=True):
    """Over the window."""

    mean: Annotated[float | None, doc("in the window")]
    max: Annotated[float | None, doc("in the window")]


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
    processes: Annotated[dict[str, ProcessResources], doc("by host and process")]


class Use(msgspec.Struct, kw_only=True):
    """One resource, or process, of a host; what is not measured is null or left out."""

    utilisation: Annotated[Figures, doc("how much of each resource was in use")]
    saturation: Annotated[Figures, doc("what had to wait for it")]
    errors: Annotated[Figures, doc("counts")]


class ConsumerLag(msgspec.Struct, kw_only=True):
    """What consumers have yet to be sent, messages."""

    mean: Annotated[float | None, doc("messages")]
    p50: Annotated[Count | None, doc("median, messages")]
    p99: Annotated[Count | None, doc("99th percentile, messages")]
    max: Annotated[Count | None, doc("highest, messages")]


class Jetstream(msgspec.Struct, kw_only=True):
    """The stream at the window's end, its consumers and connections."""

    messages: Annotated[Count | None, doc("in the stream, at the end of the window")]
    bytes: Annotated[Count | None, doc("of the stream, at the end of the window")]
    consumers: Annotated[Count | None, doc("that the stream has")]
    consumer_lag: Annotated[ConsumerLag, doc("messages owed and not sent yet")]
    connection_pending_bytes_max: Annotated[Count | None, doc("that NATS had for one connection")]
    slow_consumers: Annotated[Count | None, doc("in the whole run")]
