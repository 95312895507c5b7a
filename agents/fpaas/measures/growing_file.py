"""A file that only grows, by whole pieces; what its disk does not take is kept and tried again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: More than this is not kept. An agent of 10,000 consumers writes 0.3 MB a second.
KEPT_MAX_BYTES = 64 * 2**20


class GrowingFile:
    """Appends pieces to a file that is new, unless it `goes_on`.

    Whoever is told of an error loses nothing: the next `append` writes what is kept first. If that
    is more than `kept_max_bytes`, the file ends before it for good: whatever is appended from then
    on raises, and so does `close`, and the message counts the pieces that are missing.
    """

    def __init__(
        self, path: Path, *, goes_on: bool = False, kept_max_bytes: int = KEPT_MAX_BYTES
    ) -> None:
        self._path = path
        self._file = path.open("ab" if goes_on else "wb", buffering=0)
        self._kept = bytearray()
        self._kept_pieces = 0
        self._kept_max_bytes = kept_max_bytes
        self._missing_pieces = 0
        self._error: OSError | None = None

    def append(self, piece: bytes) -> None:
        """Write a piece. Raises OSError that names the file; then there is no part of it."""
        if self._missing_pieces:
            self._missing_pieces += bool(piece)
            raise self._loss()
        self._kept += piece
        self._kept_pieces += bool(piece)
        written = 0
        try:
            # A disk that fills up takes a part first, and says why at the next.
            while written < len(self._kept):
                written += self._file.write(self._kept[written:]) or 0
        except OSError as error:
            if written:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._file.seek(-written, os.SEEK_CUR))
            error.filename = error.filename or str(self._path)
            self._error = error
            if len(self._kept) > self._kept_max_bytes:
                self._missing_pieces = self._kept_pieces
                self._kept = bytearray()
                raise self._loss() from error
            raise
        self._kept.clear()
        self._kept_pieces = 0

    def close(self) -> None:
        """Write what is kept, and close the file. Raises OSError."""
        try:
            self.append(b"")
        finally:
            self._file.close()

    def _loss(self) -> OSError:
        cause = self._error
        why = cause.strerror if cause is not None else None
        return OSError(
            cause.errno if cause is not None else None,
            f"{why} for too long: its last {self._missing_pieces} pieces are missing",
            str(self._path),
        )
