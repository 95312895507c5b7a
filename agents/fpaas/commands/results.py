"""`fpaas results`: every run and sweep of a results folder, at the terminal and as a page."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

import click

from fpaas.errors import BadInput
from fpaas.results import entry, folder
from fpaas.results.entry import Entry
from fpaas.text import results_text


@click.command
@click.argument("results", default="results", type=click.Path(path_type=Path))
@click.option(
    "--filter",
    "words",
    default="",
    metavar="TEXT",
    help="Show only rows that contain all of these words.",
)
@click.option("--format", "style", default="text", type=click.Choice(["text", "json"]))
@click.option("--quiet", is_flag=True, help="Write the page only.")
def command(results: Path, words: str, style: str, *, quiet: bool) -> None:
    """List all runs and sweeps in RESULTS, newest first, and write RESULTS/index.html.

    Broken ones get a row that says what is wrong. Playbooks do this after each run.
    """
    # Only the control node has what the page is made with.
    from fpaas.report import results_page  # noqa: PLC0415

    entries, page = folder.read(results), results / results_page.NAME
    if not quiet:
        # If only the top of it is read, as by `head`, the page is written anyway.
        with contextlib.suppress(BrokenPipeError):
            _show(entry.matching(entries, words), style)
    try:
        results_page.write(results, entries)
    except OSError as error:
        raise BadInput(f"{page}: cannot be written: {error.strerror}") from error
    if style == "text" and not quiet:
        click.echo(f"\npage        {page}")


def _show(entries: list[Entry], style: str) -> None:
    if style == "json":
        click.echo(results_text.as_json(entries))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in results_text.lines(entries, width):
        click.echo(line)
