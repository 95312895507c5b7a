"""Times in `summary.json`: latencies, how late the lab itself was, and clocks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fpaas.records.fields import Count, Figures, Number
from fpaas.records.probe import ClockStep
from fpaas.spec.described import doc


class Leg(msgspec.Struct, kw_only=True):
    """Latency of one leg in the window, ms."""

    count: Annotated[Count | None, doc("samples")]
    min: Annotated[Number | None, doc("lowest, ms")]
    p50: Annotated[Number | None, doc("median, ms")]
    p90: Annotated[Number | None, doc("90th percentile, ms")]
    p99: Annotated[Number | None, doc("99th percentile, ms")]
    p999: Annotated[Number | None, doc("99.9th percentile, ms")]
    max: Annotated[Number | None, doc("highest, ms")]
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

    p50: Annotated[Number | None, doc("median, ms")] = None
    p99: Annotated[Number | None, doc("99th percentile, ms")]
    max: Annotated[Number | None, doc("highest, ms")]
    count: Annotated[Count | None, doc("samples")] = None
    due_count: Annotated[Count | None, doc("calls that fell due")] = None
    open_count: Annotated[Count | None, doc("calls without an end")] = None
    open_min_ms: Annotated[Number | None, doc("age of the youngest of these")] = None
    at_least: Annotated[
        Figures | None, doc("percentiles that open calls could raise, as lower bounds, ms")
    ] = None


class Fidelity(msgspec.Struct, kw_only=True):
    """How late the lab itself was; `own`: only if nothing else held it up."""

    poll_lateness_ms: Annotated[Lateness, doc("of polls, from due to sent")]
    poll_lateness_own_ms: Annotated[Lateness | None, doc("the agents' own part of that")] = None
    start_spread_ms: Annotated[
        float | None, doc("from the first to the last start of an agent, T0 among them")
    ]
    loop_lag_ms: Annotated[Lateness, doc("of the agents' event loops")]
    relay_lateness_ms: Annotated[Lateness, doc("of our relay's frames, from due to sent")]
    relay_lateness_own_ms: Annotated[Lateness | None, doc("the relay's own part of that")] = None
    relay_blocked_s: Annotated[
        float | None, doc("how long sockets of the relay's subscribers took no more")
    ] = None


class HostClock(msgspec.Struct, kw_only=True):
    """The NATS host's clock minus this one's lay within offset_ms ± bound_ms; null: not known."""

    bound_ms: Annotated[Number | None, doc("the true offset is within this of offset_ms")]
    offset_ms: Annotated[Number | None, doc("of the NATS host's clock minus this one's")]
    offset_at_start_ms: Annotated[
        Number | None,
        doc("the same before the run, which was added to this host's clock in the run"),
    ] = None
    method: Annotated[str | None, doc("how it was measured")]
    drifting: Annotated[bool | None, doc("whether the offset changed in the run")] = None
    stepped: Annotated[bool | None, doc("whether it was set in the run")] = None
    server: Annotated[str | None, doc("the NATS server whose host it was compared with")] = None
    steps: Annotated[list[ClockStep], doc("when it was set")] = []
