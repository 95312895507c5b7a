"""Agents and workers that ended in a run and were started again, out of its bundle. Pure.

Whatever takes over notes when it was there and when it served. When the one before it ended is
known from a fault of the run's own, from its host's probe, or from its last sign of life: a sample,
up to a second older, or what the relay's reader heard of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fpaas.bundle import process_ends
from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import AgentSample, HostPart
from fpaas.records.events import AGENT_RESTARTED, FAULT, RELAY_SILENT
from fpaas.spec.faults import CONSUMERS, RELAY, SHUFFLER, targets

#: Faults that end a process which is started again.
ENDING = ("kill", "restart")


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
    for part in bundle.hosts.values():
        for agent, samples in ((RELAY, part.relay_samples), (SHUFFLER, part.shuffler_samples)):
            again = [one for one in part.events.get(agent, ()) if one.kind == AGENT_RESTARTED]
            for record in again:
                begin = _begin(bundle, part, agent, samples, record.begin_unix_ns)
                end = _first_after(record.begin_unix_ns, [one.end_unix_ns for one in again])
                times = begin[0], record.begin_unix_ns, end
                yield Restart(part.host, agent, *times, begin[1])
        for worker in part.workers:
            if worker.result is None or worker.gone_on_unix_ns is None:
                continue
            number, gone_on_unix_ns = worker.worker, worker.gone_on_unix_ns
            begin = _begin(bundle, part, CONSUMERS, worker.samples, gone_on_unix_ns, worker=number)
            starts = [
                one.result.started_unix_ns
                for one in part.workers
                if one.result is not None and one.result.first == worker.result.first
            ]
            end = _first_after(gone_on_unix_ns, starts)
            noticed_unix_ns = process_ends.noted_by_agent(part, number) or gone_on_unix_ns
            times = begin[0], noticed_unix_ns, end
            yield Restart(part.host, CONSUMERS, *times, begin[1], [number])


def _first_after(unix_ns: int, times: Sequence[int | None]) -> int | None:
    """Return the first time from one on: who was killed before it served left the next one to."""
    return min((one for one in times if one is not None and one >= unix_ns), default=None)


def _begin(
    bundle: Bundle,
    part: HostPart,
    agent: str,
    samples: Sequence[AgentSample],
    again_unix_ns: int,
    *,
    worker: int | None = None,
) -> tuple[int, bool]:
    """Return when the one before ended whose samples are there, and whether that is exact."""
    signs = [sample.unix_ns for sample in samples]
    if agent == RELAY:
        # Its reader heard it until then.
        signs += [
            record.begin_unix_ns
            for reader in bundle.parts(SHUFFLER)
            for record in reader.events.get(SHUFFLER, ())
            if record.kind == RELAY_SILENT
        ]
    last_sign_unix_ns = max((one for one in signs if one <= again_unix_ns), default=again_unix_ns)
    for record in part.events.get("faults", ()):
        number = record.parameters.get("number")
        if (
            record.kind == FAULT
            and record.parameters.get("do") in ENDING
            and isinstance(number, int)
            and 0 <= number < len(bundle.spec.faults)
            and last_sign_unix_ns <= record.begin_unix_ns <= again_unix_ns
            and any(
                (target.host, target.group) == (part.host, agent)
                for target in targets(bundle.spec.faults[number], bundle.spec.hosts)
            )
        ):
            return record.begin_unix_ns, True
    ended_unix_ns = process_ends.first_after(part, agent, last_sign_unix_ns, worker)
    if ended_unix_ns is not None and ended_unix_ns <= again_unix_ns:
        return ended_unix_ns, True
    return last_sign_unix_ns, False


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
    )
