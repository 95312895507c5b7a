"""Files whose disk is full for a while."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from fpaas.measures.growing_file import GrowingFile


class SmallDisk(io.FileIO):
    """Takes no more bytes than there is room for, and says so only when there is none."""

    room = 0

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        if not SmallDisk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = piece[: SmallDisk.room]
        SmallDisk.room -= len(taken)
        return super().write(taken)

    def truncate(self, size: int | None = None) -> int:
        before = os.fstat(self.fileno()).st_size
        left = super().truncate(size)
        SmallDisk.room += before - left
        return left


def test_what_a_full_disk_does_not_take_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda self, mode, **_: SmallDisk(self, mode[:1]))
        file = GrowingFile(path)
    SmallDisk.room = 8
    file.append(b"first\n")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            file.append(b"more\n")
    # No part of a piece.
    assert path.read_bytes() == b"first\n"
    SmallDisk.room = 100
    file.append(b"last\n")
    file.close()
    assert path.read_bytes() == b"first\nmore\nmore\nlast\n"


def test_more_than_may_be_kept_is_missing_for_good_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda self, mode, **_: SmallDisk(self, mode[:1]))
        file = GrowingFile(path, kept_max_bytes=12)
    SmallDisk.room = 6
    file.append(b"first\n")
    for number in range(2):
        with pytest.raises(OSError, match="No space left") as caught:
            file.append(b"more%d\n" % number)
        assert "missing" not in str(caught.value)
    with pytest.raises(OSError, match="for too long: its last 3 pieces are missing"):
        file.append(b"more2\n")
    # A disk that has room again does not hide that there is a hole.
    SmallDisk.room = 100
    with pytest.raises(OSError, match="its last 4 pieces are missing") as caught:
        file.append(b"more3\n")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(OSError, match="its last 4 pieces are missing"):
        file.close()
    assert path.read_bytes() == b"first\n"


def test_what_is_kept_is_missed_at_the_end(tmp_path: Path) -> None:
    full = tmp_path / "file"
    full.symlink_to("/dev/full")
    file = GrowingFile(full)
    with pytest.raises(OSError, match="No space left") as caught:
        file.append(b"piece")
    assert caught.value.filename == str(full)
    with pytest.raises(OSError, match="No space left"):
        file.close()
