"""Lines that a disk does not take for a while."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fpaas.records.waiting_lines import WaitingLines


def test_they_are_written_in_order_once_there_is_a_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "disk" / "lines"
    lines = WaitingLines(path, is_new=True)
    for number in range(3):
        lines.write(number)
    path.parent.mkdir()
    lines.write(3)
    lines.close()
    lines.write(4)
    assert path.read_text() == "0\n1\n2\n3\n"
    assert not lines.loss
    said = [one.getMessage().removeprefix(f"{path}: ") for one in caplog.records]
    assert said == [
        "cannot be written: No such file or directory; its lines wait in memory",
        "is written again; nothing is missing",
    ]


def test_the_oldest_are_lost_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "lines"
    lines = WaitingLines(path, waiting_max_bytes=10)
    for number in range(8):
        lines.write(number)
    path.parent.mkdir()
    lines.close()
    assert path.read_text() == "3\n4\n5\n6\n7\n"
    assert lines.loss == (
        f"{path}: cannot be written: the disk was full for too long; 3 lines of it are missing"
    )


def test_what_waits_at_the_end_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "disk" / "lines"
    lines = WaitingLines(path)
    lines.write(0)
    lines.close()
    assert lines.loss == (
        f"{path}: cannot be written: No such file or directory; 1 lines of it are missing"
    )
