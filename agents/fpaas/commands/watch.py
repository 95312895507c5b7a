"""`fpaas watch`: a run as it goes on, full-screen at a terminal, as lines elsewhere."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import click

from fpaas.bundle.loader import HOSTS_DIRECTORY
from fpaas.control.lab_lock import Lab
from fpaas.errors import BadInput, report_command
from fpaas.live import lab, view
from fpaas.live.lab import OfLab
from fpaas.live.source import Here, OverHosts
from fpaas.live.view import View
from fpaas.records import control

#: Over hosts each look is a login.
EVERY_S = {"here": 1.0, "hosts": 3.0}
LINES_EVERY_S = 5.0
#: A terminal that has no screen to write on.
DUMB = "dumb"
WAITING = "waiting for the next run; Ctrl-C stops watching"
Source = Here | OverHosts | OfLab


@click.command
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "-i",
    "--inventory",
    type=click.Path(exists=True, path_type=Path),
    help="Watch the run in progress on these hosts.",
)
@click.option("--once", is_flag=True, help="Show the current state and exit.")
@click.option("--lines", is_flag=True, help="Print lines, as it does without a terminal.")
def command(run: Path | None, inventory: Path | None, *, once: bool, lines: bool) -> None:
    """Watch a run: the one in progress here (.lab) or on an inventory's hosts, or RUN.

    RUN is a directory, such as results/<run-id>. Ctrl-C stops watching and leaves the run alone.
    """
    if run and inventory:
        raise BadInput("RUN is a collected run, -i one in progress; give one of them")
    where = _source(run, inventory)
    every_s = EVERY_S["hosts" if inventory else "here"]
    try:
        if isinstance(where, OfLab) and not once:
            _wait_for_one(where)
        if sys.stdout.isatty() and os.environ.get("TERM", DUMB) != DUMB and not lines:
            last = _full_screen(where, every_s, once=once)
        else:
            last = _lines(where, max(every_s, LINES_EVERY_S), once=once)
    except KeyboardInterrupt:
        click.echo("no longer watching; the run continues", err=True)
        return
    if last.is_over:
        click.echo(_last_words(where, last), nl=False, err=True)


def _source(run: Path | None, inventory: Path | None) -> Source:
    if inventory:
        return OverHosts(inventory)
    if run is None:
        return OfLab()
    if not (run / "run.json").is_file():
        raise BadInput(f"{run}: is not the directory of a run; expected results/<run-id>")
    return Here(run)


def _last_words(where: Source, last: View) -> str:
    """Say what a run that is over has to do with now, and where its verdict is."""
    run_id = last.run.run_id
    if last.verdict:
        # Who names a run knows which one it is.
        return f"no run is in progress; this was {run_id}\n" if isinstance(where, OfLab) else ""
    if isinstance(where, Here) and _is_collected(where.directory):
        return f"there is no verdict; {report_command(where.directory)} writes it\n"
    bundle = lab.reported(run_id)
    shown = f"`fpaas watch {shlex.quote(str(bundle or lab.RESULTS / run_id))}`"
    if bundle:
        return f"no run is in progress; {shown} shows this one's verdict\n"
    return f"no verdict yet; once the run is collected, {shown} shows it\n"


def _is_collected(directory: Path) -> bool:
    return (directory / control.NAME).exists() or (directory / HOSTS_DIRECTORY).is_dir()


def _wait_for_one(where: OfLab) -> None:
    """Wait while a playbook prepares this lab's first run."""
    if not where.is_there and playbook_is_at_work():
        click.echo(WAITING, err=True)
        while not where.is_there and playbook_is_at_work():
            time.sleep(EVERY_S["here"])


def playbook_is_at_work() -> bool:
    """Whether one holds this lab, which may collect this run, or begin another."""
    holder = Lab(lab.LAB).holder()
    return holder is not None and holder.playbook_runs


def _is_done(where: Source, seen: View, *, once: bool) -> bool:
    return once or (seen.is_over and not (isinstance(where, OfLab) and playbook_is_at_work()))


def _look(where: Source) -> View:
    dumps = where.dumps()
    spec = where.run(dumps)
    now_unix_ns = where.now_unix_ns(spec, dumps)
    return view.make(spec, dumps, now_unix_ns, where.summary(), where.problems())


def _lines(where: Source, every_s: float, *, once: bool) -> View:
    from fpaas.live import screen  # noqa: PLC0415  rich is on the control node only

    shown: set[tuple[str, float, str]] = set()
    last_line = ""
    while True:
        seen = _look(where)
        for event in seen.events:
            if (seen.run.run_id, *event) not in shown:
                click.echo(screen.event_line(*event))
        shown.update((seen.run.run_id, *event) for event in seen.events)
        line = screen.line(seen)
        # Of a run that is over it stays the same.
        if line != last_line:
            click.echo(line)
        is_done = _is_done(where, seen, once=once)
        if seen.verdict and not is_done and line != last_line:
            click.echo(WAITING)
        if is_done:
            return seen
        last_line = line
        time.sleep(every_s)


def _full_screen(where: Source, every_s: float, *, once: bool) -> View:
    from rich.console import Console, Group  # noqa: PLC0415  is on the control node only
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from fpaas.live import screen  # noqa: PLC0415

    console = Console()
    seen = _look(where)
    if _is_done(where, seen, once=once):
        console.print(screen.draw(seen, console))
        return seen
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not _is_done(where, seen, once=once):
            drawn = screen.draw(seen, console)
            waiting = [Text(WAITING, style="dim")] if seen.verdict else []
            live.update(Group(drawn, *waiting), refresh=True)
            time.sleep(every_s)
            seen = _look(where)
    console.print(screen.draw(seen, console))
    return seen
