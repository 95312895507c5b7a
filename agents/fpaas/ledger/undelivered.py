"""How old the deliveries were at the run's end that were owed and never made.

They took at least that long, so ages count them as calls without an answer are counted. Otherwise
whatever is held up for too long would make an age better.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
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
#: So many messages in a row are taken to have the age of their youngest.
TOGETHER = 20


def ages_us(bundle: Bundle, evidence: Evidence, ledger: Ledger) -> dict[str, Counter[int] | None]:
    """Return by tag of an age how many deliveries were how old, at least, when the run ended.

    None if it is not known how many there are. Those whose age is not known are 0 at least.
    """
    spec = bundle.spec
    found: dict[str, Counter[int] | None] = {}
    began_at = [_began_at(bundle, one, number) for number, one in enumerate(evidence.streams)]
    for tag in began_at[0]:
        missing = _missing(bundle, evidence, ledger, [one[tag] for one in began_at])
        found[tag] = _counted(ledger, missing, lambda _: True)
        for number, one in enumerate(spec.consumers.classes):
            own = {spec.durable_of(at) for at in _members(spec, number)}
            figures = ledger.by_class.get(one.name, LedgerFigures())
            found[of_class(tag, one.name)] = _counted(figures, missing, own.__contains__)
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


def _counted(
    figures: LedgerFigures,
    missing: list[Missing] | None,
    is_own: Callable[[str], bool],
) -> Counter[int] | None:
    if figures.owed is None or figures.delivered is None:
        return None
    count = figures.owed - figures.delivered
    ages = Counter[int]()
    for one in (missing or ()) if count else ():
        ages += one.ages_us(is_own)
    unknown = count - ages.total()
    if unknown < 0:
        # Some, the server says, were delivered, but nobody has seen them.
        return Counter({0: count})
    return ages + Counter({0: unknown})


class Missing:
    """What each durable of a stream was owed, and what it received."""

    def __init__(
        self,
        owed: dict[str, OwedSeqs],
        received: dict[str, IntervalSet],
        began_at: list[BeganAt],
        end_unix_ns: int,
    ) -> None:
        self._owed = owed
        self._received = received
        self._began_at = began_at
        self._end_unix_ns = end_unix_ns

    def ages_us(self, is_own: Callable[[str], bool]) -> Counter[int]:
        """Return how many deliveries were how old of some durables."""
        #: For durables that are owed the same: from a sequence on, how many more (or fewer) miss
        #: it.
        missing: dict[int, Counter[int]] = defaultdict(Counter)
        for durable, owed in self._owed.items():
            if not is_own(durable):
                continue
            changes = missing[id(owed)]
            changes[1] += 1
            for first, last in self._received.get(durable, ()):
                changes[first] -= 1
                changes[last + 1] += 1
        by_id = {id(owed): owed for owed in self._owed.values()}
        ages: Counter[int] = Counter()
        for key, changes in missing.items():
            for first, last, began_unix_ns, durables in self._stretches(changes):
                age_us = max(0, self._end_unix_ns - began_unix_ns) // 1000
                ages[age_us] += durables * by_id[key].count(first, last)
        return ages

    def _stretches(self, changes: Counter[int]) -> Iterator[tuple[int, int, int, int]]:
        """Iterate over (first, last sequence, stored by then, how many durables miss them)."""
        bounds = sorted(changes, reverse=True)
        durables = 0
        for (_, before_seq), (at_unix_ns, last_seq) in pairwise(self._began_at):
            first = before_seq + 1
            while first <= last_seq:
                while bounds and bounds[-1] <= first:
                    durables += changes[bounds.pop()]
                last = min(last_seq, bounds[-1] - 1) if bounds else last_seq
                if durables:
                    yield first, last, at_unix_ns, durables
                first = last + 1


def _missing(
    bundle: Bundle, evidence: Evidence, ledger: Ledger, began_at: list[list[BeganAt]]
) -> list[Missing] | None:
    """Return what is known of each stream's durables; None if one was lost, or it is not all."""
    spec = bundle.spec
    if evidence.lost or ledger.stored is None:
        return None
    found = []
    for number, one in enumerate(evidence.streams):
        stored = ledger.stored
        if evidence.by_stream:
            stored = one.server.stream_before.last_seq if one.server is not None else 0
        durables = _durables(spec, number, evidence.never_joined)
        owed = owed_by_durable(spec, stored, one, durables, Disagreements())
        if one.deliveries is None or owed is None:
            return None
        found.append(
            Missing(
                {durable: owed[durable] for durable in durables},
                received_of(one.deliveries),
                began_at[number],
                stored_times.polled_until_unix_ns(bundle),
            )
        )
    return found


def _durables(spec: RunSpec, stream: int, never_joined: Iterable[str]) -> list[str]:
    indices = range(stream, spec.consumers.count, spec.stream.count)
    every = dict.fromkeys(map(spec.durable_of, indices))
    for durable in never_joined:
        every.pop(durable, None)
    return list(every)
