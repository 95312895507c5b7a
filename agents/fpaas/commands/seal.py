"""`fpaas seal`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from fpaas.errors import BadInput
from fpaas.probe import journal, seal


@click.command
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--host", help="This host's name in the inventory.  [default: its own name]")
@click.option(
    "--nats-server",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The nats-server binary of this host, to record its version.",
)
@click.option(
    "--journal",
    "journals",
    metavar="NAME=UNIT",
    multiple=True,
    help="Write what a unit said during the run from the journal to NAME.log first.  Repeatable.",
)
def command(
    run_dir: Path, host: str | None, nats_server: Path | None, journals: tuple[str, ...]
) -> None:
    """Describe this host and checksum the files in RUN_DIR, in RUN_DIR/seal.json."""
    for assignment in journals:
        name, equals, unit = assignment.partition("=")
        if not equals:
            raise BadInput(f"--journal {assignment!r}: expected NAME=UNIT")
        journal.save(run_dir, name, unit)
    click.echo(seal.seal(run_dir, host or platform.node(), nats_server))
