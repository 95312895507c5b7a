"""The account of events that were read and their outcomes, by relay seq and in running counts."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fpaas.measures.intervals import IntervalSet
from fpaas.records.shuffler import NO_DID, NO_SEQ, Forgotten, ShufflerResult
from fpaas.shuffler.publish import Publish

#: Set in the classes of every message that this shuffler published.
PUBLISHED = 1 << 31
#: A stream is empty when a run begins; of a place further ahead nothing is kept.
DIDS_GROWTH_MAX = 1 << 26


@dataclass
class StreamPlaces:
    """Where one stream has published events; a stream that was lost and made again is another.

    `created` is when it was made, as the server says; None if that is not known. `runs` are [relay
    seq, stream seq, count]; `presumed` are the same for publishes that were in flight when the
    stream was lost, provided that it took them in the order in which they were written.
    """

    created: str | None = None
    #: Relay seq + 1 of each stream sequence from 1 on, in place of `runs`: of several streams, each
    #: has a few seqs in a row at most. 0: not this shuffler's.
    seqs: array[int] | None = None
    runs: list[list[int]] = field(default_factory=list)
    stored_seqs: IntervalSet = field(default_factory=IntervalSet)
    #: Stream sequences of further copies of published events.
    copy_seqs: IntervalSet = field(default_factory=IntervalSet)
    #: Stream sequences of messages that were read and are not this shuffler's.
    foreign_seqs: IntervalSet = field(default_factory=IntervalSet)
    last_seq: int = 0
    #: CRC-32 of the DID of each stream sequence from 1 on, if that is kept.
    dids: array[int] | None = None
    #: For the same, the classes of consumers that want it, a bit each, and PUBLISHED.
    classes: array[int] | None = None
    presumed: list[list[int]] = field(default_factory=list)
    noticed_unix_ns: int = 0
    rewound_to_seq: int | None = None
    #: What left a stream of this age before it was made again is not read again.
    oldest_seq: int | None = None

    def beyond(self, stream_seq: int) -> IntervalSet:
        """Return the relay seqs that it has after a place, presumed ones among them."""
        found = IntervalSet()
        for seq, first, count in (*self.runs, *self.presumed):
            skipped = max(0, stream_seq + 1 - first)
            if skipped < count:
                found.add_range(seq + skipped, seq + count - 1)
        return found

    def up_to(self, stream_seq: int) -> IntervalSet:
        """Return the relay seqs that it has up to a place."""
        found = IntervalSet()
        for seq, first, count in (*self.runs, *self.presumed):
            taken = min(count, stream_seq + 1 - first)
            if taken > 0:
                found.add_range(seq, seq + taken - 1)
        return found

    def forget_beyond(self, stream_seq: int) -> list[list[int]]:
        """Note that the stream ends there though it had acked more; returns the runs of that."""
        kept: list[list[int]] = []
        forgotten: list[list[int]] = []
        for seq, first, count in self.runs:
            left = min(count, max(0, stream_seq + 1 - first))
            if left:
                kept.append([seq, first, left])
            if left < count:
                forgotten.append([seq + left, first + left, count - left])
        beyond = IntervalSet([(stream_seq + 1, max(stream_seq + 1, self.last_seq))])
        self.runs = kept
        self.stored_seqs = self.stored_seqs.difference(beyond)
        self.copy_seqs = self.copy_seqs.difference(beyond)
        self.foreign_seqs = self.foreign_seqs.difference(beyond)
        self.last_seq = stream_seq
        for by_seq in (self.dids, self.classes):
            if by_seq is not None:
                del by_seq[stream_seq:]
        return forgotten

    def give_back(self, seq: int, stream_seq: int) -> None:
        """Note that a place does not have the event of relay seq `seq` after all."""
        self.runs = [part for run in self.runs for part in _without(run, seq, stream_seq)]
        self.stored_seqs = self.stored_seqs.difference(IntervalSet([(stream_seq, stream_seq)]))
        for by_seq, nobody in ((self.seqs, NO_SEQ), (self.dids, NO_DID), (self.classes, 0)):
            if by_seq is not None and stream_seq <= len(by_seq):
                by_seq[stream_seq - 1] = nobody

    def presume(self, publishes: list[tuple[int, int, int]]) -> None:
        """Take in (relay seq, CRC-32 of the DID, classes) of what was not answered, in order."""
        for number, (seq, did_crc, classes) in enumerate(publishes, 1):
            self.presumed.append([seq, self.last_seq + number, 1])
            if self.dids is not None:
                _note(self.dids, self.last_seq + number, did_crc)
            if self.classes is not None:
                _note(self.classes, self.last_seq + number, classes)


class Account:
    """One outcome for every event read: published, duplicate, failed or unknown.

    The sets are exact; `forget` empties them if nobody will ask and they would grow for ever.
    """

    def __init__(
        self,
        *,
        keep_dids: bool = False,
        classes_of: Callable[[bytes], int] | None = None,
        streams: int = 1,
        writer: str | None = None,
    ) -> None:
        #: What its messages say that they are by; None: they do not say.
        self.writer = writer
        self.read = 0
        self.published = 0
        self.duplicates = 0
        self.failed = 0
        self.unknown = 0
        self.undecodable = 0
        #: More such frames, which did not come again.
        self.undecodable_once = 0
        self.ignored = 0
        self.reread = 0
        self.settled = 0
        self.stored_twice = 0
        #: Publishes that were acked as new after a write whose fate is not known.
        self.maybe_stored_twice = 0
        #: Messages in the stream that are not this shuffler's.
        self.foreign = 0
        #: Events of a lost stream that were published into the one made in its place.
        self.replayed = 0
        self.failures_by_reason: Counter[str] = Counter()
        self.refusals_by_reason: Counter[str] = Counter()
        self._keep_dids = keep_dids
        #: Which classes want a subject, if anybody needs to know.
        self.classes_of = classes_of
        #: Those that are there, by number.
        self.streams = [self._new_stream(None) for _ in range(streams)]
        for stream in self.streams if streams > 1 else ():
            stream.seqs = array("q")
        #: Streams that were lost, in order; if there is only one at a time.
        self.lost_streams: list[StreamPlaces] = []
        #: What a stream had acked and forgot, and what of that it has yet to get again.
        self.forgotten: list[Forgotten] = []
        self.to_restore = IntervalSet()
        #: When one went on after one that was killed, and where the stream ended then.
        self.resumed_at: list[tuple[int, int]] = []
        self.forget()

    @property
    def stream(self) -> StreamPlaces:
        """The only stream that is there."""
        [only] = self.streams
        return only

    @property
    def last_stream_seq(self) -> int:
        """The highest stream sequence acked; of several streams, their sum."""
        return sum(stream.last_seq for stream in self.streams)

    def begin_stream(self, created: str | None) -> StreamPlaces:
        """Note that the stream is another one from now on; returns the one that is lost."""
        lost = self.stream
        self.lost_streams.append(lost)
        self.streams = [self._new_stream(created)]
        return lost

    def forget_beyond(self, stream_seq: int, now_unix_ns: int) -> Forgotten:
        """Note that the stream ends there though it had acked more; returns what it forgot."""
        runs = [(seq, at, count) for seq, at, count in self.stream.forget_beyond(stream_seq)]
        forgotten = Forgotten(stream_seqs=runs, noticed_unix_ns=now_unix_ns)
        self.forgotten.append(forgotten)
        for seq, _, count in runs:
            self.to_restore.add_range(seq, seq + count - 1)
        return forgotten

    def _new_stream(self, created: str | None) -> StreamPlaces:
        return StreamPlaces(
            created,
            dids=array("I") if self._keep_dids else None,
            classes=array("I") if self.classes_of else None,
        )

    def forget(self) -> None:
        """Drop what is kept by seq and by size; the counts stay."""
        self.read_seqs = IntervalSet()
        self.published_seqs = IntervalSet()
        self.duplicate_seqs = IntervalSet()
        self.failed_seqs = IntervalSet()
        self.unknown_seqs = IntervalSet()
        self.undecodable_seqs = IntervalSet()
        self.ignored_seqs = IntervalSet()
        self.replayed_seqs = IntervalSet()
        for stream in self.streams:
            stream.copy_seqs, stream.stored_seqs, stream.runs = IntervalSet(), IntervalSet(), []
            stream.foreign_seqs = IntervalSet()
        for lost in self.lost_streams:
            lost.runs = []
        self.message_bytes: dict[str, dict[int, int]] = {}

    def restore(
        self, left: ShufflerResult, dids: list[array[int]], classes: list[array[int] | None]
    ) -> None:
        """Go on with the account of a killed shuffler; the lists are of each stream in order."""
        self.read_seqs, self.read = left.read, left.read.total
        self.published_seqs, self.published = left.published, left.published.total
        self.duplicate_seqs, self.duplicates = left.duplicates, left.duplicates.total
        self.failed_seqs, self.failed = left.failed, left.failed.total
        self.unknown_seqs, self.unknown = left.unknown, left.unknown.total
        self.undecodable_seqs, self.undecodable = left.undecodable_seqs, left.undecodable
        self.undecodable_once = left.undecodable_once
        self.ignored_seqs, self.ignored = left.ignored_seqs, left.ignored
        self.replayed_seqs, self.replayed = left.replayed_seqs, left.replayed_seqs.total
        self.reread, self.settled = left.reread, left.settled
        self.stored_twice = self.maybe_stored_twice = left.stored_twice
        self.failures_by_reason.update(left.failures_by_reason)
        self.refusals_by_reason.update(left.refusals_by_reason)
        self.message_bytes = left.message_bytes
        self.forgotten = list(left.forgotten)
        self.resumed_at = list(left.resumed_at)
        self.lost_streams = [
            StreamPlaces(
                lost.created,
                runs=[list(run) for run in lost.stream_seqs],
                copy_seqs=lost.copy_seqs,
                last_seq=max((at + count - 1 for _, at, count in lost.stream_seqs), default=0),
                dids=dids[number],
                classes=classes[number],
                presumed=[list(run) for run in lost.presumed_seqs],
                noticed_unix_ns=lost.noticed_unix_ns,
                rewound_to_seq=lost.rewound_to_seq,
                oldest_seq=lost.oldest_seq,
            )
            for number, lost in enumerate(left.lost_streams)
        ]
        stored = IntervalSet(sorted((at, at + count - 1) for _, at, count in left.stream_seqs))
        self.streams = [
            StreamPlaces(
                left.stream_created,
                runs=[list(run) for run in left.stream_seqs],
                stored_seqs=stored,
                copy_seqs=left.copy_seqs,
                last_seq=stored.last or 0,
                dids=dids[-1],
                classes=classes[-1],
            )
        ]

    def outcomes(self) -> IntervalSet:
        """Return the seqs that have their outcome."""
        found = IntervalSet()
        for more in self._by_outcome:
            found = found.union(more)
        return found

    def has_outcome(self, seq: int) -> bool:
        """Whether an event has its outcome."""
        return any(seq in seqs for seqs in self._by_outcome)

    @property
    def _by_outcome(self) -> tuple[IntervalSet, ...]:
        return self.published_seqs, self.duplicate_seqs, self.failed_seqs, self.unknown_seqs

    def note_read(self, seq: int) -> None:
        """Note an event that is read; it counts once, also if a killed shuffler read it before."""
        if self.read_seqs.add(seq):
            self.read += 1

    def note_undecodable(self, seq: int | None) -> None:
        """Note a frame that was given up; with its `seq`, if that is known, it counts once."""
        if seq is None or self.undecodable_seqs.add(seq):
            self.undecodable += 1

    def note_ignored(self, seq: int | None) -> None:
        """Note a frame that is no event; `seq` if it has one."""
        self.ignored += 1
        if seq is not None:
            self.ignored_seqs.add(seq)

    def note_copy(self, stream_seq: int, stream: int = 0) -> None:
        """Note that a stream took a repeat as new: its duplicate window was over."""
        self.stored_twice += 1
        self.streams[stream].copy_seqs.add(stream_seq)

    def note_published(self, publish: Publish, stream_seq: int) -> None:
        """Note that the stream has the event, by this publish or by an earlier write of it."""
        seq = publish.seq
        stream = self.streams[publish.stream]
        stream.stored_seqs.add(stream_seq)
        stream.last_seq = max(stream.last_seq, stream_seq)
        runs = stream.runs
        if runs:
            run = runs[-1]
            count = run[2]
            if seq == run[0] + count and stream_seq == run[1] + count:
                run[2] = count + 1
            else:
                runs.append([seq, stream_seq, 1])
        elif stream.seqs is not None:
            _note(stream.seqs, stream_seq, seq + 1)
        else:
            runs.append([seq, stream_seq, 1])
        dids = stream.dids
        if dids is not None:
            if stream_seq == len(dids) + 1:
                dids.append(publish.did_crc)
            else:
                _note(dids, stream_seq, publish.did_crc)
        if self.classes_of is not None and stream.classes is not None:
            _note(stream.classes, stream_seq, self.classes_of(publish.subject))
        if publish.again:
            self.replayed += 1
            self.replayed_seqs.add(seq)
            if seq in self.to_restore:
                self.to_restore = self.to_restore.difference(IntervalSet([(seq, seq)]))
            return
        self.published += 1
        self.published_seqs.add(seq)
        size_bytes = len(publish.frame)
        sizes = self.message_bytes.get(publish.label)
        if sizes is None:
            sizes = self.message_bytes[publish.label] = {}
        sizes[size_bytes] = sizes.get(size_bytes, 0) + 1

    def note_duplicate(self, seq: int) -> None:
        """Note that the stream had the event before."""
        self.duplicates += 1
        self.duplicate_seqs.add(seq)

    def take_back(
        self, seq: int, stream_seq: int, *, label: str, size_bytes: int, stream: int = 0
    ) -> None:
        """Make a publish a duplicate that was taken for stored: its place is another event's."""
        self.published -= 1
        self.settled -= 1
        self.published_seqs = self.published_seqs.difference(IntervalSet([(seq, seq)]))
        sizes = self.message_bytes.get(label, {})
        # Unless it was forgotten since.
        if size_bytes in sizes:
            sizes[size_bytes] -= 1
            if not sizes[size_bytes]:
                del sizes[size_bytes]
        self.streams[stream].give_back(seq, stream_seq)
        self.note_duplicate(seq)

    def note_foreign(self, stream_seq: int, stream: int = 0) -> None:
        """Note that a stream has a message there that is not this shuffler's; it counts once."""
        if self.streams[stream].foreign_seqs.add(stream_seq):
            self.foreign += 1

    def note_failed(self, seq: int, reason: str) -> None:
        """Note that the event is not in the stream and will not be tried again."""
        self.failed += 1
        self.failed_seqs.add(seq)
        self.failures_by_reason[reason] += 1

    def note_unknown(self, seq: int) -> None:
        """Note that nothing tells whether the stream has the event."""
        self.unknown += 1
        self.unknown_seqs.add(seq)


def _note(by_seq: array[int], stream_seq: int, value: int) -> None:
    missing = stream_seq - len(by_seq)
    if missing > DIDS_GROWTH_MAX:
        return
    if missing > 0:
        by_seq.extend([NO_DID] * missing)
    by_seq[stream_seq - 1] = value


def _without(run: list[int], seq: int, stream_seq: int) -> list[list[int]]:
    """Return what is left of a run of [relay seq, stream seq, count] without one place."""
    first, first_stream, count = run
    at = seq - first
    if not 0 <= at < count or first_stream + at != stream_seq:
        return [run]
    parts = [[first, first_stream, at], [seq + 1, stream_seq + 1, count - at - 1]]
    return [part for part in parts if part[2]]
