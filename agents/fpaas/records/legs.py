"""Times in `summary.json`: latencies, how late the lab itself was, and clocks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.fields import Count, Figures, Number, doc
from fpaas.records.probe import ClockStep


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
    not_resolvable: Annotated[
        list[str] | None, doc("figures that are below that; null: there are no figures")
    ]
    due_count: Annotated[Count | None, doc("calls that fell due")] = None
    open_count: Annotated[Count | None, doc("of those, without an end")] = None
    open_min_ms: Annotated[Number | None, doc("least age of those when nobody looked on")] = None
    at_least: Annotated[
        Figures | None,
        doc("figures that open calls could raise, with the most that each could be; null: any"),
    ] = None
    out_of_range_count: Annotated[Count | None, doc("samples of more than an hour")] = None
    missing_count: Annotated[
        int | None, doc("calls that left no trace; of an age, what never arrived")
    ] = None
    missing_min_ms: Annotated[Number | None, doc("their least age")] = None
    assigned_by: Annotated[
        str | None, doc("what files a sample under the window: due, sent, received, …")
    ] = None


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
    """How late the lab itself was; `own`: only if nothing else held it up."""

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
