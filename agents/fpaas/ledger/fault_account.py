"""What the faults of a run did: when each began and ended, who noticed, who was served again.

A fault is an entry of `bench_faults`, on all of its hosts. It happened if the event log of a host
says so, under its number. Times are seconds since T0; how long something took, seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import INJECTED, NATS_RECONNECTED, RELAY_RECONNECTED
from fpaas.bundle.parts import cumulative
from fpaas.ledger.durable_account import STREAM_LOST
from fpaas.ledger.ledger import Ledger
from fpaas.records.events import AGENT_PAUSED, FAULT
from fpaas.records.summary import Event, FaultAccount, FaultCost, LedgerFigures
from fpaas.spec import NS_PER_S, Fault
from fpaas.spec.faults import targets

#: What is noticed later than this after a fault's end is something else.
NOTICED_WITHIN_S = 30.0
PROBE = "probe"


def account(bundle: Bundle, happened: Sequence[Event], balance: Ledger) -> list[FaultAccount]:
    """Return the section `faults` of summary.json, in the order of `bench_faults`."""
    return [
        _account(bundle, number, fault, happened, balance)
        for number, fault in enumerate(bundle.spec.faults)
    ]


def _events_of(number: int, fault: Fault, happened: Sequence[Event]) -> list[Event]:
    return [
        event
        for event in happened
        if (event.kind, event.parameters.get("number"), event.parameters.get("do"))
        == (FAULT, number, fault.do)
    ]


def _began_s(own: Sequence[Event]) -> float | None:
    return min((event.begin_s for event in own if event.begin_s is not None), default=None)


def _account(
    bundle: Bundle, number: int, fault: Fault, happened: Sequence[Event], balance: Ledger
) -> FaultAccount:
    own = _events_of(number, fault, happened)
    began_s = _began_s(own)
    all_began_s = [
        _began_s(_events_of(other, one, happened)) for other, one in enumerate(bundle.spec.faults)
    ]
    ends_s = [event.end_s for event in own if event.end_s is not None]
    ended_s = max(ends_s) if own and len(ends_s) == len(own) else None
    served_s, published_s = _served_s(bundle, ended_s), _published_s(bundle, ended_s)
    hit = {(target.host, target.group) for target in targets(fault, bundle.spec.hosts)}
    return FaultAccount(
        kind=fault.do,
        on=list(_hit(bundle, fault, {event.host for event in own})),
        parameters=fault.to_dict(),
        at_s=fault.at_s,
        for_s=fault.for_s,
        began_s=began_s,
        ended_s=ended_s,
        undone=ended_s is not None,
        detected_s=_detected_s(hit, happened, (began_s, ended_s), all_began_s),
        served_s=served_s,
        published_s=published_s,
        recovered_s=_longer(served_s, published_s),
        # Of several, the ledger does not say which of them cost what.
        cost=_cost(balance if len(bundle.spec.faults) == 1 else None),
    )


def _cost(balance: Ledger | None) -> FaultCost:
    ledger = LedgerFigures() if balance is None else balance.figures()
    causes = ledger.lost_by_cause
    if causes is not None and balance is not None and balance.stream_lost_by_cause is not None:
        causes = {**causes, STREAM_LOST: 0, **balance.stream_lost_by_cause}
    return FaultCost(
        not_read=ledger.not_read,
        publish_failed=ledger.publish_failed,
        publish_unknown=ledger.publish_unknown,
        duplicates_rejected=ledger.duplicates_rejected,
        lost=ledger.lost,
        redelivered=ledger.redelivered,
        duplicate_deliveries=ledger.duplicate_deliveries,
        lost_by_cause=None if causes is None else {why: n for why, n in causes.items() if n},
    )


def _hit(bundle: Bundle, fault: Fault, hosts: Collection[str | None]) -> Iterator[str]:
    """Iterate over the parts of hosts that a fault was on."""
    for target in targets(fault, bundle.spec.hosts):
        if target.host in hosts:
            part = target.group if fault.worker is None else fault.on
            yield f"{target.host}: {part}"


def _longer(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _detected_s(
    hit: Collection[tuple[str, str]],
    happened: Sequence[Event],
    times_s: tuple[float | None, float | None],
    all_began_s: Sequence[float | None],
) -> float | None:
    """Return how long it took until somebody who carries load noticed; None if nobody did.

    `times_s`: when it began and ended. What began after a later fault had, that one brought about.
    """
    began_s, ended_s = times_s
    if began_s is None:
        return None
    later_s = min((one for one in all_began_s if one is not None and one > began_s), default=None)
    until_s = (began_s if ended_s is None else ended_s) + NOTICED_WITHIN_S
    after_s = [
        at_s - began_s
        for event in happened
        if (later_s is None or event.begin_s is None or event.begin_s < later_s)
        and (at_s := _noticed_s(event, hit)) is not None
        and began_s <= at_s <= until_s
    ]
    return min(after_s, default=None)


def _noticed_s(event: Event, hit: Collection[tuple[str, str]]) -> float | None:
    """Return when somebody who carries load noticed an event that may be a fault's; None if not."""
    agent = event.parameters.get("agent")
    if event.source == INJECTED or agent == PROBE:
        return None
    # That an agent stood still is the fault's doing if the fault was on it.
    if event.kind == AGENT_PAUSED and (event.host, agent) not in hit:
        return None
    if event.noticed_s is not None:
        return event.noticed_s
    # A connection that is made again had been missed; of what else samples show, nobody knew then.
    return event.begin_s if event.kind in (NATS_RECONNECTED, RELAY_RECONNECTED) else None


def _served_s(bundle: Bundle, ended_s: float | None) -> float | None:
    """Return how long after a fault's end the last consumer was served again.

    The wait for its next poll is part of it. None if one was not, or that is not known.
    """
    logs = [worker.deliveries for _, worker in bundle.workers]
    if ended_s is None or any(log is None for log in logs):
        return None
    since_ms = round(1000 * ended_s)
    firsts_ms: dict[int, int] = {}
    for log in logs:
        for one in log or ():
            after = [at_ms for at_ms, *_ in one.runs if at_ms >= since_ms]
            if after:
                index = one.consumer_index
                firsts_ms[index] = min([*after, firsts_ms.get(index, after[0])])
    if len(firsts_ms) < bundle.spec.consumers.count:
        return None
    return max(firsts_ms.values()) / 1000 - ended_s


def _published_s(bundle: Bundle, ended_s: float | None) -> float | None:
    """Return how long after a fault's end the shuffler published again, to two samples (2 s).

    0 if all had been offered before, so that nothing was left to publish; None if it did not.
    """
    if ended_s is None:
        return None
    ended_unix_ns = bundle.spec.t0_unix_ns + round(ended_s * NS_PER_S)
    if ended_unix_ns >= bundle.spec.offer_until_unix_ns:
        return 0.0
    for part in bundle.parts("shuffler"):
        # What grew up to the first sample may have been published before the end.
        at_end: float | None = None
        for unix_ns, published in cumulative(part.shuffler_samples, "published"):
            if at_end is not None and published > at_end:
                return (unix_ns - ended_unix_ns) / NS_PER_S
            if unix_ns >= ended_unix_ns and at_end is None:
                at_end = published
    return None
