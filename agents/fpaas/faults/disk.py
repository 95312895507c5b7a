"""A full disk: a file that takes what is free, and is gone with the process that holds it.

`python -m fpaas.faults.disk DIRECTORY FREE_BYTES FOR_S` is that process. The file has no name, so
that it is gone if the host itself goes down.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

from fpaas.faults.injection import InjectionError
from fpaas.faults.processes import Process
from fpaas.faults.undo import End, Undo
from fpaas.records.events import Value

#: Free space is taken in smaller and smaller pieces, until none is left.
PIECE_BYTES_MAX = 1 << 36
PIECE_BYTES_MIN = 1 << 12
#: It holds the disk no longer than this beyond its time, should everybody else be gone.
GRACE_S = 10.0
TOO_SLOW = (
    "the disk was not full when the fault's time was over; give the host more CPU, the fault "
    "more time (for_s), or the lab a smaller disk"
)


class FillDisk:
    """The disk of a directory is full but for `free_mb`."""

    def __init__(self, directory: Path, free_mb: int, for_s: float) -> None:
        """Start the process that will hold the file; it waits."""
        self._process = subprocess.Popen(  # noqa: S603  (ours)
            [
                *(sys.executable, "-m", "fpaas.faults.disk", str(directory)),
                *(str(free_mb * 1_000_000), str(for_s)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._taken_bytes = 0
        self.undo: list[Undo] = [End([Process.of(self._process.pid)])]

    def begin(self) -> None:
        """Fill it; returns when it is full. Raises InjectionError."""
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        said = ""
        # Whoever undoes the fault ends it, begun or not.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline()
        if not said.strip().isdecimal():
            assert self._process.stderr is not None  # noqa: S101
            raise InjectionError(self._process.stderr.read().strip() or TOO_SLOW)
        self._taken_bytes = int(said)

    def parameters(self) -> dict[str, Value]:
        """Return how much it took."""
        return {"taken_mb": round(self._taken_bytes / 1e6, 1)}


def fill(directory: Path, free_bytes: int) -> tuple[int, int]:
    """Take what is free but for `free_bytes`; returns the open file and its size.

    Raises OSError if the file system takes no file without a name, or no space in advance.
    """
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    size = 0
    piece = PIECE_BYTES_MAX
    while piece >= PIECE_BYTES_MIN:
        free = os.fstatvfs(fd)
        left = free.f_bavail * free.f_frsize - free_bytes
        if left < PIECE_BYTES_MIN:
            break
        piece = min(piece, left)
        try:
            os.posix_fallocate(fd, size, piece)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
                raise
            piece //= 2
        else:
            size += piece
    return fd, size


def main(directory: Path, free_bytes: int, for_s: float) -> None:
    """Wait for a word, fill, say how much, and hold it."""
    if not sys.stdin.readline():
        return
    try:
        _, size = fill(directory, free_bytes)
    except OSError as error:
        sys.exit(f"{directory}: cannot be filled: {error.strerror}")
    sys.stdout.write(f"{size}\n")
    sys.stdout.flush()
    time.sleep(for_s + GRACE_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
