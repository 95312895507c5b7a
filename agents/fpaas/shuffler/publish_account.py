"""The account of what became of each event that was read: by relay seq, and in running counts."""

from __future__ import annotations

from array import array
from collections import Counter

from fpaas.measures.intervals import IntervalSet

#: In place of the CRC-32 of a DID: not published by this shuffler.
NO_DID = 0


class Account:
    """One outcome for every event read: published, duplicate, failed or unknown.

    The sets are exact; `forget` empties them where nobody will ask and they would grow for ever.
    """

    def __init__(self, *, keep_dids: bool = False) -> None:
        self.read = 0
        self.published = 0
        self.duplicates = 0
        self.failed = 0
        self.unknown = 0
        self.undecodable = 0
        self.ignored = 0
        self.reread = 0
        self.settled = 0
        self.stored_twice = 0
        #: Publishes that were acked as new after a write whose fate is not known.
        self.maybe_stored_twice = 0
        #: Messages in the stream that are not this shuffler's.
        self.foreign = 0
        self.last_stream_seq = 0
        self.failures_by_reason: Counter[str] = Counter()
        self.refusals_by_reason: Counter[str] = Counter()
        #: CRC-32 of the DID of each stream sequence from 1 on, where that is kept.
        self.dids: array[int] | None = array("I") if keep_dids else None
        self.forget()

    def forget(self) -> None:
        """Drop what is kept by seq and by size; the counts stay."""
        self.read_seqs = IntervalSet()
        self.published_seqs = IntervalSet()
        self.duplicate_seqs = IntervalSet()
        self.failed_seqs = IntervalSet()
        self.unknown_seqs = IntervalSet()
        self.undecodable_seqs = IntervalSet()
        self.ignored_seqs = IntervalSet()
        #: Stream sequences of further copies of what was published.
        self.copy_seqs = IntervalSet()
        self.stored_seqs = IntervalSet()
        self.stream_runs: list[list[int]] = []
        self.message_bytes: dict[str, dict[int, int]] = {}

    def note_read(self, seq: int) -> None:
        """Note an event read for the first time."""
        self.read += 1
        self.read_seqs.add(seq)

    def note_undecodable(self, seq: int | None) -> None:
        """Note a frame that was given up; `seq` where it is known, and then it counts once."""
        if seq is None or self.undecodable_seqs.add(seq):
            self.undecodable += 1

    def note_ignored(self, seq: int | None) -> None:
        """Note a frame that is no event; `seq` where it has one."""
        self.ignored += 1
        if seq is not None:
            self.ignored_seqs.add(seq)

    def note_copy(self, stream_seq: int) -> None:
        """Note that the stream took a repeat as new: its duplicate window was over."""
        self.stored_twice += 1
        self.copy_seqs.add(stream_seq)

    def note_published(
        self, seq: int, stream_seq: int, *, label: str, size_bytes: int, did_crc: int
    ) -> None:
        """Note that the stream has the event, by this publish or by an earlier write of it."""
        self.published += 1
        self.published_seqs.add(seq)
        self.stored_seqs.add(stream_seq)
        self.last_stream_seq = max(self.last_stream_seq, stream_seq)
        runs = self.stream_runs
        if runs:
            run = runs[-1]
            count = run[2]
            if seq == run[0] + count and stream_seq == run[1] + count:
                run[2] = count + 1
            else:
                runs.append([seq, stream_seq, 1])
        else:
            runs.append([seq, stream_seq, 1])
        sizes = self.message_bytes.setdefault(label, {})
        sizes[size_bytes] = sizes.get(size_bytes, 0) + 1
        dids = self.dids
        if dids is not None:
            if stream_seq == len(dids) + 1:
                dids.append(did_crc)
            else:
                self._note_did(dids, stream_seq, did_crc)

    def note_duplicate(self, seq: int) -> None:
        """Note that the stream had the event before."""
        self.duplicates += 1
        self.duplicate_seqs.add(seq)

    def take_back(self, seq: int, stream_seq: int, *, label: str, size_bytes: int) -> None:
        """Make a duplicate of what was taken for published: its place is another event's."""
        self.published -= 1
        self.settled -= 1
        self.published_seqs = self.published_seqs.difference(IntervalSet([(seq, seq)]))
        sizes = self.message_bytes[label]
        sizes[size_bytes] -= 1
        if not sizes[size_bytes]:
            del sizes[size_bytes]
        self.stream_runs = [
            part for run in self.stream_runs for part in _without(run, seq, stream_seq)
        ]
        self.note_duplicate(seq)

    def note_failed(self, seq: int, reason: str) -> None:
        """Note that the event is not in the stream and will not be tried again."""
        self.failed += 1
        self.failed_seqs.add(seq)
        self.failures_by_reason[reason] += 1

    def note_unknown(self, seq: int) -> None:
        """Note that nothing tells whether the stream has the event."""
        self.unknown += 1
        self.unknown_seqs.add(seq)

    @staticmethod
    def _note_did(dids: array[int], stream_seq: int, did_crc: int) -> None:
        missing = stream_seq - len(dids)
        if missing > 0:
            dids.extend([NO_DID] * missing)
        dids[stream_seq - 1] = did_crc


def _without(run: list[int], seq: int, stream_seq: int) -> list[list[int]]:
    """Return what is left of a run of [relay seq, stream seq, count] without one place."""
    first, first_stream, count = run
    at = seq - first
    if not 0 <= at < count or first_stream + at != stream_seq:
        return [run]
    parts = [[first, first_stream, at], [seq + 1, stream_seq + 1, count - at - 1]]
    return [part for part in parts if part[2]]
