"""`fpaas provision`: recreate a run's stream and durables."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from fpaas.agent import run_loop
from fpaas.jetstream import stream
from fpaas.spec import RunSpec

PROGRESS_INTERVAL_S = 5.0


@click.command(name="provision")
@click.option(
    "--run",
    "run_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The run's run.json.",
)
@click.option("--nats-url", envvar="NATS_URL", help="Instead of the run's own.")
def command(run_path: Path, nats_url: str | None) -> None:
    """Recreate a run's stream and durables, every limit explicit.

    A stream of the same name is deleted first, with everything in it.
    """
    spec = RunSpec.load(run_path)
    run_loop(_provision(spec, nats_url or spec.nats_url))


async def _provision(spec: RunSpec, nats_url: str) -> None:
    async with stream.jetstream(nats_url) as context:
        left = await stream.described(context, spec)
        if left:
            click.echo(f"removes what an earlier run left: {left}")
        started = time.monotonic()
        durables = await stream.provision(context, spec, _Progress(spec.consumers.count))
        took_s = time.monotonic() - started
        click.echo(
            f"{_streams(spec)} and {durables} durable(s) created in {took_s:.1f} s, "
            f"{durables / took_s:.0f}/s",
            err=True,
        )


def _streams(spec: RunSpec) -> str:
    names = spec.stream.names
    return f"{'streams' if spec.stream.is_split else 'stream'} {', '.join(names)}"


class _Progress:
    """Says every few seconds how far it is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._next_at = time.monotonic() + PROGRESS_INTERVAL_S

    def __call__(self, done: int) -> None:
        if time.monotonic() < self._next_at:
            return
        self._next_at += PROGRESS_INTERVAL_S
        click.echo(f"durables: {done} of {self._total}", file=sys.stderr)
