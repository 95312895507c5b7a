"""The shuffler's files in a run directory, and what one that was killed left there."""

from __future__ import annotations

import contextlib
import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sys import byteorder

from fpaas import common_time
from fpaas.errors import RunInvalid
from fpaas.measures.histogram_log import HistogramLog
from fpaas.records import calls, files
from fpaas.records import shuffler as records
from fpaas.records.shuffler import (
    NAME,
    SAMPLES,
    ShufflerResult,
)
from fpaas.shuffler.publish_account import StreamPlaces
from fpaas.shuffler.shuffler import Shuffler

log = logging.getLogger(__name__)

#: This many of the last DIDs may not be known yet when they are written.
DIDS_LATE_MAX = 16_384


@dataclass(frozen=True)
class Left:
    """Files of a shuffler that was killed: its account, and DIDs and classes of each stream.

    Classes are None if it did not keep them.
    """

    result: ShufflerResult
    dids: list[array[int]]
    classes: list[array[int] | None]

    @classmethod
    def load(cls, directory: Path) -> Left | None:
        """Read it; None if there is none. Raises RunInvalid if it cannot be read."""
        try:
            result = files.read(directory / NAME, ShufflerResult)
            numbers = [*range(len(result.lost_streams)), None]
            dids = [_read_seqs(directory / records.dids_name(n)) for n in numbers]
            paths = [directory / records.classes_name(n) for n in numbers]
            classes = [_read_seqs(path) if path.exists() else None for path in paths]
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunInvalid(f"{directory / NAME}: cannot be resumed: {error}") from error
        return cls(result, dids, classes)


class RunFiles:
    """The shuffler's files in a run directory. Every write raises RunInvalid that names it.

    If it `goes_on`, it adds to those of a shuffler that was killed.
    """

    def __init__(self, directory: Path, shuffler: Shuffler, *, goes_on: bool) -> None:
        self._directory = directory
        self._shuffler = shuffler
        self._lost_written = 0
        #: Of each stream.
        self._dids_written = [0 for _ in shuffler.account.streams]
        #: How often files could not be written, and why not just now.
        self.errors = 0
        self.last_error = ""
        with _named_disk_errors(directory):
            self._samples = files.LineWriter(directory / SAMPLES, goes_on=goes_on)
            if goes_on:
                files.cut_half_line(directory / "shuffler.hlog")
            self._histograms = HistogramLog(
                directory / "shuffler.hlog",
                shuffler.recorders,
                common_time.now_s(),
                by_beginning=True,
                goes_on=goes_on,
            )

    def tick(self, cursor: int | None) -> None:
        """Write as `write` does. A disk that is full, or read-only, costs files, not the run."""
        try:
            self.write(cursor, complete=False)
        except RunInvalid as error:
            self.errors += 1
            self.last_error = error.message
            log.log(logging.ERROR if self.errors == 1 else logging.DEBUG, "%s", error)
        else:
            self.last_error = ""

    def write(self, cursor: int | None, *, complete: bool) -> None:
        """Write a sample, the account as of now, and the histograms of the interval.

        In this order: if it is killed between them, it has recorded less than it says was due. If
        one fails, the others are written all the same.
        """
        shuffler = self._shuffler
        shuffler.count_acks()
        sample = shuffler.sample(calls.sampled(shuffler.recorders, common_time.now_ns()))
        account = shuffler.result(cursor, complete=complete)
        errors: list[OSError] = []
        for write_one in (
            partial(self._samples.write, sample),
            self._write_by_seq,
            partial(files.write, self._directory / NAME, account),
            partial(self._histograms.end_interval, common_time.now_s()),
        ):
            try:
                write_one()
            except OSError as error:
                errors.append(error)
        with _named_disk_errors(self._directory):
            if errors:
                raise errors[0]

    def close(self, cursor: int | None) -> None:
        """Write the last account, what is left of the interval, and close."""
        self._dids_written = [0 for _ in self._dids_written]
        self.write(cursor, complete=True)
        with _named_disk_errors(self._directory):
            self._samples.close()
            self._histograms.close(common_time.now_s())

    def _write_by_seq(self) -> None:
        """Write DIDs and classes of events stored since the last time, late ones included."""
        account = self._shuffler.account
        while self._lost_written < len(account.lost_streams):
            number = self._lost_written
            self._write_stream(account.lost_streams[number], number)
            self._lost_written += 1
            self._dids_written = [0]
        for number, places in enumerate(account.streams):
            first = max(0, self._dids_written[number] - DIDS_LATE_MAX)
            self._write_stream(places, number if len(account.streams) > 1 else None, first)
            self._dids_written[number] = len(places.dids or ())

    def _write_stream(self, places: StreamPlaces, number: int | None, first: int = 0) -> None:
        _write_seqs(self._directory / records.dids_name(number), places.dids, first)
        if places.classes is not None:
            _write_seqs(self._directory / records.classes_name(number), places.classes, first)
        if places.seqs is not None:
            _write_seqs(self._directory / records.SEQS.format(number), places.seqs, first)


def _write_seqs(path: Path, by_seq: array[int] | None, first: int = 0) -> None:
    """Write what is kept by stream sequence from `first` on; what is before it stays."""
    values = array("I") if by_seq is None else by_seq[first:]
    if byteorder == "big":
        values.byteswap()
    with path.open("r+b" if first else "wb") as file:
        file.seek(first * values.itemsize)
        values.tofile(file)


def _read_seqs(path: Path) -> array[int]:
    content = path.read_bytes()
    values = array("I")
    values.frombytes(content[: len(content) // values.itemsize * values.itemsize])
    if byteorder == "big":
        values.byteswap()
    return values


@contextlib.contextmanager
def _named_disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunInvalid(
            f"{error.filename or directory}: cannot be written: {error.strerror}"
        ) from error
