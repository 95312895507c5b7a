"""What an agent counted in two ways, which must agree: its account is held against itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fpaas.bundle.bundle import Bundle
from fpaas.ledger.disagreements import About, Disagreements
from fpaas.measures.intervals import IntervalSet
from fpaas.records.consumers import PULL_ENDS, WorkerResult, WorkerSample
from fpaas.records.shuffler import NO_DID, ShufflerResult, ShufflerSample


@dataclass(frozen=True)
class CountedLess:
    """A count that an account has lower than the last sample."""

    who: str
    figure: str
    counted: int
    sampled: int


def check_pulls(result: WorkerResult, disagreements: Disagreements) -> None:
    """Compare a worker's pulls with how they ended."""
    fetches = result.fetches
    ended = sum(getattr(fetches, name) for name in PULL_ENDS)
    disagreements.note(
        fetches.pulls - ended,
        About.PULLS_ENDED,
        worker=result.worker,
        pulls=fetches.pulls,
        ended=ended,
    )


def counted_less(bundle: Bundle) -> list[CountedLess]:
    """Find counts of complete accounts that are below those of the last sample: they only go up."""
    return [
        CountedLess(who, figure, counted, sampled)
        for who, figures in _counted_twice(bundle)
        for figure, (counted, sampled) in figures.items()
        if counted < sampled
    ]


def _counted_twice(bundle: Bundle) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Iterate over (whose, figure → (in its account, in its last sample))."""
    for part in bundle.parts("relay"):
        relay = part.relay
        if relay is not None and relay.complete and part.relay_samples:
            names = ("offered", "ignored", "sent", "replayed")
            last = part.relay_samples[-1]
            yield (
                f"the relay on {part.host}",
                {name: (getattr(relay, name), getattr(last, name)) for name in names},
            )
    for part in bundle.parts("shuffler"):
        if part.shuffler is not None and part.shuffler.complete and part.shuffler_samples:
            yield (
                f"the shuffler on {part.host}",
                _of_shuffler(part.shuffler, part.shuffler_samples[-1]),
            )
    for part, worker in bundle.workers:
        if worker.result is not None and worker.result.complete and worker.samples:
            yield (
                f"worker {worker.worker} on {part.host}",
                _of_worker(worker.result, worker.samples[-1]),
            )


def _of_shuffler(result: ShufflerResult, last: ShufflerSample) -> dict[str, tuple[int, int]]:
    return {
        "read": (result.read.total, last.read),
        # What was taken for stored may turn out to be a duplicate.
        "published and duplicates": (
            result.published.total + result.duplicates.total,
            last.published + last.duplicates,
        ),
        "failed": (result.failed.total, last.failed),
    }


def _of_worker(result: WorkerResult, last: WorkerSample) -> dict[str, tuple[int, int]]:
    fetches, connections = result.fetches, result.connections
    return {
        "processed": (result.processed, last.processed),
        "polls": (result.polls, last.polls),
        "ok": (fetches.ok, last.ok),
        "empty": (fetches.empty, last.empty),
        "acks": (result.acks, last.acks),
        "redelivered": (result.redelivered, last.redelivered),
        "errors": (connections.errors, last.errors),
        "reconnects": (connections.reconnects, last.reconnects),
    }


def check_shuffler(
    shuffler: ShufflerResult, dids: Sequence[int] | None, disagreements: Disagreements
) -> None:
    """Compare outcomes of publishes with what was read, and with sizes and DIDs of what is stored.

    `dids` are None of several streams. An account that went on after a shuffler was killed, or a
    stream lost, may lack what was in the last second before.
    """
    went_on = shuffler.lives > 1 or shuffler.lost_streams or shuffler.forgotten
    if went_on or shuffler.stream_began_anew or not shuffler.complete:
        return
    with_outcome = IntervalSet()
    for seqs in (shuffler.published, shuffler.duplicates, shuffler.failed, shuffler.unknown):
        with_outcome = with_outcome.union(seqs)
    disagreements.note(
        with_outcome.difference(shuffler.read).total,
        About.OUTCOME_UNREAD,
        with_outcome=with_outcome.total,
        read=shuffler.read.total,
    )
    sizes = sum(sum(of_kind.values()) for of_kind in shuffler.message_bytes.values())
    disagreements.note(
        # Without any, the figures of sizes are null, as everybody sees.
        sizes - shuffler.published.total if sizes else 0,
        About.SIZES_COUNTED,
        sizes=sizes,
        published=shuffler.published.total,
    )
    if dids is not None:
        placed = sum(count for _, _, count in shuffler.stream_seqs)
        known = len(dids) - dids.count(NO_DID)
        disagreements.note(max(0, placed - known), About.DIDS_UNKNOWN, placed=placed, known=known)
