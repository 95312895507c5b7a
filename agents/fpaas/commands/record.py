"""`fpaas record`."""

from __future__ import annotations

from pathlib import Path

import click

from fpaas import agent
from fpaas.finite import FiniteRange, WholeRange
from fpaas.firehose.subscription import STUCK_S
from fpaas.relay import record


@click.command
@click.argument("relay", envvar="RELAY_HOST")
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The capture file to make.",
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--max-seconds", type=FiniteRange(0, min_open=True))
@click.option("--max-frames", type=WholeRange(1))
@click.option("--max-bytes", type=WholeRange(1), help="Of the file.")
@click.option(
    "--stuck-s",
    type=FiniteRange(0, min_open=True),
    default=STUCK_S,
    show_default=True,
    help="Reconnect if no event comes for this many seconds; use more for a relay that sends few.",
)
def command(
    *,
    relay: str,
    output: Path,
    force: bool,
    max_seconds: float | None,
    max_frames: int | None,
    max_bytes: int | None,
    stuck_s: float,
) -> None:
    """Capture the firehose of RELAY (a host, or a ws:// or wss:// URL; default: $RELAY_HOST).

    Ends at the first bound that is reached, or at Ctrl-C. The file is what `fpaas relay --source`
    replays.
    """
    options = record.Options(relay, output, force, max_seconds, max_frames, max_bytes, stuck_s)
    agent.run_loop(record.run(options, lambda line: click.echo(line, err=True)))
