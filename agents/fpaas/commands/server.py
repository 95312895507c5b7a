"""`fpaas server`."""

from __future__ import annotations

from pathlib import Path

import click

from fpaas.control import nats_server


@click.command
@click.option("--source", required=True, help="A program, or an archive of upstream's.")
@click.option("--checksum", help="SHA-256 of that file; archives need it.")
@click.option("--machine", required=True, help="The host's, such as x86_64.")
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="To unpack into.")
def command(*, source: str, checksum: str | None, machine: str, cache: Path) -> None:
    """Print the path of a nats-server that runs on a host, or say why there is none."""
    click.echo(nats_server.find(source, machine, cache, checksum))
