"""Whether the faults of a run can be played: on its hosts, in its time, beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fpaas.errors import SpecError
from fpaas.spec.faults import GROUPS, KINDS, LEADER, NATS, RELAY, Fault, label, near, targets


def check(
    faults: Sequence[Fault],
    hosts: Mapping[str, Sequence[str]],
    *,
    length_s: float,
    plays_relay: bool,
    workers: int | None,
) -> None:
    """Check faults against an inventory and a timeline. Raises SpecError that names the entry.

    `length_s` is from T0 to the end of draining; `plays_relay`: whether the relay is ours;
    `workers` of each consumers host, None if its cores decide.
    """
    if not plays_relay:
        hosts = {group: names for group, names in hosts.items() if group != RELAY}
    for number_of, fault in enumerate(faults):
        said = label(number_of, fault)
        if fault.until_s > length_s:
            raise SpecError(
                f"{said}: ends at {fault.until_s:g} s, and the run does at {length_s:g} s; make "
                "the fault earlier or shorter, or bench_measure_s longer"
            )
        if fault.on == RELAY and not plays_relay:
            raise SpecError(
                f"{said}: bench_firehose_source names a relay that is not ours to break"
            )
        _check_hosts(said, fault, hosts)
        if workers is not None and fault.worker is not None and fault.worker >= workers:
            raise SpecError(
                f"{said}: there is no such worker; bench_workers={workers} are numbered from 0"
            )
        for before, other in enumerate(faults[:number_of]):
            if _collide(other, fault, hosts):
                raise SpecError(
                    f"{said}: is at the same time and on the same thing as "
                    f"{label(before, other)}; undoing one would undo the other"
                )


def _check_hosts(said: str, fault: Fault, hosts: Mapping[str, Sequence[str]]) -> None:
    if not targets(fault, hosts):
        names = sorted({host for group in GROUPS for host in hosts.get(group, ())})
        if fault.on in GROUPS:
            raise SpecError(f"{said}: on: the group {fault.on} has no host")
        raise SpecError(
            f"{said}: on: there is no such group or host; {near(fault.on, [*GROUPS, *names])}"
            f"groups: {', '.join(GROUPS)}; hosts: {', '.join(names)}"
        )
    if fault.on == LEADER and len(hosts.get(NATS, ())) < 2:
        raise SpecError(f"{said}: on: a single NATS server has no leader; on: nats is that server")
    if fault.peer is None:
        return
    if not hosts.get(fault.peer):
        raise SpecError(f"{said}: peer: the group {fault.peer} has no host")
    here = {target.host for target in targets(fault, hosts)}
    both = here & set(hosts[fault.peer])
    if both:
        raise SpecError(
            f"{said}: peer: {fault.peer} is on the same host ({', '.join(sorted(both))}); a "
            "partition needs two groups on separate hosts"
        )


def _collide(one: Fault, other: Fault, hosts: Mapping[str, Sequence[str]]) -> bool:
    shares = KINDS[one.do].shares
    if shares != KINDS[other.do].shares or not _overlap(one, other):
        return False
    if shares == "partition":
        return (one.on, one.peer) == (other.on, other.peer)
    if shares == "manners":
        return bool(one.for_s and other.for_s)
    if shares == "process":
        are_two_workers = None not in {one.worker, other.worker} and one.worker != other.worker
        return not are_two_workers and bool({*targets(one, hosts)} & {*targets(other, hosts)})
    return bool({t.host for t in targets(one, hosts)} & {t.host for t in targets(other, hosts)})


def _overlap(one: Fault, other: Fault) -> bool:
    return one.at_s <= other.until_s and other.at_s <= one.until_s
