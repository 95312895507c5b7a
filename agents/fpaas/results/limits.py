"""What limited a run, in one sentence. Pure.

Looked at in this order: breakdowns, the lab's own load generators, processors, the shuffler, NATS,
the stream's size, the network, the consumers' own polls. Where none was at its limit, the offered
load was below what any part could take, and the sentence says which part was the busiest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fpaas.spec import RunSpec

#: Mean share beyond which a resource has nothing left for peaks.
SATURATED_PCT = 90.0
#: As good as all of a host's processors.
EXHAUSTED_PCT = 98.0
#: Of what the parameters allow consumers to process; below it, something else held them back.
PROCESSED_SHARE_MIN = 0.9
#: A stream this full lets messages go by size.
STREAM_FULL_SHARE = 0.98
#: Frames published of those offered; below it, the shuffler falls behind.
PUBLISHED_SHARE_MIN = 0.99

WORDS = {"nats": "NATS", "shuffler": "the shuffler", "consumers": "the consumers' agents"}


@dataclass(frozen=True)
class Limit:
    """What limited: a word for programs, and a sentence for people."""

    what: str
    sentence: str

    def to_dict(self) -> dict[str, str]:
        """As in summary.json."""
        return asdict(self)


def find(
    spec: RunSpec,
    summary: Mapping[str, Any],
    *,
    late_generators: list[str],
    breakdowns: list[str],
) -> Limit:
    """Say what limited a run; lists are the verdict's reasons of these kinds."""
    if breakdowns:
        return Limit("breakdown", f"A breakdown, and no limit: {breakdowns[0]}.")
    if _busiest(summary) is None:
        return Limit("not known", "What limited this run is not known: no host was measured.")
    for limit in _limits(spec, summary, late_generators):
        return limit
    return Limit(
        "nothing",
        f"Nothing: {_offered(summary)} was below what any part could take; the busiest was "
        f"{_busiest(summary)}.",
    )


def _limits(spec: RunSpec, summary: Mapping[str, Any], late: list[str]) -> Iterator[Limit]:
    hosts = summary["resources"]["hosts"]
    for host, figures in hosts.items():
        busy = figures["cpu_pct"]
        # A host that is busy and does all the same what it is asked for limits nothing yet.
        limit_pct = EXHAUSTED_PCT if _did_as_planned(summary) else SATURATED_PCT
        if busy is not None and busy > limit_pct:
            yield Limit("processors", _busy_host(host, busy, summary))
    if late:
        yield Limit("load generator", f"The lab's own load generators: {late[0]}.")
    yield from _shuffler(summary)
    yield from _nats(spec, summary)
    yield from _stream(spec, summary)
    for host, figures in hosts.items():
        used = _pick(summary, "use", host, "network", "utilisation", "of_link_pct")
        if used is not None and used > SATURATED_PCT:
            yield Limit(
                "network",
                f"The network of {host}: {used:.0f} % of its "
                f"{figures['net_speed_mbit_per_s']:,} Mbit/s were in use.",
            )
    yield from _polls(spec, summary)


def _did_as_planned(summary: Mapping[str, Any]) -> bool:
    """Whether frames and messages went through as fast as the parameters allow."""
    offered = _pick(summary, "throughput", "offered_per_s")
    published = _pick(summary, "throughput", "published_per_s")
    planned = _pick(summary, "plan", "processed_per_s")
    processed = _pick(summary, "throughput", "processed_per_s")
    if None in (offered, published, planned, processed):
        return False
    did: bool = (
        published >= PUBLISHED_SHARE_MIN * offered and processed >= PROCESSED_SHARE_MIN * planned
    )
    return did


def _busy_host(host: str, busy_pct: float, summary: Mapping[str, Any]) -> str:
    """Tell whether the lab itself kept a host busy."""
    cores = summary["resources"]["hosts"][host].get("cpu_count")
    used = {
        process: share
        for process, figures in (_pick(summary, "use", host) or {}).items()
        if (share := _pick(figures, "utilisation", "cpu_pct")) is not None
    }
    said = f"The processors of {host}: {busy_pct:.0f} % busy"
    if not cores or not used:
        return f"{said}."
    lab_pct = sum(used.values()) / cores
    top = max(used, key=lambda process: used[process])
    if lab_pct < busy_pct / 2:
        return f"{said}, {lab_pct:.0f} % by the lab and the rest by what else runs there."
    return f"{said}, most of it by {_word(top)} ({used[top]:.0f} % of a core)."


def _shuffler(summary: Mapping[str, Any]) -> Iterator[Limit]:
    cpu = _process_cpu(summary, "shuffler")
    not_read = _pick(summary, "ledger", "not_read")
    offered = _pick(summary, "throughput", "offered_per_s")
    published = _pick(summary, "throughput", "published_per_s")
    behind = (
        offered is not None and published is not None and published < PUBLISHED_SHARE_MIN * offered
    )
    if cpu is not None and cpu > SATURATED_PCT:
        yield Limit("shuffler", f"The shuffler: it used {cpu:.0f} % of the one core that it can.")
    elif not_read or behind:
        yield Limit(
            "shuffler",
            f"The way from the relay into the stream: {_per_s(published)} were published of "
            f"{_per_s(offered)} offered, though the shuffler used {_pct(cpu)} of a core and NATS "
            f"{_pct(_process_cpu(summary, 'nats'))}.",
        )


def _nats(spec: RunSpec, summary: Mapping[str, Any]) -> Iterator[Limit]:
    for host in spec.hosts.get("nats", []):
        cores = _pick(summary, "resources", "hosts", host, "cpu_count")
        cpu = _pick(summary, "use", host, "nats", "utilisation", "cpu_pct")
        if cores and cpu is not None and cpu > SATURATED_PCT * cores:
            yield Limit(
                "nats", f"NATS on {host}: it used {cpu:.0f} % of a core, and there are {cores}."
            )
    slow = _pick(summary, "jetstream", "slow_consumers")
    if slow:
        yield Limit(
            "connections",
            f"The consumers' connections: NATS cut {slow} off, for more was pending on them than "
            "it allows; use smaller batches or more connections.",
        )


def _stream(spec: RunSpec, summary: Mapping[str, Any]) -> Iterator[Limit]:
    held = _pick(summary, "jetstream", "bytes")
    if held is not None and held > STREAM_FULL_SHARE * spec.stream.max_bytes:
        yield Limit(
            "stream size",
            f"The size of the stream: it was full with {held / 1e6:,.0f} MB, and let messages go "
            f"before they were {spec.stream.max_age_s:g} s old.",
        )


def _polls(spec: RunSpec, summary: Mapping[str, Any]) -> Iterator[Limit]:
    capacity = _pick(summary, "plan", "capacity_per_consumer_per_s")
    owed = _pick(summary, "plan", "owed_per_consumer_per_s")
    if capacity is None or owed is None or capacity >= owed:
        return
    c = spec.consumers
    yield Limit(
        "polls",
        f"The consumers' own polls: {c.batch_size:,} every {c.poll_interval_s:g} s are "
        f"{capacity:.3g}/s of the {owed:,.4g}/s that each is owed; the busiest part was "
        f"{_busiest(summary)}.",
    )


def _busiest(summary: Mapping[str, Any]) -> str | None:
    """Name what was used most, of hosts' processors, memory and links."""
    found = []
    for host, resources in (summary.get("use") or {}).items():
        for resource, name, words in (
            ("cpu", "busy_pct", "the processor of"),
            ("memory", "used_pct_max", "the memory of"),
            ("network", "of_link_pct", "the network of"),
        ):
            used = _pick(resources, resource, "utilisation", name)
            if used is not None:
                found.append((used, f"{words} {host} at {used:.0f} %"))
    nats = _process_cpu(summary, "nats")
    beside = "" if nats is None else f" (NATS: {nats:.0f} % of a core)"
    return max(found)[1] + beside if found else None


def _offered(summary: Mapping[str, Any]) -> str:
    rate = _pick(summary, "throughput", "offered_per_s")
    return "the offered load" if rate is None else f"the offered load of {rate:,.0f}/s"


def _process_cpu(summary: Mapping[str, Any], process: str) -> float | None:
    share: float | None = _pick(summary, "resources", "processes", process, "cpu_pct", "mean")
    return share


def _word(process: str) -> str:
    return WORDS.get(process, f"the {process}")


def _per_s(value: float | None) -> str:
    return "an unmeasured number" if value is None else f"{value:,.0f}/s"


def _pct(value: float | None) -> str:
    return "an unmeasured share" if value is None else f"{value:.0f} %"


def _pick(content: Any, *path: str) -> Any:  # noqa: ANN401
    for key in path:
        if not isinstance(content, Mapping):
            return None
        content = content.get(key)
    return content
