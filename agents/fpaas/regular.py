"""Reads files of others only if they are regular: a FIFO or a device might never end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

#: A directory says by itself what it is.
_READABLE = (stat.S_ISREG, stat.S_ISDIR)


def check(path: Path) -> None:
    """Raise OSError if something else than a regular file is there, or nothing."""
    if not is_readable(path.stat().st_mode):
        raise OSError(errno.EINVAL, "is no regular file", str(path))


def is_readable(mode: int) -> bool:
    """Whether what has this mode (`st_mode`) can be read to its end."""
    return any(is_one(mode) for is_one in _READABLE)


def read_bytes(path: Path) -> bytes:
    """Read a regular file. Raises OSError."""
    check(path)
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Read a regular file of UTF-8. Raises OSError and UnicodeDecodeError."""
    return read_bytes(path).decode()
