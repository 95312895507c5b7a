"""Commands whose reader has gone, such as `head`, or whose output has no room."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fpaas.cli import EXIT_READER_GONE
from tests.support.checkout import CHECKOUT, SCRIPTS

BUNDLE = CHECKOUT / "tests" / "data" / "bundles" / "failing"


def ended(arguments: list[str]) -> tuple[int, str]:
    """Play a command whose output nobody reads; returns its exit code and what it complained."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [str(SCRIPTS / "fpaas"), *arguments]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["schema", "summary"]])
def test_a_command_ends_quietly_without_a_reader(arguments: list[str]) -> None:
    assert ended(arguments) == (EXIT_READER_GONE, "")


def test_files_are_written_though_nobody_reads_the_summary(tmp_path: Path) -> None:
    run = tmp_path / "results" / "run"
    shutil.copytree(BUNDLE, run)
    assert ended(["report", str(run)]) == (EXIT_READER_GONE, "")
    assert (run / "manifest.json").exists()
    assert ended(["results", str(tmp_path / "results")]) == (EXIT_READER_GONE, "")
    assert (tmp_path / "results" / "index.html").exists()


def test_help_that_has_no_room_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [str(SCRIPTS / "fpaas"), "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
