"""Commands whose output is closed, whose reader has gone, such as `head`, or that have no room."""

from __future__ import annotations

import json
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


def commands(run: Path) -> dict[str, list[str]]:
    """Return those that need no lab and end by themselves."""
    return {
        "help": ["plan", "--help"],
        "plan": ["plan"],
        "report": ["report", str(run)],
        "results": ["results", str(run.parent)],
        "results as JSON": ["results", str(run.parent), "--format", "json"],
        "watch": ["watch", str(run)],
        "compare": ["compare", str(run), str(run)],
        "explain": ["explain", "relay_silent"],
        "schema": ["schema"],
        "size": ["size", str(run)],
    }


def with_closed(closed: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', str(SCRIPTS / "fpaas"), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def test_commands_end_as_ever_if_their_output_is_closed(tmp_path: Path) -> None:
    run = tmp_path / "results" / "run"
    shutil.copytree(BUNDLE, run)
    for name, arguments in commands(run).items():
        assert "Traceback" not in with_closed(">&-", arguments).stderr, name
    assert (tmp_path / "results" / "index.html").exists()
    assert with_closed("<&- >&- 2>&-", ["results", str(run.parent)]).returncode == 0


def test_what_a_command_writes_is_not_taken_for_its_closed_output(tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    assert with_closed(">&-", ["plan", "--output", str(output)]).returncode == 0
    assert json.loads(output.read_text())["variables"]
