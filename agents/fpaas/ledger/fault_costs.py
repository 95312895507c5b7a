"""What each fault of a run cost, in terms of the ledger.

A single fault has the run's whole ledger. With several, a term that is 0 in the run is 0 for each.
Terms that samples count are split by time, unless faults were on at the same time. The rest is not
known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import AgentSample, cumulative
from fpaas.ledger.durable_account import STREAM_LOST
from fpaas.ledger.ledger import Ledger
from fpaas.records.accounts import FaultCost, LedgerFigures
from fpaas.spec import NS_PER_S

TERMS = (
    "not_read",
    "publish_failed",
    "publish_unknown",
    "duplicates_rejected",
    "lost",
    "redelivered",
    "duplicate_deliveries",
)
#: Terms that samples of the shuffler, or of workers, count, and how they call them.
OF_SHUFFLER = {"publish_failed": "failed", "duplicates_rejected": "duplicates"}
OF_WORKERS = {"redelivered": "redelivered"}

#: When a fault began and ended, seconds since T0; None: it did not.
Times = tuple[float | None, float | None]


def costs(bundle: Bundle, balance: Ledger, times_s: Sequence[Times]) -> list[FaultCost]:
    """Return the cost of each fault."""
    if len(times_s) == 1:
        return [_of_run(balance)]
    ledger = balance.figures()
    found: list[dict[str, int | None]] = [dict.fromkeys(TERMS) for _ in times_s]
    apart = _are_apart(times_s)
    for name in TERMS:
        for number, (began_s, _) in enumerate(times_s):
            if getattr(ledger, name) == 0:
                found[number][name] = 0
            elif apart and began_s is not None and name in {**OF_SHUFFLER, **OF_WORKERS}:
                later_s = [one for one, _ in times_s if one is not None and one > began_s]
                found[number][name] = grown(bundle, name, began_s, min(later_s, default=None))
    return [FaultCost(**terms, lost_by_cause={} if terms["lost"] == 0 else None) for terms in found]


def _of_run(balance: Ledger) -> FaultCost:
    ledger: LedgerFigures = balance.figures()
    causes = ledger.lost_by_cause
    if causes is not None and balance.stream_lost_by_cause is not None:
        causes = {**causes, STREAM_LOST: 0, **balance.stream_lost_by_cause}
    return FaultCost(
        **{name: getattr(ledger, name) for name in TERMS},
        lost_by_cause=None if causes is None else {why: n for why, n in causes.items() if n},
    )


def _are_apart(times_s: Sequence[Times]) -> bool:
    """Whether one had ended before the next began; what never began is in nobody's way."""
    begun = [(began_s, ended_s) for began_s, ended_s in times_s if began_s is not None]
    begun.sort(key=lambda one: one[0])
    return all(
        ended_s is not None and ended_s < next_s for (_, ended_s), (next_s, _) in pairwise(begun)
    )


def grown(bundle: Bundle, name: str, from_s: float, until_s: float | None) -> int:
    """Return by how much a count grew from one time to another, to a sample (1 s)."""
    t0_ns = bundle.spec.t0_unix_ns
    from_ns = t0_ns + round(from_s * NS_PER_S)
    until_ns = None if until_s is None else t0_ns + round(until_s * NS_PER_S)
    return sum(
        growth
        for samples, counter in _counters(bundle, name)
        for unix_ns, growth in _growth(samples, counter)
        if unix_ns > from_ns and (until_ns is None or unix_ns <= until_ns)
    )


def _counters(bundle: Bundle, name: str) -> Iterator[tuple[Sequence[AgentSample], str]]:
    if name in OF_SHUFFLER:
        for part in bundle.parts("shuffler"):
            yield part.shuffler_samples, OF_SHUFFLER[name]
    else:
        for _, worker in bundle.workers:
            yield worker.samples, OF_WORKERS[name]


def _growth(samples: Sequence[AgentSample], name: str) -> Iterator[tuple[int, int]]:
    before = 0
    for unix_ns, value in cumulative(samples, name):
        # One that was started again counts from 0, or goes on.
        yield unix_ns, int(value) - (before if value >= before else 0)
        before = int(value)
