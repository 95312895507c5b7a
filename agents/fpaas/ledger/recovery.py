"""What losing NATS cost a run: what was replayed and lost with a stream, and how long things took.

Times are seconds since T0. An outage begins when the first agent noticed that its connection was
lost; those of several agents that overlap are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fpaas.bundle.bundle import Bundle
from fpaas.bundle.parts import WorkerPart
from fpaas.ledger import forgotten
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.records.accounts import Outage, Recovery
from fpaas.records.events import NATS_SILENT
from fpaas.spec import NS_PER_S

#: Agents notice the same within seconds: one that does not write hears of it by a ping.
SAME_WITHIN_NS = 2 * NS_PER_S


@dataclass
class _Outage:
    """Unix ns; None: not until the end, or not known."""

    lost: int
    answered: int | None = None
    resumed: int | None = None
    consumers_resumed: int | None = None


def find(bundle: Bundle, evidence: Evidence, balance: Ledger) -> Recovery:
    """Return the section `recovery` of summary.json."""
    shuffler = evidence.shuffler
    lost = shuffler.lost_streams if shuffler is not None else []
    rewound = [one.rewound_to_seq for one in lost if one.rewound_to_seq is not None]
    logs = evidence.deliveries or ()
    never_known = forgotten.never_known(shuffler, bundle.spec, logs) if shuffler is not None else 0
    return Recovery(
        stream_recreated=bool(lost) if shuffler is not None else None,
        streams_lost=len(lost) if shuffler is not None else None,
        rewound_to_seq=min(rewound, default=None),
        replayed=shuffler.replayed_seqs.total if shuffler is not None else None,
        forgotten=None if shuffler is None else forgotten.count(shuffler) + never_known,
        forgotten_missing=None if shuffler is None else forgotten.missing(shuffler) + never_known,
        lost_by_cause=balance.stream_lost_by_cause or {},
        outages=[_figures(bundle, outage) for outage in _outages(bundle)],
    )


def _outages(bundle: Bundle) -> list[_Outage]:
    found: list[_Outage] = []
    for one in sorted(_seen(bundle), key=lambda outage: outage.lost):
        last = found[-1] if found else None
        ends = (
            [end for end in (last.answered, last.resumed, last.consumers_resumed) if end]
            if last is not None
            else []
        )
        if last is None or one.lost > max([last.lost + SAME_WITHIN_NS, *ends]):
            found.append(one)
            continue
        last.answered = last.answered or one.answered
        last.resumed = last.resumed or one.resumed
        if one.consumers_resumed is not None:
            last.consumers_resumed = max(last.consumers_resumed or 0, one.consumers_resumed)
    return found


def _seen(bundle: Bundle) -> Iterator[_Outage]:
    t0 = bundle.spec.t0_unix_ns
    if bundle.shuffler is not None:
        for one in bundle.shuffler.nats_outages:
            if one.resumed_unix_ns is None or one.resumed_unix_ns >= t0:
                yield _Outage(one.lost_unix_ns, one.answered_unix_ns, one.resumed_unix_ns)
    for _, worker in bundle.workers:
        for other in worker.result.nats_outages if worker.result is not None else ():
            if other.resumed_unix_ns is None or other.resumed_unix_ns >= t0:
                yield _Outage(other.lost_unix_ns, consumers_resumed=other.resumed_unix_ns)


def _figures(bundle: Bundle, outage: _Outage) -> Outage:
    served, unserved = served_again(
        bundle.spec.t0_unix_ns, (worker for _, worker in bundle.workers), outage.lost
    )
    silent_from = _silent_from(bundle, outage.lost)
    return Outage(
        lost_s=(outage.lost - bundle.spec.t0_unix_ns) / NS_PER_S,
        noticed_after_s=None if silent_from is None else (outage.lost - silent_from) / NS_PER_S,
        answered_s=_since(bundle, outage.answered),
        published_again_s=_since(bundle, outage.resumed),
        polled_again_s=_since(bundle, outage.consumers_resumed),
        served_again_s=None if served is None or unserved else _since(bundle, served),
        consumers_unserved=unserved,
    )


def _since(bundle: Bundle, unix_ns: int | None) -> float | None:
    return None if unix_ns is None else (unix_ns - bundle.spec.t0_unix_ns) / NS_PER_S


def _silent_from(bundle: Bundle, lost: int) -> int | None:
    """Return when the first to notice had last heard NATS; None if nobody watched."""
    begins = [
        event.begin_unix_ns
        for part in bundle.hosts.values()
        for events in (*part.events.values(), *(worker.events for worker in part.workers))
        for event in events
        if event.kind == NATS_SILENT and abs(event.begin_unix_ns - lost) <= SAME_WITHIN_NS
    ]
    return min([*begins, lost]) if begins else None


def served_again(
    t0_unix_ns: int, workers: Iterable[WorkerPart], from_unix_ns: int
) -> tuple[int | None, int]:
    """Return when the last consumer received something after a time, and how many did not.

    Unix ns; of consumers that never did the time is not known, so it is of the others.
    """
    from_ms = (from_unix_ns - t0_unix_ns) // 1_000_000
    first: dict[int, int | None] = {}
    for worker in workers:
        if worker.result is not None:
            for index in range(worker.result.first, worker.result.first + worker.result.count):
                first.setdefault(index, None)
        for log in worker.deliveries or ():
            for at_ms, _, _, _ in log.runs:
                before = first.get(log.consumer_index)
                if at_ms >= from_ms and (before is None or at_ms < before):
                    first[log.consumer_index] = at_ms
    served = [at_ms for at_ms in first.values() if at_ms is not None]
    last = max(served, default=None)
    return None if last is None else t0_unix_ns + last * 1_000_000, len(first) - len(served)
