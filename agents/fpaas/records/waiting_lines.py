"""Lines of a file that wait in memory while its disk takes none.

A disk may be full on purpose for a while: what happens then is just what the run is about.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from pathlib import Path

from fpaas.records.files import encode

log = logging.getLogger(__name__)

#: More than this does not wait; a probe writes some KB a second.
WAITING_MAX_BYTES = 16 * 2**20


class WaitingLines:
    """Appends lines to a file, in order; those that its disk did not take are tried again later.

    If more waits than `waiting_max_bytes`, the oldest are lost; `lost` counts them, and at the end
    those that still wait. `error` is why lines wait now, or were lost.
    """

    def __init__(
        self, path: Path, *, is_new: bool = False, waiting_max_bytes: int = WAITING_MAX_BYTES
    ) -> None:
        self.path = path
        self.lost = 0
        self.error: OSError | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._waiting_max_bytes = waiting_max_bytes
        self._flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if is_new else 0)
        self._fd: int | None = None
        self._is_closed = False
        self._flush()

    def write(self, record: object) -> None:
        """Append a record as a line; it is in the file, or waits."""
        if self._is_closed:
            return
        line = encode(record)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._flush()
        while self._waiting_bytes > self._waiting_max_bytes:
            self._waiting_bytes -= len(self._waiting.popleft())
            self.lost += 1

    def close(self) -> None:
        """Try for the last time, and close the file."""
        if self._is_closed:
            return
        self._is_closed = True
        self._flush()
        self.lost += len(self._waiting)
        self._waiting.clear()
        if self.lost:
            log.error("%s", self.loss)
        if self._fd is not None:
            os.close(self._fd)

    @property
    def loss(self) -> str:
        """Say what is missing in the file; empty if nothing is."""
        if not self.lost:
            return ""
        why = self.error.strerror if self.error is not None else "the disk was full for too long"
        return f"{self.path}: cannot be written: {why}; {self.lost} lines of it are missing"

    def _flush(self) -> None:
        try:
            if self._fd is None:
                self._fd = os.open(self.path, self._flags, 0o644)
            while self._waiting:
                _write_whole(self._fd, self._waiting[0])
                self._waiting_bytes -= len(self._waiting.popleft())
        except OSError as error:
            if self.error is None:
                log.error(  # noqa: TRY400  (once, in a line)
                    "%s: cannot be written: %s; its lines wait in memory", self.path, error.strerror
                )
            self.error = error
        else:
            if self.error is not None and not self.lost:
                log.info("%s: is written again; nothing is missing", self.path)
            self.error = None


def _write_whole(fd: int, line: bytes) -> None:
    """Write a line. Raises OSError; then there is nothing of it, if that can be had."""
    written = 0
    try:
        # A disk that fills up takes a part first, and says why at the next.
        while written < len(line):
            written += os.write(fd, line[written:])
    except OSError:
        if written:
            with contextlib.suppress(OSError):
                end = os.lseek(fd, 0, os.SEEK_CUR)
                # Others may write to it, too: what is theirs stays.
                if os.fstat(fd).st_size == end:
                    os.ftruncate(fd, end - written)
        raise
