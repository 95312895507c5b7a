"""Parts that failed in a run without an end to it, and how often no fault was to bring that about.

All of them are notes. How often it was by itself (`by_itself`) counts for the goal on failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from fpaas.reason import Reason
from fpaas.spec import RunSpec
from fpaas.spec.faults import CONSUMERS, NATS, RELAY, SHUFFLER
from fpaas.verdict.deaths import has_recovered
from fpaas.verdict.facts import Facts

#: By part, the code of its note and what that calls how often it ended.
_RESTARTED = {
    RELAY: ("relay_restarted", "times"),
    SHUFFLER: ("shuffler_restarted", "times"),
    CONSUMERS: ("workers_restarted", "count"),
}


def of(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """Name all of them, servers first."""
    yield from _of_nats(spec, summary, facts)
    yield from _of_agents(facts)


def _of_nats(spec: RunSpec, summary: dict[str, Any], facts: Facts) -> Iterator[Reason]:
    """NATS servers that failed, and streams that were lost."""
    recovery = summary.get("recovery") or {}
    if recovery.get("streams_lost") and has_recovered(summary, facts):
        by_itself = _lost_by_themselves(spec, recovery["streams_lost"], facts)
        yield Reason("stream_recreated", None, {**_cost(summary, recovery), "by_itself": by_itself})
    if recovery.get("forgotten") and not recovery["forgotten_missing"]:
        yield Reason("acked_restored", None, {"count": recovery["forgotten"]})
    by_itself_on = {one.host: one.by_itself for one in facts.ends if one.part == NATS}
    for host, lives in facts.server_lives.items():
        told = {"lives": lives, "by_itself": by_itself_on.get(host, 0)}
        is_away, is_another = host in facts.servers_silent, len(lives) > 1
        if spec.survives_a_server and is_away:
            yield Reason("nats_died_outlived", host, {"by_itself": told["by_itself"]})
        elif spec.survives_a_server and is_another:
            yield Reason("nats_restarted_outlived", host, told)
        elif is_another and not is_away and has_recovered(summary, facts):
            yield Reason("nats_restarted_recovered", host, told)


def _of_agents(facts: Facts) -> Iterator[Reason]:
    """Agents and workers that ended and were started again."""
    times: Counter[str] = Counter()
    by_itself: Counter[str] = Counter()
    for one in facts.ends:
        times[one.part] += one.times
        by_itself[one.part] += one.by_itself
    for part, (code, count) in _RESTARTED.items():
        if times[part]:
            yield Reason(code, None, {count: times[part], "by_itself": by_itself[part]})


def _lost_by_themselves(spec: RunSpec, streams_lost: int, facts: Facts) -> int:
    """Return how many streams were lost though their server had not ended."""
    ends = sum(one.times for one in facts.ends if one.part == NATS)
    is_lost_with_it = spec.stream.storage == "memory" and not spec.survives_a_server
    return max(0, streams_lost - len(spec.stream.names) * ends * is_lost_with_it)


def _cost(summary: dict[str, Any], recovery: dict[str, Any]) -> dict[str, Any]:
    """Say what a lost stream cost."""
    outages = recovery["outages"]
    served = [outage["served_again_s"] for outage in outages]
    return {
        "streams": recovery["streams_lost"],
        "rewound_to_seq": recovery["rewound_to_seq"],
        "replayed": recovery["replayed"],
        "lost": (summary["ledger"]["lost_by_cause"] or {}).get("stream_lost"),
        "lost_by_cause": recovery["lost_by_cause"],
        "repeats": summary["ledger"]["duplicate_deliveries"],
        "lost_s": outages[0]["lost_s"] if outages else None,
        "served_again_s": None if not served or None in served else max(served),
    }
