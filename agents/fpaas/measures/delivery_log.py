"""Each consumer's deliveries, poll by poll, small enough to keep all of them.

A *run* is a stretch of deliveries in which stream sequence and consumer sequence both go up by one:
(time, first stream sequence, first consumer sequence, count). A jump in stream sequence with the
consumer sequence going on by one is expiry (or a filter); a jump in both is a delivery that the
server made and this consumer never saw. Nothing else in NATS tells the two apart.

Each stream has its own log, because a stream that was lost and made again counts from 1 again, and
so do its durables: `stream` says how many the writer had seen before. If a run has several streams
at a time, it is the number of the one that serves the consumer.

Which deliveries were *repeats* of their message is kept beside the runs: a message that first came
as a repeat had an earlier delivery that this consumer never saw. Consumer sequences may come twice
over the *lives* of a connection: a server that was killed makes its last deliveries once more.

While a run goes on, its runs are appended to a *journal*, as they are and larger, so that a process
that is killed leaves all but its last second; at the end the log takes its place.
"""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libipld
import msgspec

from fpaas.measures.growing_file import GrowingFile

SCHEMA = 4
#: As 4, without `numbers` and `unanswered`; and of one stream.
_SCHEMA_WITHOUT_NUMBERS = 3
_SCHEMA_OF_ONE_STREAM = 2
FIELDS_PER_RUN = 4
#: In a journal, in place of a consumer's index.
_NEXT_STREAM = -1

#: Logs of real runs pack to a quarter, those of consumers that got nothing to a tenth.
_UNPACKED_RATIO_MAX = 200
_UNPACKED_BYTES_MIN = 16 * 2**20
_Column = list[int]
_Columns = tuple[int, str, _Column, _Column, _Column, _Column, _Column, _Column, _Column, int]
_UNREADABLE = (
    *(OSError, EOFError, zlib.error),
    *(KeyError, TypeError, ValueError, RecursionError, msgspec.ValidationError),
)


class DeliveryLog:
    """The runs of one consumer, in order of arrival.

    The hot path may inline `record`: it touches `next_stream_seq`, `next_consumer_seq` and `count`.
    To record a repeat, append its consumer sequence to `repeats`, and to `numbers` how often the
    server had delivered the message by then. A number below 0 in `repeats` says how many runs there
    were when a life ended, -1 for none. `unanswered` has the consumer sequences of deliveries that
    the consumer was still working on when the run was over, or their stream gone.
    """

    __slots__ = (
        "consumer_index",
        "count",
        "durable",
        "next_consumer_seq",
        "next_stream_seq",
        "numbers",
        "reached",
        "repeats",
        "runs",
        "start_consumer_seq",
        "start_ms",
        "start_stream_seq",
        "stream",
        "unanswered",
    )

    def __init__(self, consumer_index: int, durable: str, stream: int = 0) -> None:
        self.consumer_index = consumer_index
        self.durable = durable
        self.stream = stream
        #: The highest stream sequence of closed runs.
        self.reached = 0
        self.runs = array("q")
        self.repeats = array("q")
        self.numbers = array("q")
        self.unanswered = array("q")
        self.start_ms = 0
        self.start_stream_seq = 0
        self.start_consumer_seq = 0
        self.count = 0
        self.next_stream_seq = -1
        self.next_consumer_seq = -1

    def record(self, stream_seq: int, consumer_seq: int, since_t0_ms: int) -> None:
        """Note one delivery; `since_t0_ms` is used if it starts a run."""
        if stream_seq != self.next_stream_seq or consumer_seq != self.next_consumer_seq:
            self.end_run()
            self.start_ms = since_t0_ms
            self.start_stream_seq = stream_seq
            self.start_consumer_seq = consumer_seq
        self.count += 1
        self.next_stream_seq = stream_seq + 1
        self.next_consumer_seq = consumer_seq + 1

    def end_run(self) -> None:
        """Close the open run; called at the end of every poll, so that runs carry poll times."""
        if self.count:
            self.runs.extend(
                (self.start_ms, self.start_stream_seq, self.start_consumer_seq, self.count)
            )
            self.count = 0
            self.reached = max(self.reached, self.next_stream_seq - 1)
            self.next_stream_seq = -1

    def end_life(self) -> None:
        """Keep further deliveries apart from earlier ones: the connection was lost."""
        self.end_run()
        ended = -1 - len(self.runs) // FIELDS_PER_RUN
        if self.runs and ended not in self.repeats[-1:]:
            self.repeats.append(ended)
            self.numbers.append(0)


@dataclass
class ConsumerDeliveries:
    """One consumer's deliveries as read back: runs of (since_t0_ms, stream, consumer, count).

    `repeats`, `numbers` and `unanswered` are as DeliveryLog has them; older logs have no numbers.
    """

    consumer_index: int
    durable: str
    runs: list[tuple[int, int, int, int]] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    stream: int = 0
    numbers: list[int] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)

    def lives(self) -> Iterator[tuple[list[tuple[int, int, int, int]], list[tuple[int, int]]]]:
        """Iterate over the connection's lives: runs, and repeats in order.

        A repeat is a consumer sequence and the number of its message's delivery; older logs do not
        have that, and it counts as the second.
        """
        begin = 0
        repeats: list[tuple[int, int]] = []
        numbers = self.numbers or [2] * len(self.repeats)
        for repeat, number in zip(self.repeats, numbers, strict=True):
            if repeat >= 0:
                repeats.append((repeat, number))
                continue
            end = -1 - repeat
            yield self.runs[begin:end], sorted(repeats)
            begin, repeats = end, []
        yield self.runs[begin:], sorted(repeats)


def write(path: Path, logs: list[DeliveryLog]) -> None:
    """Write logs as gzip'ed CBOR, each column of runs as differences."""
    consumers = []
    for log in logs:
        log.end_run()
        columns = [log.runs[column::FIELDS_PER_RUN] for column in range(FIELDS_PER_RUN)]
        columns += [log.repeats, log.numbers, log.unanswered]
        differences = [_differences(column) for column in columns]
        consumers.append([log.consumer_index, log.durable, *differences, log.stream])
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(libipld.encode_dag_cbor({"schema": SCHEMA, "consumers": consumers}))


def read(path: Path) -> list[ConsumerDeliveries]:
    """Read a file of `write`. Raises ValueError that names the file if it is no such file."""
    try:
        content = libipld.decode_dag_cbor(_unpacked(path))
        schema = content["schema"]
        if schema not in (SCHEMA, _SCHEMA_WITHOUT_NUMBERS, _SCHEMA_OF_ONE_STREAM):
            raise ValueError(f"schema {schema!r:.80}")
        entries = content["consumers"]
        if schema == _SCHEMA_OF_ONE_STREAM:
            entries = [[*entry, 0] for entry in entries]
        if schema != SCHEMA:
            entries = [[*entry[:-1], [], [], entry[-1]] for entry in entries]
        found = [
            ConsumerDeliveries(
                index,
                durable,
                list(zip(_sums(since_ms), _sums(seq), _sums(consumer), _sums(count), strict=True)),
                _sums(repeats),
                stream=stream,
                numbers=_sums(numbers),
                unanswered=_sums(unanswered),
            )
            for (
                index,
                durable,
                since_ms,
                seq,
                consumer,
                count,
                repeats,
                numbers,
                unanswered,
                stream,
            ) in msgspec.convert(entries, list[_Columns])
        ]
        for one in found:
            _check(one)
    except _UNREADABLE as error:
        raise ValueError(f"{path}: is not a delivery log: {error}") from error
    return found


def _check(log: ConsumerDeliveries) -> None:
    """Raise ValueError if there are runs without deliveries, or places that no message has."""
    if any(count < 1 or seq < 1 or consumer < 1 for _, seq, consumer, count in log.runs):
        raise ValueError(f"consumer {log.consumer_index} has a run of nothing, or before the first")


def _unpacked(path: Path) -> bytes:
    """Return what is in a gzip file. Raises one of _UNREADABLE, also for a bomb."""
    limit = max(_UNPACKED_BYTES_MIN, path.stat().st_size * _UNPACKED_RATIO_MAX)
    with gzip.open(path, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it unpacks to more than {limit} bytes")
    return content


class DeliveryJournal:
    """Appends the runs of many logs to a file.

    `follow` and `append` raise OSError if the disk does; what they had is written with the next.

    A row is five little-endian 64-bit numbers: consumer index and a run; or consumer index and a
    repeat's consumer sequence and number, with a count of 0; or -1 and the stream that all that
    follows is of.
    """

    FIELDS_PER_ROW = 1 + FIELDS_PER_RUN

    def __init__(self, path: Path, logs: list[DeliveryLog]) -> None:
        self._path = path
        self._logs = logs
        self._runs_written = [0] * len(logs)
        self._repeats_written = [0] * len(logs)
        self._file = GrowingFile(path)

    def follow(self, logs: list[DeliveryLog], stream: int) -> None:
        """Go on with the logs of another stream; the others are at their end."""
        rows = self._new_rows()
        self._logs = logs
        self._runs_written = [0] * len(logs)
        self._repeats_written = [0] * len(logs)
        rows.extend((_NEXT_STREAM, stream, 0, 0, 0))
        self._write(rows)

    def append(self) -> None:
        """Write the runs that were closed since the last call."""
        self._write(self._new_rows())

    def _new_rows(self) -> array[int]:
        rows = array("q")
        for position, log in enumerate(self._logs):
            written = self._runs_written[position]
            if len(log.runs) > written:
                for at in range(written, len(log.runs), FIELDS_PER_RUN):
                    rows.append(log.consumer_index)
                    rows.extend(log.runs[at : at + FIELDS_PER_RUN])
                self._runs_written[position] = len(log.runs)
            written = self._repeats_written[position]
            if len(log.repeats) > written:
                for consumer_seq, number in zip(
                    log.repeats[written:], log.numbers[written:], strict=True
                ):
                    rows.extend((log.consumer_index, 0, number, consumer_seq, 0))
                self._repeats_written[position] = len(log.repeats)
        return rows

    def _write(self, rows: array[int]) -> None:
        if sys.byteorder == "big":
            rows.byteswap()
        self._file.append(rows.tobytes())

    def close(self) -> None:
        """Close and remove the file: what it holds is in the log."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


def read_journal(path: Path, durable_of: Callable[[int], str]) -> list[ConsumerDeliveries]:
    """Read what a DeliveryJournal wrote; a torn last row is skipped. Raises OSError, ValueError."""
    content = path.read_bytes()
    rows = array("q")
    row_bytes = rows.itemsize * DeliveryJournal.FIELDS_PER_ROW
    rows.frombytes(content[: len(content) // row_bytes * row_bytes])
    if sys.byteorder == "big":
        rows.byteswap()
    by_consumer: dict[tuple[int, int], ConsumerDeliveries] = {}
    stream = 0
    columns = [rows[column :: DeliveryJournal.FIELDS_PER_ROW] for column in range(5)]
    for index, since_ms, stream_seq, consumer_seq, count in zip(*columns, strict=True):
        if index == _NEXT_STREAM:
            stream = since_ms
            continue
        one = by_consumer.get((stream, index))
        if one is None:
            one = ConsumerDeliveries(index, durable_of(index), stream=stream)
            by_consumer[stream, index] = one
        if count:
            one.runs.append((since_ms, stream_seq, consumer_seq, count))
        else:
            one.repeats.append(consumer_seq)
            one.numbers.append(stream_seq)
    found = list(by_consumer.values())
    for log in found:
        _check(log)
    return found


def _differences(values: array[int]) -> list[int]:
    return [value - before for before, value in zip([0, *values], values, strict=False)]


def _sums(differences: list[int]) -> list[int]:
    total = 0
    values = []
    for difference in differences:
        total += difference
        values.append(total)
    return values


def duplicate_deliveries(logs: Iterable[DeliveryLog]) -> int:
    """Count deliveries of a stream sequence that the same durable had delivered before.

    Whole runs are compared, not messages; logs must have no open run.
    """
    spans_by_durable: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for log in logs:
        firsts, counts = log.runs[1::4], log.runs[3::4]
        spans = spans_by_durable.setdefault((log.durable, log.stream), [])
        spans.extend(zip(firsts, counts, strict=True))
    duplicates = 0
    for spans in spans_by_durable.values():
        covered_to = 0
        for first, count in sorted(spans):
            end = first + count
            new = max(0, end - max(first, covered_to))
            duplicates += count - new
            covered_to = max(covered_to, end)
    return duplicates
