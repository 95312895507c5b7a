"""`summary.json`, the figures of a run, as `fpaas report` writes them.

A figure is null if it was not measured. Times are seconds since T0 unless their name says
otherwise; what has no default here is in summaries of all versions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from fpaas.records.fields import Count, Number, doc

NAME = "summary.json"
Figures = dict[str, Number | None]


class Verdict(msgspec.Struct, kw_only=True):
    """Whether the run met its goals, and whether its figures are to be trusted."""

    status: Literal["pass", "fail", "invalid"]
    reasons: Annotated[list[str], doc("sentences, causes first")]
    reason_codes: Annotated[
        list[dict[str, Any]], doc("the same: code, severity, host, parameters; see fpaas explain")
    ] = []


class Window(msgspec.Struct, kw_only=True):
    """The stretch of the run that rates and latencies are of."""

    from_s: float
    until_s: float
    calls_from_s: Annotated[float | None, doc("of calls, which are filed by second")] = None
    calls_until_s: float | None = None
    calls_by: Annotated[
        Literal["beginning", "end"] | None, doc("what makes a call one of the window")
    ] = None


class Throughput(msgspec.Struct, kw_only=True):
    """Messages a second in the window."""

    offered_per_s: float | None
    published_per_s: float | None
    processed_per_s: float | None
    per_consumer_per_s: Annotated[Figures, doc("min, p50, p99, max over consumers")]


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
    not_resolvable: Annotated[list[str], doc("figures that are below that")]
    due_count: Annotated[Count | None, doc("calls that fell due")] = None
    open_count: Annotated[Count | None, doc("of those, without an end")] = None
    open_min_ms: Annotated[Number | None, doc("least age of those when nobody looked on")] = None


class RelayGap(msgspec.Struct, kw_only=True):
    """Events of the relay that were never read."""

    after_seq: Annotated[int | None, doc("the relay's seq before them; null: none was read")]
    missing: Annotated[Count | None, doc("how many; null: the relay's numbers do not tell")]
    at_s: Annotated[float, doc("when that was noticed")]
    cause: str


class Relay(msgspec.Struct, kw_only=True):
    """How the relay behaved, ours or a foreign one."""

    foreign: bool
    silent_s: Annotated[
        dict[str, float | None],
        doc(
            "total, longest: of the window, without an event though it was read, in stretches "
            "longer than counted_from"
        ),
    ]
    lag_growth_s: Annotated[
        float | None,
        doc("by how much it fell behind real time in the window; null: not live, or not measured"),
    ]
    gaps: Annotated[list[RelayGap] | None, doc("the first 100; null: not measured")]
    gap_count: Annotated[Count | None, doc("all of them")]
    missing: Annotated[Count | None, doc("events in gaps; null: their sizes are not known")]
    seq_resets: Annotated[Count | None, doc("how often its seqs went back to new events")]
    read: Annotated[Count | None, doc("events, each once")]
    reread: Annotated[Count | None, doc("frames that were read before")]
    undecodable: Count | None


class Summary(msgspec.Struct, kw_only=True):
    """The file's content. Counts of ledger, fetches and connections are of the whole run."""

    schema: Annotated[Literal[1], doc("later versions with this number only add keys")]
    run_id: str
    scenario: str
    delivery: str
    fetch: str
    verdict: Verdict
    window: Window
    throughput: Throughput
    latency_ms: Annotated[dict[str, Leg], doc("by leg")]
    message_bytes: Annotated[Figures, doc("payload of published messages, bytes")]
    message_bytes_by_kind: Annotated[
        dict[str, Figures] | None, doc('by "<kind> <collection>", with its share of all bytes')
    ]
    storage: Annotated[dict[str, Any], doc("what the stream takes, and would take")]
    resources: Annotated[
        dict[str, Any], doc("hosts and processes: cpu_pct (100: one core of a process), rss_mb")
    ]
    use: Annotated[dict[str, Any], doc("of each host: utilisation, saturation, errors by resource")]
    jetstream: Annotated[dict[str, Any], doc("the stream at its end, lag of consumers")]
    ledger: Annotated[
        dict[str, Count | dict[str, Count] | None],
        doc("what became of each event; unexplained is 0 in a good run"),
    ]
    order: Annotated[Figures, doc("events of one DID that lost their order")]
    fetches: Annotated[
        dict[str, Number | dict[str, Count] | None],
        doc("how pulls ended, by_status, batch_fill_pct"),
    ]
    connections: Annotated[dict[str, Count | None], doc("of consumers, to NATS")]
    fidelity: Annotated[dict[str, Any], doc("how late the lab itself was, ms")]
    plan: Annotated[dict[str, Any], doc("what the parameters predict")]
    clock: Annotated[
        dict[str, Any],
        doc(
            "of each host: bound_ms; offset_ms, what the NATS host's clock is ahead of this one's; "
            "offset_at_start_ms, the same before the run, which was added to this host's clock in "
            "the run (null: not measured); steps"
        ),
    ]
    notes: list[str]
    goals: Annotated[list[dict[str, Any]], doc("name, measured, limit, status of each")]
    events: Annotated[list[dict[str, Any]], doc("what happened, in order of time")]
    limited_by: Annotated[
        dict[str, Any] | None, doc("what limited the run: code as `what`, and a sentence")
    ]
    relay: Relay | None = None
