"""`fpaas server`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from fpaas.control import host_program, own_prometheus


@click.command
@click.option(
    "--program",
    type=click.Choice(list(host_program.SOURCES)),
    default=host_program.NATS_SERVER,
    show_default=True,
)
@click.option(
    "--source",
    required=True,
    help="A program, or an upstream archive. Empty, for prometheus: the control node's own.",
)
@click.option("--checksum", help="SHA-256 of that file; archives need it.")
@click.option("--machine", help="The host's, such as x86_64; this one's without.")
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="To unpack into.")
@click.option(
    "--checkout",
    type=click.Path(path_type=Path, exists=True),
    help="Has locked the control node's own programs for other machines.",
)
def command(
    *,
    program: str,
    source: str,
    checksum: str | None,
    machine: str | None,
    cache: Path,
    checkout: Path | None,
) -> None:
    """Print the path of a program that runs on a host, or say why there is none."""
    if program == host_program.PROMETHEUS and not source:
        source = str(own_prometheus.find(cache))
        if machine is None:
            # Whatever it is, it is this machine's: a script as well.
            click.echo(source)
            return
    machine = machine or platform.machine()
    click.echo(host_program.find(program, source, machine, cache, checksum, checkout=checkout))
