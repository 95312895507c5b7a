"""`fpaas payload`."""

from __future__ import annotations

from pathlib import Path

import click

from fpaas.control import payload


@click.command
@click.option("--checkout", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--cache", required=True, type=click.Path(path_type=Path), help="Directory for it.")
@click.option("--directory", required=True, help="Its directory on the host.")
@click.option("--python", required=True, help="The host's, such as 3.13.")
@click.option("--machine", required=True, help="The host's, such as x86_64.")
@click.option("--interpreter", default=payload.Target.interpreter, show_default=True)
def command(
    *,
    checkout: Path,
    cache: Path,
    directory: str,
    python: str,
    machine: str,
    interpreter: str,
) -> None:
    """Make the agents' environment for a kind of host, unless there is one; print its path."""
    target = payload.Target(python, machine, interpreter)
    click.echo(payload.build(checkout, cache, target, directory))
