"""Agents and workers that ended in a run and were started again, out of its bundle. Pure.

Whatever takes over notes when it was there and when it served. When the one before it ended is
known from a fault of the run's own, from its host's probe, or from its last sign of life: a sample,
up to a second older, or what the relay's reader heard of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fpaas.bundle import process_ends
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.fault_claims import FaultClaims, Part
from fpaas.bundle.parts import AgentSample, HostPart
from fpaas.records.events import AGENT_RESTARTED, RELAY_SILENT
from fpaas.spec.faults import CONSUMERS, RELAY, SHUFFLER


@dataclass(frozen=True)
class PartEnds:
    """How often a part on a host ended in a run; `by_itself`: though no fault was to end it."""

    host: str
    part: str
    times: int
    by_itself: int


@dataclass(frozen=True)
class Restart:
    """An agent, or workers of one, that served nobody for a while; times in Unix ns.

    `end_unix_ns` is None if it never served again. `is_exact`: it is known when it ended; otherwise
    it began with the last sign of life.
    """

    host: str
    agent: str
    begin_unix_ns: int
    #: When the one that went on was there, and so knew, or a consumers agent saw its worker end.
    noticed_unix_ns: int
    end_unix_ns: int | None
    is_exact: bool
    workers: list[int] = field(default_factory=list)
    #: How often somebody ended in that time, and how often no fault was to end them.
    times: int = 1
    by_itself: int = 0


def ends(bundle: Bundle) -> Iterator[PartEnds]:
    """Iterate over the agents that ended and were started again, in the order of time."""
    for one in find(bundle):
        yield PartEnds(one.host, one.agent, one.times, one.by_itself)


def find(bundle: Bundle) -> list[Restart]:
    """Return all that were not over before T0; those that overlap are one."""
    found: list[Restart] = []
    # One that was killed again before it served is part of the same time without service.
    for one in sorted(_each(bundle), key=lambda one: (one.host, one.agent, one.begin_unix_ns)):
        if one.end_unix_ns is not None and one.end_unix_ns < bundle.spec.t0_unix_ns:
            continue
        if found and _are_together(found[-1], one):
            found[-1] = _merged(found[-1], one)
        else:
            found.append(one)
    return found


def was_restarted(part: HostPart, agent: str) -> bool:
    """Whether a host's relay or shuffler ended in the run and was started again."""
    if agent == SHUFFLER and part.shuffler is not None and part.shuffler.lives > 1:
        return True
    return any(record.kind == AGENT_RESTARTED for record in part.events.get(agent, ()))


def _each(bundle: Bundle) -> Iterator[Restart]:
    claims = FaultClaims(bundle)
    for part in bundle.hosts.values():
        for agent, samples in ((RELAY, part.relay_samples), (SHUFFLER, part.shuffler_samples)):
            again = [one for one in part.events.get(agent, ()) if one.kind == AGENT_RESTARTED]
            for record in again:
                ended = _Ended(Part(part.host, agent), samples, record.begin_unix_ns)
                end = _first_after(record.begin_unix_ns, [one.end_unix_ns for one in again])
                yield _restart(bundle, claims, ended, record.begin_unix_ns, end)
        # Of each share of the host's consumers, the first one's place.
        shares = sorted({one.result.first for one in part.workers if one.result is not None})
        for worker in part.workers:
            if worker.result is None or worker.gone_on_unix_ns is None:
                continue
            number, gone_on_unix_ns = worker.worker, worker.gone_on_unix_ns
            place = Part(part.host, CONSUMERS, shares.index(worker.result.first))
            ended = _Ended(place, worker.samples, gone_on_unix_ns, number)
            starts = [
                one.result.started_unix_ns
                for one in part.workers
                if one.result is not None and one.result.first == worker.result.first
            ]
            end = _first_after(gone_on_unix_ns, starts)
            noticed_unix_ns = process_ends.noted_by_agent(part, number) or gone_on_unix_ns
            yield _restart(bundle, claims, ended, noticed_unix_ns, end)


class _Ended(NamedTuple):
    """Who ended, what it left, and when another was there in its place; `worker`: its number."""

    part: Part
    samples: Sequence[AgentSample]
    again_unix_ns: int
    worker: int | None = None


def _restart(
    bundle: Bundle, claims: FaultClaims, ended: _Ended, noticed_unix_ns: int, end: int | None
) -> Restart:
    last_sign_unix_ns = _last_sign(bundle, ended)
    fault = claims.claim(ended.part, last_sign_unix_ns, ended.again_unix_ns)
    begin_unix_ns, is_exact = last_sign_unix_ns, False
    # Who is asked to end may give signs of life for a while.
    if fault is not None and fault.begin_unix_ns >= last_sign_unix_ns:
        begin_unix_ns, is_exact = fault.begin_unix_ns, True
    else:
        host = bundle.hosts[ended.part.host]
        seen_unix_ns = process_ends.first_after(
            host, ended.part.group, last_sign_unix_ns, ended.worker
        )
        if seen_unix_ns is not None and seen_unix_ns <= ended.again_unix_ns:
            begin_unix_ns, is_exact = seen_unix_ns, True
    return Restart(
        ended.part.host,
        ended.part.group,
        begin_unix_ns,
        noticed_unix_ns,
        end,
        is_exact,
        [] if ended.worker is None else [ended.worker],
        by_itself=int(fault is None),
    )


def _first_after(unix_ns: int, times: Sequence[int | None]) -> int | None:
    """Return the first time from one on: who was killed before it served left the next one to."""
    return min((one for one in times if one is not None and one >= unix_ns), default=None)


def _last_sign(bundle: Bundle, ended: _Ended) -> int:
    """Return when somebody who ended gave the last sign of life before another was there."""
    signs = [sample.unix_ns for sample in ended.samples]
    if ended.part.group == RELAY:
        # Its reader heard it until then.
        signs += [
            record.begin_unix_ns
            for reader in bundle.parts(SHUFFLER)
            for record in reader.events.get(SHUFFLER, ())
            if record.kind == RELAY_SILENT
        ]
    again_unix_ns = ended.again_unix_ns
    return max((one for one in signs if one <= again_unix_ns), default=again_unix_ns)


def _are_together(one: Restart, later: Restart) -> bool:
    return (one.host, one.agent) == (later.host, later.agent) and (
        one.end_unix_ns is None or later.begin_unix_ns <= one.end_unix_ns
    )


def _merged(one: Restart, later: Restart) -> Restart:
    ends = [each.end_unix_ns for each in (one, later)]
    known = [end for end in ends if end is not None]
    return replace(
        one,
        noticed_unix_ns=min(one.noticed_unix_ns, later.noticed_unix_ns),
        end_unix_ns=max(known) if len(known) == len(ends) else None,
        is_exact=one.is_exact and later.is_exact,
        workers=[*one.workers, *later.workers],
        times=one.times + later.times,
        by_itself=one.by_itself + later.by_itself,
    )
