"""Exit codes of the command line, the errors that carry them, and what these advise."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

EXIT_DONE = 0
EXIT_VERDICT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_RUN_INVALID = 3


def report_command(directory: Path) -> str:
    """Write the command that reports a run, as errors advise it: a shell takes any path."""
    return f"`fpaas report {shlex.quote(str(directory))}`"


class BadInput(click.ClickException):
    """Wrong arguments or bad input: the message names the variable or file and what to do."""

    exit_code = EXIT_BAD_INPUT


class SpecError(ValueError):
    """A variable or a run.json that cannot be run; the message is for the user."""


class RunInvalid(click.ClickException):
    """The run cannot be trusted (a part died, NATS was away, the disk was full)."""

    exit_code = EXIT_RUN_INVALID
