"""Hosts, processes and the server in `summary.json`: what they used and held."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.fields import Count, Figures, doc


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
