"""A file that only grows, by whole pieces; what its disk does not take is kept and tried again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class GrowingFile:
    """Appends pieces to a file that is new, unless it `goes_on`.

    Whoever is told of an error loses nothing: the next `append` writes what is kept first.
    """

    def __init__(self, path: Path, *, goes_on: bool = False) -> None:
        self._path = path
        self._file = path.open("ab" if goes_on else "wb", buffering=0)
        self._kept = bytearray()

    def append(self, piece: bytes) -> None:
        """Write a piece. Raises OSError that names the file; then there is no part of it."""
        self._kept += piece
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
            raise
        self._kept.clear()

    def close(self) -> None:
        """Write what is kept, and close the file. Raises OSError."""
        try:
            self.append(b"")
        finally:
            self._file.close()
