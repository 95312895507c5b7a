"""What to expect of a plan, and what to change, with the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fpaas.consumers.pull_size import FLOW_CONTROL_BYTES, PullSize
from fpaas.digits import significant
from fpaas.plan.capacity import MESSAGE_OVERHEAD_BYTES, NATS_MAX_PENDING_BYTES
from fpaas.spec import VARIABLES, ConsumerClass, RunSpec
from fpaas.text.plan_figures import each_class, offer_s, percent, plain, rate, share

#: What a host's link is assumed to carry.
LINK_MBIT_PER_S = 1_000.0
#: Measured on our agents: what one core can do.
SHUFFLER_FRAMES_PER_S = 26_000
CONSUMER_CPU_US_PER_MESSAGE = 8.0
#: Assumed of a consumers host that is not this machine.
CORES_ASSUMED = 8


def expectations(spec: RunSpec, plan: dict[str, Any]) -> list[str]:
    """Say what these parameters lead to by design: sentences with the arithmetic.

    The unread share of a fan-out belongs here: it is what was asked for, not a defect.
    """
    sentences = []
    if plan["offered_per_s_assumed"]:
        sentences.append(
            f"The rate of {spec.firehose.source} is not known before the run. The plan assumes the "
            f"firehose's mean, {plan['offered_per_s']:g} frames/s; peaks reach 2000/s."
        )
    for name, of_class, own in each_class(spec, plan):
        if of_class.consumers.delivery == "fanout" and _overloaded(own):
            sentences.append(f"{name}Expected, not a defect: {_overload(of_class, own)}")
    return sentences


def warnings(
    spec: RunSpec,
    plan: dict[str, Any],
    *,
    open_files_limit: int | None = None,
    memory_mb: float | None = None,
    cores: int | None = None,
) -> list[str]:
    """Say what will spoil the run or its figures, with the arithmetic and the variable to change.

    The limits are those of the machine that runs NATS and the consumers, None if not known.
    """
    checks: list[str | None] = [_warn_pushed(spec, plan)]
    checks += [
        f"{name}{sentence}"
        for name, of_class, own in each_class(spec, plan)
        for sentence in (
            _warn_overload(of_class, own),
            _warn_expiry_between_polls(of_class, own),
            _warn_short_drain(of_class, own),
            _warn_not_polled(of_class),
            _warn_large_batch(of_class),
        )
        if sentence and not spec.consumers.is_pushed
    ]
    checks += [
        _warn_max_bytes(spec, plan),
        *_warn_links(spec, plan),
        _warn_shuffler(plan),
        _warn_cores(spec, plan, cores),
        _warn_replicas(spec),
        _warn_open_files(plan, open_files_limit),
        _warn_memory(plan, memory_mb),
    ]
    return [sentence for sentence in checks if sentence]


def _overloaded(plan: dict[str, Any]) -> bool:
    capacity = plan["capacity_per_s"]
    return capacity is not None and capacity < plan["owed_per_s"] * (1 - 1e-9)


def _overload(spec: RunSpec, plan: dict[str, Any]) -> str:
    c = spec.consumers
    owed = plan["owed_per_consumer_per_s"]
    batch_size = math.ceil(owed * c.poll_interval_s)
    remedies = ["bench_fetch=drain"]
    if batch_size <= VARIABLES["bench_batch_size"].maximum:
        remedies.append(f"bench_batch_size={batch_size}")
    if c.batch_size / owed >= VARIABLES["bench_poll_interval_s"].minimum:
        remedies.append(f"bench_poll_interval_s={plain(c.batch_size / owed)}")
    if c.delivery == "fanout" and plan["capacity_per_s"] >= plan["offered_per_s"]:
        remedies.append("bench_delivery=shared (splits the work)")
    if c.classes:
        # Fields of the class have the variables' names, without the prefix.
        remedies = [one.removeprefix("bench_") for one in remedies if "delivery" not in one]
    unread = 1 - plan["capacity_per_s"] / plan["owed_per_s"]
    takes = f"fetches at most {c.batch_size} every {c.poll_interval_s:g} s"
    if c.only_class and c.only_class.deliveries_mean > 1:
        takes += f", each {c.only_class.deliveries_mean:.3g} times on average,"
    if c.classes and _is_busy(c.classes[0], owed):
        most_ms = 1000 / owed / c.classes[0].deliveries_mean
        takes = f"takes {c.classes[0].processing_ms:g} ms for each"
        remedies = [f"processing_ms={plain(most_ms)}"]
    return (
        f"each consumer is owed {rate(owed)} messages/s and {takes} = "
        f"{rate(plan['capacity_per_consumer_per_s'])}/s, so that "
        f"{percent(unread)} of what is owed stays unread because of these parameters. "
        f"In this run of {spec.warmup_s + spec.measure_s + spec.drain_s:g} s, "
        f"{percent(share(plan, 'delivered'))} is delivered, "
        f"{percent(share(plan, 'expired_unread'))} expires and "
        f"{percent(share(plan, 'pending_at_end'))} is pending at the end. "
        f"To read everything: {', or '.join(remedies)}."
    )


def _is_busy(one: ConsumerClass, owed_per_s: float) -> bool:
    """Whether consumers of a class need more time than they have, however they poll."""
    return one.processing_s_mean * owed_per_s > 1


def _warn_overload(spec: RunSpec, plan: dict[str, Any]) -> str | None:
    if spec.consumers.delivery == "fanout" or not _overloaded(plan):
        return None
    return f"The consumers cannot keep up: {_overload(spec, plan)}"


def _warn_expiry_between_polls(spec: RunSpec, plan: dict[str, Any]) -> str | None:
    c = spec.consumers
    if c.delivery == "shared" or plan["retention_s"] >= c.poll_interval_s:
        return None
    limit = "bench_stream_max_age_s" if plan["retention_limit"] == "max_age" else "max_bytes"
    return (
        f"Messages live {significant(plan['retention_s'], 4)} s and a consumer polls every "
        f"{c.poll_interval_s:g} s: some messages expire between two polls. Poll more often "
        f"(bench_poll_interval_s) or keep messages longer ({limit})."
    )


def _warn_short_drain(spec: RunSpec, plan: dict[str, Any]) -> str | None:
    c = spec.consumers
    needed_s = c.poll_interval_s * (1 + c.poll_jitter_pct / 100)
    if _overloaded(plan) or c.delivery == "shared" or spec.drain_s >= needed_s:
        return None
    return (
        f"Consumers poll every {c.poll_interval_s:g} s ± {c.poll_jitter_pct:g} % but drain for "
        f"only {spec.drain_s:g} s: about {plan['pending_at_end']:,} messages will be pending at "
        f"the end. bench_drain_s={math.ceil(needed_s)} lets each consumer poll once more."
    )


def _warn_max_bytes(spec: RunSpec, plan: dict[str, Any]) -> str | None:
    if plan["retention_limit"] == "max_age" or plan["retention_s"] >= offer_s(spec):
        return None
    message_bytes = plan["frame_bytes_mean"] + MESSAGE_OVERHEAD_BYTES
    needed = math.ceil(plan["offered_per_s"] * spec.stream.max_age_s * message_bytes)
    return (
        f"{plan['offered_per_s']:g} messages/s of {message_bytes:,.0f} bytes each fill the "
        f"stream's {spec.stream.max_bytes / 1e6:,.0f} MB in "
        f"{significant(plan['retention_s'], 4)} s, so "
        f"messages live that long instead of {spec.stream.max_age_s:g} s. To keep them, set "
        f"bench_stream_max_bytes={needed} or a lower bench_firehose_rate_per_s."
    )


def _warn_not_polled(spec: RunSpec) -> str | None:
    c = spec.consumers
    end_s = offer_s(spec) + spec.drain_s
    if end_s >= c.poll_interval_s:
        return None
    measure_s = math.ceil(spec.measure_s + c.poll_interval_s - end_s)
    return (
        f"The run ends after {end_s:g} s, but a consumer polls every {c.poll_interval_s:g} s: "
        f"about {percent(1 - end_s / c.poll_interval_s)} of the consumers never poll. "
        f"bench_measure_s={measure_s} lets each consumer poll once."
    )


def _warn_large_batch(spec: RunSpec) -> str | None:
    size = PullSize.of(spec)
    if size.batch_bytes <= size.bytes_max:
        return None
    return (
        f"A batch of {size.batch_size} can bring {size.batch_bytes / 1e6:.0f} MB, but a pull ends "
        f"at {size.bytes_max / 1e6:.0f} MB, for NATS cuts off a connection with more than "
        f"{NATS_MAX_PENDING_BYTES / 1e6:.0f} MB pending. "
        f"bench_batch_size={max(1, size.bytes_max // size.message_bytes)} stays below that."
    )


def _warn_pushed(spec: RunSpec, plan: dict[str, Any]) -> str | None:
    c = spec.consumers
    in_flight_bytes = plan["connection_in_flight_bytes_max"]
    if not c.is_pushed or in_flight_bytes <= NATS_MAX_PENDING_BYTES:
        return None
    together = math.ceil(c.count / plan["connections"])
    each, smaller = f"{c.max_ack_pending:,} messages", "a smaller bench_max_ack_pending, "
    if c.is_ordered:
        each, smaller = f"{FLOW_CONTROL_BYTES / 1e6:.0f} MB under flow control", ""
    return (
        f"Consumers that stand still can have {in_flight_bytes / 1e6:,.0f} MB pending on one "
        f"connection ({together} consumers x {each}); NATS cuts off a connection with more than "
        f"{NATS_MAX_PENDING_BYTES / 1e6:.0f} MB. Set {smaller}more bench_workers, or "
        "bench_connections=per_consumer."
    )


def _warn_links(spec: RunSpec, plan: dict[str, Any]) -> Iterator[str]:
    ways = (
        ("to the consumers", "consumers", "nats_net_tx_mbit_per_s", "fewer consumers, or a lower"),
        ("from the shuffler", "shuffler", "nats_net_rx_mbit_per_s", "a lower"),
    )
    for words, group, name, remedy in ways:
        mbit_per_s = plan[name]
        # Traffic that stays on one host needs no link.
        if mbit_per_s < LINK_MBIT_PER_S or spec.hosts["nats"] == spec.hosts[group]:
            continue
        yield (
            f"{mbit_per_s:,.0f} Mbit/s go {words}, more than a {LINK_MBIT_PER_S:,.0f} Mbit/s link "
            f"carries. Use {remedy} bench_firehose_rate_per_s."
        )


def _warn_shuffler(plan: dict[str, Any]) -> str | None:
    if plan["offered_per_s_max"] <= SHUFFLER_FRAMES_PER_S:
        return None
    return (
        f"{plan['offered_per_s_max']:,.0f} frames/s are more than one shuffler can publish (about "
        f"{SHUFFLER_FRAMES_PER_S:,.0f}/s on one core), so some frames will not be read. Set a "
        "lower bench_firehose_rate_per_s."
    )


def _warn_cores(spec: RunSpec, plan: dict[str, Any], cores: int | None) -> str | None:
    needed = plan["processed_per_s"] * CONSUMER_CPU_US_PER_MESSAGE / 1e6
    hosts = len(spec.hosts["consumers"])
    available = cores if cores is not None else CORES_ASSUMED * hosts
    if needed <= available:
        return None
    whose = "there are" if cores is not None else f"{hosts} consumers hosts are assumed to have"
    return (
        f"The consumers process {plan['processed_per_s']:,.0f} messages/s. At about "
        f"{CONSUMER_CPU_US_PER_MESSAGE:g} µs each this takes {needed:,.1f} cores; {whose} "
        f"{available}. Use more consumers hosts, fewer bench_consumers, or a lower "
        "bench_firehose_rate_per_s."
    )


def _warn_replicas(spec: RunSpec) -> str | None:
    servers = len(spec.hosts.get("nats", []))
    if servers < 2 or spec.survives_a_server:
        return None
    return (
        f"The cluster of {servers} NATS servers holds the stream with "
        f"bench_stream_replicas={spec.stream.replicas}, so losing one server can end the run. With "
        f"bench_stream_replicas={servers} it survives that."
    )


def _warn_open_files(plan: dict[str, Any], limit: int | None) -> str | None:
    if limit is None or plan["open_files"] <= limit:
        return None
    return (
        f"NATS and the consumers each need about {plan['open_files']} open files for "
        f"{plan['connections']} connections, but the limit here is {limit}. Raise it (ulimit -n) "
        f"or use bench_connections=auto."
    )


def _warn_memory(plan: dict[str, Any], memory_mb: float | None) -> str | None:
    if memory_mb is None or plan["nats_rss_mb"] is None or plan["nats_rss_mb"] < memory_mb:
        return None
    return (
        f"NATS will take about {plan['nats_rss_mb']:,.0f} MB for "
        f"{plan['stream_bytes'] / 1e6:,.0f} MB of stored messages and "
        f"{plan['duplicate_window_entries']:,} ids to detect duplicates; only "
        f"{memory_mb:,.0f} MB are free here. Lower bench_stream_max_bytes, bench_stream_max_age_s, "
        "bench_stream_duplicate_window_s or bench_firehose_rate_per_s."
    )
