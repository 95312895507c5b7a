"""`fpaas guard`: cleans up after a playbook, also after one that was killed."""

from __future__ import annotations

from pathlib import Path

import click

from fpaas.control import guard, lab_lock, lab_processes, terminal_line

lab_option = click.option(
    "--lab",
    "lab_directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The lab's directory.",
)


@click.group(name="guard")
def command() -> None:
    """Keep the embedded lab from outliving the playbook that runs it."""


@command.command()
@lab_option
@click.option(
    "--results",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The directory of the runs' bundles.",
)
@click.argument("collect", nargs=-1, required=True)
def start(lab_directory: Path, results: Path, collect: tuple[str, ...]) -> None:
    """Take the lab, end what an earlier run left in it, and watch this playbook from now on.

    COLLECT is the command that collects and reports an interrupted run.
    """
    lab = lab_lock.Lab(lab_directory)
    playbook = lab_lock.playbook_above()
    teller = guard.Teller(terminal_line.opened(playbook.pid))
    lock = lab.acquire(teller.waiting)
    leftovers = lab_processes.sweep(lab_directory)
    (lab_directory / guard.CURRENT).unlink(missing_ok=True)
    guard.prune(lab_directory, results)
    if leftovers:
        click.echo(f"ended what an earlier run left: {', '.join(map(str, leftovers))}")
    if guard.detach(lock, playbook, lab_directory / guard.LOG):
        guard.watch(lab_directory, playbook, results, list(collect), teller)


@command.command()
@lab_option
def sweep(lab_directory: Path) -> None:
    """End all of the lab's processes but the guard, agents first; never those of another's run."""
    lab_lock.Lab(lab_directory).refuse_others()
    for process in lab_processes.sweep(lab_directory):
        click.echo(f"ended {process}")


@command.command()
@lab_option
@click.option("--force", is_flag=True, help="Also if they are of another playbook's run.")
def stop(lab_directory: Path, *, force: bool) -> None:
    """End all of the lab's processes, and the guard."""
    lab = lab_lock.Lab(lab_directory)
    if not force:
        lab.refuse_others()
    for process in lab_processes.sweep(lab_directory):
        click.echo(f"ended {process}")
    lab.release()
