"""`fpaas schema`."""

from __future__ import annotations

import json

import click

from fpaas.errors import BadInput
from fpaas.records import schemas


@click.command
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print JSON Schema of NAME (summary or summary.json); without one, list the names.

    The schema of a .jsonl is of each line.
    """
    if name is None:
        for one, file in schemas.FILES.items():
            click.echo(f"{one:18} {file.pattern}")
        return
    try:
        schema = schemas.of(name)
    except KeyError:
        raise BadInput(
            f"NAME: there is no schema of {name!r}; `fpaas schema` lists the names"
        ) from None
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
