"""`fpaas watch`: a run as it goes on, full-screen at a terminal, as lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from fpaas.errors import BadInput
from fpaas.live import source, view
from fpaas.live.view import View

LAB = Path(".lab") / "current"
#: Over hosts each look is a login.
EVERY_S = {"here": 1.0, "hosts": 3.0}
LINES_EVERY_S = 5.0
#: A terminal that has no screen to write on.
DUMB = "dumb"


@click.command
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "-i",
    "--inventory",
    type=click.Path(exists=True, path_type=Path),
    help="Watch the run that is on now on these hosts.",
)
@click.option("--once", is_flag=True, help="Show the state now, and end.")
@click.option("--lines", is_flag=True, help="Print lines, as without a terminal.")
def command(run: Path | None, inventory: Path | None, *, once: bool, lines: bool) -> None:
    """Watch a run: the one that is on here (.lab), the one on an inventory's hosts, or RUN.

    RUN is a directory, such as results/<run-id>. Ctrl-C ends the watching and leaves the run alone.
    """
    if run and inventory:
        raise BadInput("RUN is a run that was collected, -i one that is on; give one of them")
    where = source.OverHosts(inventory) if inventory else source.Here(_directory(run))
    every_s = EVERY_S["hosts" if inventory else "here"]
    try:
        if sys.stdout.isatty() and os.environ.get("TERM", DUMB) != DUMB and not lines:
            last = _full_screen(where, every_s, once=once)
        else:
            last = _lines(where, max(every_s, LINES_EVERY_S), once=once)
    except KeyboardInterrupt:
        click.echo("no longer watched; the run goes on", err=True)
        return
    if last.is_over and not last.verdict:
        shown = f"`fpaas watch results/{last.run.run_id}`"
        click.echo(f"no verdict yet; once the run is collected, {shown} shows it", err=True)


def _directory(run: Path | None) -> Path:
    if run is not None:
        if not (run / "run.json").is_file():
            raise BadInput(f"{run}: is not the directory of a run; expected results/<run-id>")
        return run
    if not LAB.is_dir():
        raise BadInput(
            f"no run is on here ({LAB} does not exist); give results/<run-id>, or -i INVENTORY"
        )
    return LAB


def _look(where: source.Here | source.OverHosts) -> View:
    dumps = where.dumps()
    spec = where.run(dumps)
    unreached = where.unreached if isinstance(where, source.OverHosts) else []
    now_unix_ns = where.now_unix_ns(spec, dumps)
    return view.make(spec, dumps, now_unix_ns, where.summary(), unreached)


def _lines(where: source.Here | source.OverHosts, every_s: float, *, once: bool) -> View:
    from fpaas.live import screen  # noqa: PLC0415  rich is on the control node only

    shown: set[tuple[float, str]] = set()
    while True:
        seen = _look(where)
        for event in seen.events:
            if event not in shown:
                click.echo(screen.event_line(*event))
        shown.update(seen.events)
        click.echo(screen.line(seen))
        if once or seen.is_over:
            return seen
        time.sleep(every_s)


def _full_screen(where: source.Here | source.OverHosts, every_s: float, *, once: bool) -> View:
    from rich.console import Console  # noqa: PLC0415  is on the control node only
    from rich.live import Live  # noqa: PLC0415

    from fpaas.live import screen  # noqa: PLC0415

    console = Console()
    seen = _look(where)
    if once or seen.is_over:
        console.print(screen.draw(seen, console))
        return seen
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not seen.is_over:
            live.update(screen.draw(seen, console), refresh=True)
            time.sleep(every_s)
            seen = _look(where)
    console.print(screen.draw(seen, console))
    return seen
