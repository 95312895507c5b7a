"""`fpaas seal`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from fpaas import common_time
from fpaas.errors import BadInput
from fpaas.probe import journal, seal
from fpaas.spec import NS_PER_S, RunSpec, SpecError


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
    host = host or platform.node()
    ahead_s = _follow_common_time(run_dir / "run.json", host)
    for assignment in journals:
        name, equals, unit = assignment.partition("=")
        if not equals:
            raise BadInput(f"--journal {assignment!r}: expected NAME=UNIT")
        journal.save(run_dir, name, unit, ahead_s)
    click.echo(seal.seal(run_dir, host, nats_server))


def _follow_common_time(run_json: Path, host: str) -> float:
    """Go by the run's common time, if it has one; returns what `journal.since` needs to know."""
    try:
        run = RunSpec.load(run_json)
    except SpecError:
        # Everything there is gets sealed, and this file may be the damaged one.
        return 0.0
    common_time.shift(run.clock_shift_ns(host))
    return (run.control_clock_shift_ns - run.clock_shift_ns(host)) / NS_PER_S
