"""Codes of what limited a run."""

from __future__ import annotations

from typing import Any

from fpaas.records.status import AGENTS, in_words
from fpaas.verdict.code import LIMIT, Code, Parameters, between

_WORDS = {**AGENTS, "nats": "NATS", "consumers": "the consumers' agents"}
_PLACES = {
    "cpu": "the CPU of",
    "memory": "the memory of",
    "network": "the network of",
}
_BUSIEST = {
    "busiest": "{resource, host, used_pct, nats_cpu_pct}: the most used part, null if none was "
    "measured"
}


def _stall(p: Parameters) -> str:
    stretch = between(p["begin_s"], p["end_s"])
    workers = p.get("workers")
    who = in_words(p["part"], workers) if workers else _WORDS.get(p["part"], p["part"])
    if p["kind"] == "agent_paused":
        return f"A stall: {who} on {p['host']} did not run {stretch}."
    if p["kind"] == "agent_restarted":
        return f"A stall: {who} on {p['host']} ended and was restarted, gone {stretch}."
    if p["kind"] == "stream_silent":
        return f"A stall: the stream accepted nothing, although NATS answered, {stretch}."
    # A relay that sends nothing may well answer pings.
    what = "NATS did not answer" if p["kind"] == "nats_silent" else "no event came from the relay"
    return f"A stall: {what} {stretch} (noticed on {p['host']})."


def _processors(p: Parameters) -> str:
    said = f"The CPU of {p['host']}: {p['busy_pct']:.0f} % busy"
    if p["lab_pct"] is None:
        return f"{said}."
    if p["lab_pct"] < p["busy_pct"] / 2:
        return f"{said}, {p['lab_pct']:.0f} % by the lab and the rest by other programs."
    top = p["top"]
    return (
        f"{said}, most of it by {_WORDS.get(top, f'the {top}')} ({p['top_pct']:.0f} % of a core)."
    )


def _shuffler(p: Parameters) -> str:
    if p["is_saturated"]:
        return f"The shuffler: it used {p['cpu_pct']:.0f} % of the one core that it can use."
    return (
        f"The path from the relay into the stream: {_per_s(p['published_per_s'])} of "
        f"{_per_s(p['offered_per_s'])} offered were published, although the shuffler used only "
        f"{_pct(p['cpu_pct'])} of a core and NATS {_pct(p['nats_cpu_pct'])}."
    )


def _polls(p: Parameters) -> str:
    whose = "The consumers' own polls"
    if p.get("consumers"):
        whose = f"The polls of class {p['consumers']}"
    takes = f", at {p['processing_ms']:g} ms for each," if p.get("processing_ms") else ""
    return (
        f"{whose}: {p['batch_size']:,} every {p['poll_interval_s']:g} s{takes} are "
        f"{p['capacity_per_s']:.3g}/s of the {p['owed_per_s']:,.4g}/s that each is owed; the "
        f"busiest part was {_busiest(p['busiest'])}."
    )


def _nothing(p: Parameters) -> str:
    rate = p["offered_per_s"]
    offered = "the offered load" if rate is None else f"the offered load of {rate:,.0f}/s"
    return (
        f"Nothing: {offered} was within the capacity of every part; the busiest was "
        f"{_busiest(p['busiest'])}."
    )


def _busiest(part: dict[str, Any]) -> str:
    nats = part["nats_cpu_pct"]
    beside = "" if nats is None else f" (NATS: {nats:.0f} % of a core)"
    return f"{_PLACES[part['resource']]} {part['host']} at {part['used_pct']:.0f} %{beside}"


def _not_explained(p: Parameters) -> str:
    return (
        f"Unknown: answers were late ({', '.join(p['goals'])}), but no part was at its limit on "
        f"average; the busiest was {_busiest(p['busiest'])}."
    )


def _stream_size(p: Parameters) -> str:
    return (
        f"The size of the stream: it was full at {p['bytes'] / 1e6:,.0f} MB, and dropped messages "
        f"before they were {p['max_age_s']:g} s old."
    )


def _per_s(value: float | None) -> str:
    return "an unmeasured number" if value is None else f"{value:,.0f}/s"


def _pct(value: float | None) -> str:
    return "an unmeasured share" if value is None else f"{value:.0f} %"


_SCALE = "Use more or faster hosts for that part, or less load."

CODES: dict[str, Code] = {
    "breakdown": Code(
        LIMIT,
        "A breakdown, not a limit: {reason}.",
        "Something died or was interrupted, so the run says nothing about limits.",
        "See the code of that reason.",
        {"reason": "{code, host, parameters}"},
    ),
    "stall": Code(
        LIMIT,
        _stall,
        "A part did not answer for a while, so everything that waited for it was late.",
        "Read the log of that part, and look at the host at that time.",
        {
            "kind": "of the event: nats_silent, stream_silent, relay_silent, agent_paused or "
            "agent_restarted",
            "part": "nats, stream, relay, or the agent",
            "workers": "of the consumers, which of their workers; empty: not known",
            "host": "where it was noticed",
            "begin_s": "s since T0",
            "end_s": "s since T0; null: to the run's end",
        },
    ),
    "not_known": Code(
        LIMIT,
        "Unknown: no host was measured.",
        "No probe left any samples.",
        "Look at the reasons of the verdict.",
    ),
    "processors": Code(
        LIMIT,
        _processors,
        "Nearly all of a host's CPU was in use.",
        "Use more hosts or cores, or stop other programs there.",
        {
            "host": "",
            "busy_pct": "% of all cores",
            "lab_pct": "% of all cores, by the lab; null: not measured",
            "top": "process",
            "top_pct": "% of a core",
        },
    ),
    "memory": Code(
        LIMIT,
        "The memory of {host}: it ran out, and the kernel killed {count} "
        "{count:process|processes} there.",
        "A host's memory ran out, and a process of the lab ended there.",
        "Use hosts with more memory, fewer consumers, or a smaller bench_stream_max_bytes.",
        {"host": "", "count": "processes, of the lab or others"},
    ),
    "load_generator": Code(
        LIMIT,
        "The lab's own load generators: {reason}.",
        "The lab itself was too slow, so it measured itself and not NATS.",
        "See the code of that reason.",
        {"reason": "{code, host, parameters}"},
    ),
    "shuffler": Code(
        LIMIT,
        _shuffler,
        "Frames did not get from the relay into the stream as fast as they were offered.",
        "Give the shuffler a faster core, and look at NATS.",
        {
            "is_saturated": "whether its core was",
            "cpu_pct": "% of a core",
            "nats_cpu_pct": "% of a core",
            "published_per_s": "frames/s",
            "offered_per_s": "frames/s",
        },
    ),
    "nats": Code(
        LIMIT,
        "NATS on {host}: it used {cpu_pct:.0f} % of a core, and the host has {cores}.",
        "NATS used all the CPU that was available to it.",
        _SCALE,
        {"host": "", "cpu_pct": "% of a core", "cores": ""},
    ),
    "connections": Code(
        LIMIT,
        "The consumers' connections: NATS cut off {count} because more was pending on "
        "{count:it|them} than it allows; use smaller batches or more connections.",
        "Too many bytes were pending on a connection.",
        "Set a smaller bench_batch_size, or bench_connections=per_consumer. With "
        "bench_consumer_kind=push, set a smaller bench_max_ack_pending.",
        {"count": "connections"},
    ),
    "stream_size": Code(
        LIMIT,
        _stream_size,
        "The stream was full, so messages left it before they reached their maximum age.",
        "Set a larger bench_stream_max_bytes.",
        {"bytes": "bytes", "max_age_s": "s"},
    ),
    "network": Code(
        LIMIT,
        "The network of {host}: {used_pct:.0f} % of its {mbit_per_s:,} Mbit/s were in use.",
        "A host's link was full.",
        _SCALE,
        {"host": "", "used_pct": "%", "mbit_per_s": "Mbit/s"},
    ),
    "not_explained": Code(
        LIMIT,
        _not_explained,
        "A latency goal was missed, although no part was at its limit on average and no stall was "
        "noticed. A peak, or a stall of less than a second, can cause this.",
        "Look for a peak in the latencies over time and at what the hosts and NATS did then. Run "
        "again to see if it recurs.",
        {"goals": "the missed goals on latencies that nothing explains", **_BUSIEST},
    ),
    "polls": Code(
        LIMIT,
        _polls,
        "By the scenario's own parameters, consumers poll for less than they are owed.",
        "Use bench_fetch=drain, larger batches or shorter poll intervals.",
        {
            "batch_size": "messages",
            "poll_interval_s": "s",
            "capacity_per_s": "messages/s per consumer",
            "owed_per_s": "messages/s per consumer",
            "consumers": "class of a mix; missing: all consumers",
            "processing_ms": "ms for a message; missing: none",
            **_BUSIEST,
        },
    ),
    "nothing": Code(
        LIMIT,
        _nothing,
        "No part was at its limit: the load was within the capacity of all of them.",
        "Increase the load to find a limit.",
        {"offered_per_s": "frames/s", **_BUSIEST},
    ),
}
