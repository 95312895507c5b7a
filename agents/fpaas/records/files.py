"""How records are written and read: one JSON object a file, or one a line.

A file is replaced as a whole, so a reader, or a full disk, never leaves half of it. A file of lines
only grows; an agent that is killed may leave half a line.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from fpaas import regular
from fpaas.measures.growing_file import GrowingFile
from fpaas.records.fields import decode_other, encode_other

R = TypeVar("R")
#: What the decoder raises: its own errors and those of bad UTF-8 are ValueErrors.
UNREADABLE = (ValueError, RecursionError)


class UnreadableError(ValueError):
    """What is wrong with a file; the caller adds host and file name."""


class TornError(UnreadableError):
    """Its end is missing, or all of it."""


@dataclass(frozen=True)
class Lines(Generic[R]):
    """The good lines of a file, and what is wrong with the others: None if nothing is."""

    good: list[R]
    torn: str | None = None
    wrong: str | None = None


class LineWriter:
    """Appends records to a file, each line flushed. Without a path it writes nothing.

    The file is new unless `goes_on`; then half a line at the end of the old one is cut off.
    """

    def __init__(self, path: Path | None, *, goes_on: bool = False) -> None:
        if path and goes_on:
            cut_half_line(path)
        self._file = GrowingFile(path, goes_on=goes_on) if path else None

    def write(self, record: object) -> None:
        """Append one line. Raises OSError; it is kept then, and written with the next."""
        if self._file is not None:
            self._file.append(_ENCODER.encode(record) + b"\n")

    def close(self) -> None:
        """Write what is kept, and close the file. Raises OSError."""
        if self._file:
            self._file.close()


def cut_half_line(path: Path) -> None:
    """Cut off what a killed writer left after the last line end. Raises OSError."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def write(path: Path, record: object, *, durable: bool = False, indent: int = 0) -> None:
    """Replace a file. Raises OSError; then the file is as it was.

    `durable`: once it is written it outlives a crash of the host.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(encode(record, indent))
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable:
            _sync(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def overwrite(path: Path, record: object) -> None:
    """Write a file in the place that it has, which a full disk allows.

    Raises OSError if that is too small; then the file is as it was. Whoever reads it just then may
    find half of it.
    """
    content, before = encode(record), path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        if file.write(content) < len(content):
            file.seek(0)
            file.write(before)
            content = before
        file.truncate(len(content))
    if content is before:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def encode(record: object, indent: int = 0) -> bytes:
    """Encode a file's content, on one line unless lines are to be indented."""
    content = _ENCODER.encode(record)
    return (msgspec.json.format(content, indent=indent) if indent else content) + b"\n"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(path: Path, kind: type[R]) -> R:
    """Read a file that holds one record; unknown keys are for later versions.

    Raises TornError, UnreadableError or OSError.
    """
    content = regular.read_bytes(path)
    if not content.strip():
        raise TornError("is empty")
    try:
        return _decoder(kind).decode(content)
    except UNREADABLE as error:
        if _is_cut(error):
            raise TornError("its end is missing") from error
        raise UnreadableError(f"is not what it should be: {error}") from error


def read_lines(path: Path, kind: type[R]) -> Lines[R]:
    """Read a file of one record a line; a line that is none is left out and named.

    Raises OSError.
    """
    content = regular.read_bytes(path)
    decoder = _decoder(kind)
    try:
        good = decoder.decode_lines(content)
    except UNREADABLE:
        return _read_one_by_one(content, decoder)
    return Lines(good, None if good else "is empty")


def _read_one_by_one(content: bytes, decoder: msgspec.json.Decoder[R]) -> Lines[R]:
    good: list[R] = []
    torn: list[str] = []
    wrong: list[str] = []
    lines = content.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            good.append(decoder.decode(line))
        except msgspec.ValidationError as error:
            wrong.append(f"line {number}: {error}")
        except RecursionError as error:
            wrong.append(f"line {number}: {error}")
        except ValueError as error:
            torn.append(f"line {number}: {error}")
    return Lines(
        good,
        f"{len(torn)} of {len(lines)} lines are torn ({torn[0]})" if torn else None,
        f"{len(wrong)} of {len(lines)} lines are not what they should be ({wrong[0]})"
        if wrong
        else None,
    )


def _is_cut(error: Exception) -> bool:
    return str(error) == "Input data was truncated"


def _decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    return msgspec.json.Decoder(kind, dec_hook=decode_other)


_ENCODER = msgspec.json.Encoder(enc_hook=encode_other)
