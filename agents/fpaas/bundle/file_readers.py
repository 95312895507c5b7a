"""Readers of a bundle's files that are not just one record, or records in lines."""

from __future__ import annotations

import gzip
import sys
from array import array
from pathlib import Path

from fpaas.bundle.parts import ServerFinal
from fpaas.measures import delivery_log
from fpaas.measures.delivery_log import ConsumerDeliveries
from fpaas.records import files
from fpaas.records.files import TornError, UnreadableError
from fpaas.records.nats import FinalSnapshot


def check_last_line(path: Path) -> None:
    """Check that the file has a last line, and that it is whole."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        raise TornError("the last line is torn" if content else "is empty")


def check_lines(path: Path, least: int) -> None:
    """Check that the last line is whole, and that there are at least so many; 0 are no fault."""
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        raise TornError("the last line is torn")
    if len(lines) < least:
        raise TornError(f"has {len(lines)} of {least} lines")


def server_final(path: Path) -> ServerFinal:
    """Read the server's own figures at the end."""
    final = files.read(path, FinalSnapshot)
    return ServerFinal(
        unix_ns=final.unix_ns,
        stream_before=final.stream_before,
        stream_after=final.stream_after,
        durables={state.name: state for state in final.consumers},
        server=final.server,
        until_unix_ns=final.unix_ns + round((final.took_ms or 0.0) * 1e6),
        streams=final.streams or (),
    )


def deliveries(path: Path) -> list[ConsumerDeliveries]:
    """Read a worker's delivery log."""
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return delivery_log.read(path)
    except ValueError as error:
        raise UnreadableError(f"is not a delivery log: {error.__cause__ or error}") from error


def little_endian(path: Path, typecode: str) -> array[int]:
    """Read numbers, zipped or not, as `array` names their type."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        if not content:
            raise TornError("is empty")
        content = gzip.decompress(content)
    values = array(typecode)
    values.frombytes(content)
    if sys.byteorder == "big":
        values.byteswap()
    return values
