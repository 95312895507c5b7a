"""`fpaas failures`: plays all failures that the hosts can, into one table."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fpaas.control import failure_matrix
from fpaas.errors import EXIT_RUN_INVALID, EXIT_VERDICT_FAILED, BadInput


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--inventory", multiple=True, help="As for ansible-playbook.")
@click.option(
    "--results",
    default="results",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the runs' bundles go; the table goes to failures/ there.",
)
@click.option(
    "--playbooks",
    default="playbooks",
    show_default=True,
    type=click.Path(file_okay=False, exists=True, path_type=Path),
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(
    *, inventory: tuple[str, ...], results: Path, playbooks: Path, options: tuple[str, ...]
) -> None:
    """Play every playbook failure-*.yml that the hosts can, and write one table.

    OPTIONS are ansible-playbook's. Failures that were played with the same options are not played
    again; to do so, remove results/failures/failures.json. Ends with 1 if a verdict was fail, with
    3 if a run was invalid.
    """
    of_ansible = [word for name in inventory for word in ("--inventory", name)] + list(options)
    matrix = failure_matrix.Matrix(
        results,
        failure_matrix.Playbooks(
            playbooks, of_ansible, Path(sys.executable).with_name("ansible-playbook")
        ),
        click.echo,
        {"options": of_ansible},
    )
    try:
        rows = matrix.fill(playbooks)
    except OSError as error:
        raise BadInput(f"{error.filename or results}: {error.strerror}") from error
    click.echo(failure_matrix.table(rows))
    click.echo(results / "failures" / failure_matrix.TABLE_NAME)
    verdicts = {row.verdict for row in rows}
    if "invalid" in verdicts:
        sys.exit(EXIT_RUN_INVALID)
    if "fail" in verdicts:
        sys.exit(EXIT_VERDICT_FAILED)
