"""How old the deliveries were at the run's end that were owed and never made.

They took at least that long, so ages count them as calls without an answer are counted. Otherwise
whatever is held up for too long would make an age better.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from operator import itemgetter

from fpaas.bundle.bundle import Bundle
from fpaas.firehose.due_times import due_times
from fpaas.latency import stored_times
from fpaas.latency.leg_kinds import LEGS, RELAY_CLOCK
from fpaas.ledger.deliveries import OwedSeqs, received_of
from fpaas.ledger.disagreements import Disagreements
from fpaas.ledger.evidence import Evidence
from fpaas.ledger.ledger import Ledger
from fpaas.ledger.owed import owed_by_durable
from fpaas.measures.histogram_log import of_class
from fpaas.measures.intervals import IntervalSet
from fpaas.records.accounts import LedgerFigures
from fpaas.records.shuffler import NO_SEQ
from fpaas.spec import RunSpec

#: (time in Unix ns, last stream sequence whose age began by then)
BeganAt = tuple[int, int]
#: By durable, what it was owed and what it received.
OwedAndReceived = tuple[dict[str, OwedSeqs], dict[str, IntervalSet]]
#: So many messages in a row are taken to have the age of their youngest.
TOGETHER = 20


def ages_us(bundle: Bundle, evidence: Evidence, ledger: Ledger) -> dict[str, Counter[int] | None]:
    """Return by tag of an age how many deliveries were how old, at least, when the run ended.

    None if it is not known how many there are. Those whose age is not known are 0 at least.
    """
    spec = bundle.spec
    began_at = [_began_at(bundle, one, number) for number, one in enumerate(evidence.streams)]
    end_unix_ns = stored_times.polled_until_unix_ns(bundle)
    streams = _received(spec, evidence, ledger)
    by_name: dict[str, tuple[LedgerFigures, list[OwedAndReceived]]] = {"": (ledger, streams)}
    for number, kind in enumerate(spec.consumers.classes):
        own = {spec.durable_of(at) for at in _members(spec, number)}
        figures = ledger.by_class.get(kind.name, LedgerFigures())
        by_name[kind.name] = figures, [_only(own, *of_stream) for of_stream in streams]
    found: dict[str, Counter[int] | None] = {}
    for name, (figures, of_streams) in by_name.items():
        count = _missing_count(figures)
        missing = [Missing(*of_stream) for of_stream in of_streams] if count else []
        for tag in began_at[0]:
            ages: Counter[int] = Counter()
            for stream, one in zip(missing, began_at, strict=False):
                ages.update(stream.ages_us(one[tag], end_unix_ns))
            found[of_class(tag, name)] = None if count is None else _of_so_many(count, ages)
    return found


def _began_at(bundle: Bundle, evidence: Evidence, number: int) -> dict[str, list[BeganAt]]:
    """Return by tag when the ages of a stream's messages began: when stored, or when due."""
    stored_at = stored_times.stored_at(bundle, number)
    due_at = _due_at(bundle.spec, evidence)
    return {
        kind.recorded: due_at if kind.begins_on == RELAY_CLOCK and due_at else stored_at
        for kind in LEGS.values()
        if kind.is_age and kind.recorded
    }


def _due_at(spec: RunSpec, evidence: Evidence) -> list[BeganAt]:
    """Return when messages of our relay's were due, the latest of each few; empty: not known."""
    due_ns, shuffler, seqs = due_times(spec), evidence.shuffler, evidence.seqs
    if due_ns is None or (shuffler is None and seqs is None):
        return []
    found = [(0, 0)]
    if seqs is not None:
        for end in range(TOGETHER, len(seqs) + TOGETHER, TOGETHER):
            latest = max(seqs[end - TOGETHER : end])
            if latest != NO_SEQ:
                found.append((due_ns(latest - 1), min(end, len(seqs))))
        return found
    for seq, stream_seq, count in sorted(evidence.stream_seqs or (), key=itemgetter(1)):
        for first in range(0, count, TOGETHER):
            last = min(first + TOGETHER, count) - 1
            found.append((due_ns(seq + last), stream_seq + last))
    return found


def _members(spec: RunSpec, number: int) -> Iterator[int]:
    return (at for at in range(spec.consumers.count) if spec.class_of(at) == number)


def _missing_count(figures: LedgerFigures) -> int | None:
    if figures.owed is None or figures.delivered is None:
        return None
    return figures.owed - figures.delivered


def _of_so_many(count: int, ages: Counter[int]) -> Counter[int]:
    unknown = count - ages.total()
    if unknown < 0:
        # Some, the server says, were delivered, but nobody has seen them.
        return Counter({0: count})
    return ages + Counter({0: unknown})


class Missing:
    """What durables of a stream were owed and did not receive."""

    def __init__(self, owed: dict[str, OwedSeqs], received: dict[str, IntervalSet]) -> None:
        #: By what durables are owed: from a sequence on, how many more (or fewer) of them miss it.
        changes: dict[int, Counter[int]] = defaultdict(Counter)
        for durable, seqs in owed.items():
            of_same = changes[id(seqs)]
            of_same[1] += 1
            for first, last in received.get(durable, ()):
                of_same[first] -= 1
                of_same[last + 1] += 1
        by_id = {id(seqs): seqs for seqs in owed.values()}
        self._groups = [_Group(by_id[key], of_same) for key, of_same in changes.items()]

    def ages_us(self, began_at: list[BeganAt], end_unix_ns: int) -> Counter[int]:
        """Return how many deliveries were how old when the run ended."""
        ages: Counter[int] = Counter()
        for group in self._groups:
            before_count = 0
            for unix_ns, last_seq in began_at:
                count = group.count_up_to(last_seq)
                if count > before_count:
                    ages[max(0, end_unix_ns - unix_ns) // 1000] += count - before_count
                    before_count = count
        return ages


class _Group:
    """Durables that are owed the same: how many deliveries to them are missing."""

    def __init__(self, owed: OwedSeqs, changes: Counter[int]) -> None:
        self._owed = owed
        #: From each of these sequences on, so many durables miss what they are owed.
        self._firsts = sorted(changes)
        self._durables = list(accumulate(changes[first] for first in self._firsts))
        counts = [
            durables * owed.count(first, following - 1)
            for durables, (first, following) in zip(
                self._durables, pairwise(self._firsts), strict=False
            )
        ]
        #: How many deliveries are missing before each of them.
        self._before = [0, *accumulate(counts)]

    def count_up_to(self, last: int) -> int:
        """Return how many are missing up to a stream sequence."""
        at = bisect_right(self._firsts, last) - 1
        if at < 0:
            return 0
        return self._before[at] + self._durables[at] * self._owed.count(self._firsts[at], last)


def _received(spec: RunSpec, evidence: Evidence, ledger: Ledger) -> list[OwedAndReceived]:
    """Return what durables of each stream were owed and received.

    Empty if a stream was lost, or not all is known.
    """
    if evidence.lost or ledger.stored is None:
        return []
    found = []
    for number, one in enumerate(evidence.streams):
        stored = ledger.stored
        if evidence.by_stream:
            stored = one.server.stream_before.last_seq if one.server is not None else 0
        durables = _durables(spec, number, evidence.never_joined)
        owed = owed_by_durable(spec, stored, one, durables, Disagreements())
        if one.deliveries is None or owed is None:
            return []
        found.append(({name: owed[name] for name in durables}, received_of(one.deliveries)))
    return found


def _only(
    durables: set[str], owed: dict[str, OwedSeqs], received: dict[str, IntervalSet]
) -> OwedAndReceived:
    return {durable: seqs for durable, seqs in owed.items() if durable in durables}, received


def _durables(spec: RunSpec, stream: int, never_joined: Iterable[str]) -> list[str]:
    indices = range(stream, spec.consumers.count, spec.stream.count)
    every = dict.fromkeys(map(spec.durable_of, indices))
    for durable in never_joined:
        every.pop(durable, None)
    return list(every)
