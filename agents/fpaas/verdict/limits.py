"""What limited a run. Pure.

Looked at in this order: memory that ran out, breakdowns, stalls, processors, the lab's own load
generators, the shuffler, NATS, the stream's size, the network. If none was at its limit and a goal
on latency was missed anyway, that is not explained; otherwise the consumers' own polls are looked
at, and last, the offered load was below what any part could take, and the busiest is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fpaas.reason import Reason
from fpaas.records.paths import pick
from fpaas.spec import RunSpec
from fpaas.verdict import stalls
from fpaas.verdict.goals import Goal

#: Mean share beyond which a resource has nothing left for peaks.
SATURATED_PCT = 90.0
#: As good as all of a host's processors.
EXHAUSTED_PCT = 98.0
#: Share of what the parameters let consumers process; below it, something else held them back.
PROCESSED_SHARE_MIN = 0.9
#: A stream this full lets messages go by size.
STREAM_FULL_SHARE = 0.98
#: Frames published of those offered; below it, the shuffler falls behind.
PUBLISHED_SHARE_MIN = 0.99
#: Consumers that received so much of what they were owed were not held back by their polls.
DELIVERED_SHARE_MIN = 0.99


def find(
    spec: RunSpec,
    summary: Mapping[str, Any],
    *,
    late_generators: list[Reason],
    breakdowns: list[Reason],
    missed: Sequence[Goal] = (),
) -> Reason:
    """Say what limited a run; lists are the verdict's reasons of these kinds, and missed goals."""
    if breakdowns:
        return _broken(breakdowns)
    for stall in _stalls(summary):
        return Reason("stall", None, stall.parameters())
    busiest = _busiest(summary)
    if busiest is None:
        return Reason("not_known")
    # Polls that ask for little, or a load that is small, make nothing late.
    late_answers = [goal.name for goal in missed if goal.unit == "ms" and not goal.why]
    last = [] if late_answers else list(_polls(spec, summary, busiest))
    for limit in [*_limits(spec, summary, late_generators), *last]:
        return limit
    if late_answers:
        return Reason("not_explained", None, {"goals": late_answers, "busiest": busiest})
    offered = pick(summary, "throughput", "offered_per_s")
    return Reason("nothing", None, {"offered_per_s": offered, "busiest": busiest})


def _broken(breakdowns: list[Reason]) -> Reason:
    """Name the first breakdown, but a probe's death only if nothing that is measured died."""
    first = breakdowns[0]
    if first.code == "memory_ran_out":
        return Reason("memory", None, {"host": first.host, **first.parameters})
    if first.code == "probe_died":
        died = (one for one in breakdowns[1:] if one.code.endswith("_died"))
        first = next((one for one in died if one.code != first.code), first)
    return Reason("breakdown", None, {"reason": first})


def _stalls(summary: Mapping[str, Any]) -> list[stalls.Stall]:
    """Return the stalls that figures were made with, the longest first.

    Those after the window count only if frames were left behind by it.
    """
    from_s, until_s = summary["window"]["from_s"], summary["window"]["until_s"]
    found = [
        stall
        for group in stalls.together(stalls.causes(stalls.of(summary.get("events") or ())))
        if (stall := stalls.as_seen_by_all(group)).holds_up
    ]
    within = [stall for stall in found if stall.overlaps(from_s, until_s)]
    if not within and pick(summary, "ledger", "not_read"):
        within = [stall for stall in found if stall.begin_s >= until_s]
    return sorted(within, key=lambda stall: stall.length_s, reverse=True)


def _limits(spec: RunSpec, summary: Mapping[str, Any], late: list[Reason]) -> Iterator[Reason]:
    hosts = summary["resources"]["hosts"]
    for host, figures in hosts.items():
        busy = figures["cpu_pct"]
        # A busy host that still does all that it is asked to limits nothing yet.
        limit_pct = EXHAUSTED_PCT if _did_as_planned(summary) else SATURATED_PCT
        if busy is not None and busy > limit_pct:
            yield Reason("processors", None, _busy_host(host, busy, summary))
    if late:
        yield Reason("load_generator", None, {"reason": late[0]})
    yield from _shuffler(summary)
    yield from _nats(spec, summary)
    yield from _stream(spec, summary)
    for host, figures in hosts.items():
        used = pick(summary, "use", host, "network", "utilisation", "of_link_pct")
        if used is not None and used > SATURATED_PCT:
            speed = figures["net_speed_mbit_per_s"]
            link = {"host": host, "used_pct": used, "mbit_per_s": speed}
            yield Reason("network", None, link)


def _did_as_planned(summary: Mapping[str, Any]) -> bool:
    """Whether frames and messages went through as fast as the parameters allow."""
    offered = pick(summary, "throughput", "offered_per_s")
    published = pick(summary, "throughput", "published_per_s")
    planned = pick(summary, "plan", "processed_per_s")
    processed = pick(summary, "throughput", "processed_per_s")
    if None in (offered, published, planned, processed):
        return False
    did: bool = (
        published >= PUBLISHED_SHARE_MIN * offered and processed >= PROCESSED_SHARE_MIN * planned
    )
    return did


def _busy_host(host: str, busy_pct: float, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Tell whether the lab itself kept a host busy."""
    cores = summary["resources"]["hosts"][host].get("cpu_count")
    used = {
        process: share
        for process, figures in (pick(summary, "use", host) or {}).items()
        if (share := pick(figures, "utilisation", "cpu_pct")) is not None
    }
    top = max(used, key=lambda process: used[process], default=None)
    return {
        "host": host,
        "busy_pct": busy_pct,
        "lab_pct": sum(used.values()) / cores if cores and used else None,
        "top": top,
        "top_pct": used.get(top),
    }


def _shuffler(summary: Mapping[str, Any]) -> Iterator[Reason]:
    cpu = _process_cpu(summary, "shuffler")
    offered = pick(summary, "throughput", "offered_per_s")
    published = pick(summary, "throughput", "published_per_s")
    is_behind = (
        offered is not None and published is not None and published < PUBLISHED_SHARE_MIN * offered
    )
    is_saturated = cpu is not None and cpu > SATURATED_PCT
    if is_saturated or is_behind or pick(summary, "ledger", "not_read"):
        yield Reason(
            "shuffler",
            None,
            {
                "is_saturated": is_saturated,
                "cpu_pct": cpu,
                "nats_cpu_pct": _process_cpu(summary, "nats"),
                "published_per_s": published,
                "offered_per_s": offered,
            },
        )


def _nats(spec: RunSpec, summary: Mapping[str, Any]) -> Iterator[Reason]:
    for host in spec.hosts.get("nats", []):
        cores = pick(summary, "resources", "hosts", host, "cpu_count")
        cpu = pick(summary, "use", host, "nats", "utilisation", "cpu_pct")
        if cores and cpu is not None and cpu > SATURATED_PCT * cores:
            yield Reason("nats", None, {"host": host, "cpu_pct": cpu, "cores": cores})
    if slow := pick(summary, "jetstream", "slow_consumers"):
        yield Reason("connections", None, {"count": slow})


def _stream(spec: RunSpec, summary: Mapping[str, Any]) -> Iterator[Reason]:
    held = pick(summary, "jetstream", "bytes")
    if held is not None and held > STREAM_FULL_SHARE * spec.stream.max_bytes:
        yield Reason("stream_size", None, {"bytes": held, "max_age_s": spec.stream.max_age_s})


def _polls(spec: RunSpec, summary: Mapping[str, Any], busiest: dict[str, Any]) -> Iterator[Reason]:
    """Name the polls that take the smallest share of what is owed; in a mix, those of one class."""
    found: list[tuple[float, dict[str, Any]]] = []
    for of_class in spec.by_class():
        one = of_class.consumers.only_class
        figures = summary if one is None else pick(summary, "classes", one.name) or {}
        plan = figures.get("plan") or {}
        capacity = plan.get("capacity_per_consumer_per_s")
        owed = plan.get("owed_per_consumer_per_s")
        if owed and spec.firehose.rate_per_s is None:
            # The plan only assumed a rate.
            offered = pick(summary, "throughput", "offered_per_s")
            owed = None if offered is None else owed * offered / plan["offered_per_s"]
        if capacity is None or not owed or capacity >= owed or _did_receive_all(figures):
            continue
        parameters: dict[str, Any] = {
            "batch_size": of_class.consumers.batch_size,
            "poll_interval_s": of_class.consumers.poll_interval_s,
            "capacity_per_s": capacity,
            "owed_per_s": owed,
            "busiest": busiest,
            **({"consumers": one.name} if one else {}),
            **({"processing_ms": one.processing_ms} if one and one.processing_ms else {}),
        }
        found.append((capacity / owed, parameters))
    if found:
        yield Reason("polls", None, min(found, key=lambda one: one[0])[1])


def _did_receive_all(figures: Mapping[str, Any]) -> bool:
    """Whether consumers received nearly everything; not if that is not known."""
    owed, delivered = pick(figures, "ledger", "owed"), pick(figures, "ledger", "delivered")
    if not owed or delivered is None:
        return False
    did: bool = delivered >= DELIVERED_SHARE_MIN * owed
    return did


def _busiest(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Name what was used most, of hosts' processors, memory and links."""
    found = [
        (used, resource, host)
        for host, resources in (summary.get("use") or {}).items()
        for resource, name in (
            ("cpu", "busy_pct"),
            ("memory", "used_pct_max"),
            ("network", "of_link_pct"),
        )
        if (used := pick(resources, resource, "utilisation", name)) is not None
    ]
    if not found:
        return None
    used, resource, host = max(found)
    nats = _process_cpu(summary, "nats")
    return {"resource": resource, "host": host, "used_pct": used, "nats_cpu_pct": nats}


def _process_cpu(summary: Mapping[str, Any], process: str) -> float | None:
    share: float | None = pick(summary, "resources", "processes", process, "cpu_pct", "mean")
    return share
