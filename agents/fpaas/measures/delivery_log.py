"""What each consumer was delivered, poll by poll, small enough to keep all of it.

A *run* is a stretch of deliveries in which stream sequence and consumer sequence both go up by one:
(time, first stream sequence, first consumer sequence, count). A jump in stream sequence with the
consumer sequence going on by one is expiry (or a filter); a jump in both is a delivery that the
server made and this consumer never saw. Nothing else in NATS tells the two apart.

Which deliveries were *repeats* of their message is kept beside the runs: a message that first came
as a repeat had an earlier delivery that this consumer never saw.
"""

from __future__ import annotations

import gzip
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import cbor2

SCHEMA = 2
FIELDS_PER_RUN = 4


class DeliveryLog:
    """The runs of one consumer, in order of arrival.

    The hot path may inline `record`: it touches `next_stream_seq`, `next_consumer_seq` and `count`.
    Whoever records a repeat appends its consumer sequence to `repeats`.
    """

    __slots__ = (
        "consumer_index",
        "count",
        "durable",
        "next_consumer_seq",
        "next_stream_seq",
        "repeats",
        "runs",
        "start_consumer_seq",
        "start_ms",
        "start_stream_seq",
    )

    def __init__(self, consumer_index: int, durable: str) -> None:
        self.consumer_index = consumer_index
        self.durable = durable
        self.runs = array("q")
        self.repeats = array("q")
        self.start_ms = 0
        self.start_stream_seq = 0
        self.start_consumer_seq = 0
        self.count = 0
        self.next_stream_seq = -1
        self.next_consumer_seq = -1

    def record(self, stream_seq: int, consumer_seq: int, since_t0_ms: int) -> None:
        """Note one delivery; `since_t0_ms` is used where it starts a run."""
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
            self.next_stream_seq = -1


@dataclass
class ConsumerDeliveries:
    """One consumer's deliveries as read back: runs of (since_t0_ms, stream, consumer, count).

    `repeats` are the consumer sequences of deliveries that were not their message's first.
    """

    consumer_index: int
    durable: str
    runs: list[tuple[int, int, int, int]] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)


def write(path: Path, logs: list[DeliveryLog]) -> None:
    """Write logs as gzip'ed CBOR, each column of runs as differences."""
    consumers = []
    for log in logs:
        log.end_run()
        columns = [log.runs[column::FIELDS_PER_RUN] for column in range(FIELDS_PER_RUN)]
        columns.append(log.repeats)
        consumers.append([log.consumer_index, log.durable, *[_differences(c) for c in columns]])
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(cbor2.dumps({"schema": SCHEMA, "consumers": consumers}))


def read(path: Path) -> list[ConsumerDeliveries]:
    """Read a file of `write`. Raises ValueError that names the file where it is no such file."""
    try:
        with gzip.open(path, "rb") as file:
            content = cbor2.loads(file.read())
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        return [
            ConsumerDeliveries(
                index,
                durable,
                list(
                    zip(_sums(since_ms), _sums(stream), _sums(consumer), _sums(count), strict=True)
                ),
                _sums(repeats),
            )
            for index, durable, since_ms, stream, consumer, count, repeats in content["consumers"]
        ]
    except (OSError, EOFError, KeyError, TypeError, ValueError, cbor2.CBORError) as error:
        raise ValueError(f"{path}: is no delivery log: {error}") from error


def _differences(values: array[int]) -> list[int]:
    return [value - before for before, value in zip([0, *values], values, strict=False)]


def _sums(differences: list[int]) -> list[int]:
    total = 0
    values = []
    for difference in differences:
        total += difference
        values.append(total)
    return values
