"""`fpaas seal`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from fpaas.probe import seal


@click.command
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--host", help="This host's name in the inventory.  [default: its own name]")
@click.option(
    "--nats-server",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The nats-server binary of this host, to record its version.",
)
def command(run_dir: Path, host: str | None, nats_server: Path | None) -> None:
    """Describe this host and checksum the files in RUN_DIR, in RUN_DIR/seal.json."""
    click.echo(seal.seal(run_dir, host or platform.node(), nats_server))
