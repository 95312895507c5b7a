"""The files of one consumers worker; see ARCHITECTURE.md."""

from __future__ import annotations

import contextlib
import gzip
import logging
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from fpaas import common_time
from fpaas.consumers.consumer_figures import Figures
from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import DeliveryJournal, DeliveryLog
from fpaas.measures.histogram_log import HistogramLog, LoggedRecorder
from fpaas.records import consumers, events, files
from fpaas.records.calls import Calls
from fpaas.records.consumers import WorkerResult, WorkerSample
from fpaas.records.files import LineWriter

log = logging.getLogger(__name__)


class ConsumerFiles:
    """`consumers-W.*` in a run directory.

    A disk that is full during the run costs nothing but what a killed worker leaves: what it does
    not take is tried again. At its beginning and end, `open` and `write` raise OSError.
    """

    def __init__(self, directory: Path, worker: int) -> None:
        self._errors = 0
        self._directory = directory
        self._worker = worker
        self._stem = consumers.stem(worker)
        self._samples: LineWriter | None = None
        self._histograms: HistogramLog | None = None
        self._journal: DeliveryJournal | None = None

    @property
    def events_path(self) -> Path:
        """Where the worker's events go."""
        return self._path(events.SUFFIX)

    def open(self, recorders: Sequence[LoggedRecorder], logs: list[DeliveryLog]) -> None:
        """Start what grows every second."""
        self._journal = DeliveryJournal(self._path("deliveries.journal"), logs)
        self._samples = LineWriter(self._path("samples.jsonl"))
        self._histograms = HistogramLog(
            self._path("hlog"), recorders, common_time.now_s(), by_beginning=True
        )

    def begin_stream(self, logs: list[DeliveryLog], stream: int) -> None:
        """Go on with the logs of another stream."""
        if self._journal:
            with self._told():
                self._journal.follow(logs, stream)

    def end_interval(self, figures: Figures, result: WorkerResult, calls: Calls) -> None:
        """Append one second, and replace the account: a killed worker leaves that."""
        self.keep(result)
        if self._samples:
            sample = WorkerSample(
                unix_ns=common_time.now_ns(),
                processed=figures.processed,
                bytes=figures.bytes,
                polls=figures.polls,
                ok=figures.ok,
                empty=figures.empty,
                acks=figures.acks,
                redelivered=figures.redelivered,
                errors=figures.connection_errors,
                reconnects=figures.reconnects,
                calls=calls,
            )
            with self._told():
                self._samples.write(sample)
        # After the sample: if it is killed between them, no call is open that the log has answered.
        if self._histograms:
            with self._told():
                self._histograms.end_interval(common_time.now_s())

    def keep(self, result: WorkerResult) -> None:
        """Replace the account, and log what it counts."""
        if self._journal:
            with self._told():
                self._journal.append()
            with self._told():
                files.write(self._path("json"), result)

    def write(
        self, result: WorkerResult, logs: list[DeliveryLog], first_fetches: list[array[int] | None]
    ) -> None:
        """Write what is known at the end, the deliveries first: the account says they are all."""
        delivery_log.write(self._path("deliveries.cbor.gz"), logs)
        files.write(self._path("json"), result)
        if self._journal:
            self._journal.close()
        for stream, first_fetch in enumerate(first_fetches):
            name = consumers.first_fetch_name(self._worker, stream, len(first_fetches))
            with gzip.open(self._directory / name, "wb", compresslevel=6) as file:
                file.write(_little_endian(first_fetch or array("I")))
        if self._histograms:
            self._histograms.close(common_time.now_s())
        if self._samples:
            self._samples.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Go on if the disk does not take something: it is tried again."""
        try:
            yield
        except OSError as error:
            self._errors += 1
            log.log(
                logging.ERROR if self._errors == 1 else logging.DEBUG,
                "%s: cannot be written: %s; it is kept in memory",
                *(error.filename or self._directory, error.strerror),
            )

    def _path(self, suffix: str) -> Path:
        return self._directory / f"{self._stem}.{suffix}"


def _little_endian(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values = array("I", values)
        values.byteswap()
    return values.tobytes()
