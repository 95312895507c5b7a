"""`fpaas explain`."""

from __future__ import annotations

import difflib

import click

from fpaas.errors import BadInput
from fpaas.verdict import codes


@click.command
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Say what the CODE of a reason means and what to do; without one, list all codes.

    summary.json has the codes of a run under verdict.reason_codes and limited_by.what.
    """
    if code is None:
        for line in codes.overview():
            click.echo(line)
        return
    try:
        click.echo(codes.explain(code))
    except KeyError:
        near = difflib.get_close_matches(code, codes.CODES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`fpaas explain` lists all codes"
        raise BadInput(f"CODE: there is no code {code!r}; {hint}") from None
