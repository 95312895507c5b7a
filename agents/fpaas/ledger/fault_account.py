"""What the faults of a run did: when each began and ended, who noticed, who was served again.

A fault is an entry of `bench_faults`, on all of its hosts. It happened if the event log of a host
says so, under its number. Times are seconds since T0; how long something took, seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.found_event import INJECTED
from fpaas.bundle.parts import cumulative
from fpaas.bundle.playbook_events import PLAYBOOK
from fpaas.ledger import fault_costs
from fpaas.ledger.fault_costs import Times
from fpaas.ledger.ledger import Ledger
from fpaas.records.accounts import FaultAccount, FaultCost
from fpaas.records.events import AGENT_PAUSED, FAULT, NATS_RECONNECTED, RELAY_RECONNECTED
from fpaas.records.shuffler import ShufflerSample
from fpaas.records.summary import Event
from fpaas.spec import NS_PER_S, Fault
from fpaas.spec.faults import targets

#: Anything noticed later than this after a fault's end is something else.
NOTICED_WITHIN_S = 30.0
PROBE = "probe"
#: Acks that are not told apart follow each other so soon.
ACKS_FOLLOW_NS = 50_000_000


def account(bundle: Bundle, happened: Sequence[Event], balance: Ledger) -> list[FaultAccount]:
    """Return the section `faults` of summary.json, in the order of `bench_faults`."""
    faults = bundle.spec.faults
    times_s = [_times_s(_events_of(number, one, happened)) for number, one in enumerate(faults)]
    costs = fault_costs.costs(bundle, balance, times_s) if faults else []
    return [_account(bundle, number, happened, times_s, cost) for number, cost in enumerate(costs)]


def _events_of(number: int, fault: Fault, happened: Sequence[Event]) -> list[Event]:
    return [
        event
        for event in happened
        if (event.kind, event.parameters.get("number"), event.parameters.get("do"))
        == (FAULT, number, fault.do)
    ]


def _times_s(own: Sequence[Event]) -> Times:
    """Return when a fault began on its first host, and had ended on its last."""
    begins_s = [event.begin_s for event in own if event.begin_s is not None]
    ends_s = [event.end_s for event in own if event.end_s is not None]
    has_ended = own and len(ends_s) == len(own)
    return min(begins_s, default=None), max(ends_s) if has_ended else None


def _account(
    bundle: Bundle,
    number: int,
    happened: Sequence[Event],
    times_s: Sequence[Times],
    cost: FaultCost,
) -> FaultAccount:
    fault = bundle.spec.faults[number]
    own = _events_of(number, fault, happened)
    began_s, ended_s = times_s[number]
    all_began_s = [one for one, _ in times_s]
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
        cost=cost,
        began_late_ms=_worst(own, "begin_late_ms"),
        begin_took_ms=_worst(own, "begin_took_ms"),
        ended_late_ms=_worst(own, "end_late_ms"),
        end_took_ms=_worst(own, "end_took_ms"),
    )


def _worst(own: Sequence[Event], name: str) -> float | None:
    """Return what is farthest from 0 of a fault's hosts; None if one of them does not say."""
    said = [event.parameters.get(name) for event in own]
    values = [float(value) for value in said if isinstance(value, int | float)]
    return max(values, key=abs, default=None) if len(values) == len(said) else None


def attributed(happened: Sequence[Event], faults: Sequence[FaultAccount]) -> list[Event]:
    """Return events with the faults that may have brought each about."""
    return [msgspec.structs.replace(event, faults=_faults_of(event, faults)) for event in happened]


def _faults_of(event: Event, faults: Sequence[FaultAccount]) -> list[int]:
    if event.source == INJECTED:
        number = event.parameters.get("number")
        return [number] if isinstance(number, int) else []
    if event.source == PLAYBOOK or event.begin_s is None:
        return []
    # A silence begins when something was heard last, which is before what brought it about.
    seen_s = event.begin_s if event.noticed_s is None else max(event.begin_s, event.noticed_s)
    on: list[int] = []
    before: list[tuple[float, int]] = []
    for number, fault in enumerate(faults):
        if fault.began_s is None or fault.began_s > seen_s:
            continue
        if fault.ended_s is None or fault.ended_s >= event.begin_s:
            on.append(number)
        elif event.begin_s - fault.ended_s <= NOTICED_WITHIN_S:
            before.append((fault.ended_s, number))
    return on or [number for _, number in sorted(before)[-1:]]


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

    `times_s`: when it began and ended. A later fault caused what began after it had begun.
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
    # A fault explains that an agent stood still only if it was on that agent.
    if event.kind == AGENT_PAUSED and (event.host, agent) not in hit:
        return None
    if event.noticed_s is not None:
        return event.noticed_s
    # In older runs it is from samples: a connection that is made again had been missed; of what
    # else they show, nobody knew then.
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
    """Return how long after a fault's end the shuffler published again.

    0 if nothing was left to publish, as all had been offered before; None if it did not.
    """
    if ended_s is None:
        return None
    ended_unix_ns = bundle.spec.t0_unix_ns + round(ended_s * NS_PER_S)
    is_over = ended_unix_ns >= bundle.spec.offer_until_unix_ns
    for part in bundle.parts("shuffler"):
        samples = part.shuffler_samples
        if any(sample.last_ack_unix_ns for sample in samples):
            again_unix_ns = first_ack_after(samples, ended_unix_ns)
        else:
            again_unix_ns = _next_count(samples, ended_unix_ns, is_over=is_over)
        if again_unix_ns is not None:
            return (again_unix_ns - ended_unix_ns) / NS_PER_S
    return 0.0 if is_over else None


def first_ack_after(samples: Sequence[ShufflerSample], from_unix_ns: int) -> int | None:
    """Return when the first ack after a time came; among many, by when it had come."""
    begin = 0
    for sample in samples:
        for last_before, end in sample.ack_gaps:
            # One that goes on after another has nothing before its first ack.
            begin = begin if last_before is None else last_before
            if begin <= from_unix_ns < end:
                return end
        begin = sample.last_ack_unix_ns or begin
        if begin > from_unix_ns:
            return min(begin, from_unix_ns + ACKS_FOLLOW_NS)
    return None


def _next_count(
    samples: Sequence[ShufflerSample], from_unix_ns: int, *, is_over: bool
) -> int | None:
    """Return the first sample of an older shuffler that counts more than it had then."""
    before = at_end = None
    for unix_ns, published in cumulative(samples, "published"):
        if unix_ns < from_unix_ns:
            before = published
            continue
        # What grew up to the first sample may have been published before the end. But if nothing
        # more is offered, nothing else will show it.
        since = before if is_over else at_end
        if since is not None and published > since:
            return unix_ns
        at_end = published if at_end is None else at_end
    return None
