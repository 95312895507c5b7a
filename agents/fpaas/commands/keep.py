"""`fpaas keep`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fpaas.errors import RunInvalid
from fpaas.probe import kept_metrics
from fpaas.probe.kept_metrics import Prometheus


@click.command
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--host", required=True, help="This host's name in the inventory.")
@click.option("--url", required=True, help="Of Prometheus.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Its data directory.")
@click.option("--ca", type=click.Path(path_type=Path), help="Certificate authority, for https.")
def command(*, run_dir: Path, host: str, url: str, data: Path, ca: Path | None) -> None:
    """Keep Prometheus' samples of a run in its directory."""
    prometheus = Prometheus(url)
    if ca is not None:
        login = sys.stdin.readline().split()
        prometheus = Prometheus(url, user=login[0], password=login[1], ca_file=ca)
    try:
        kept = kept_metrics.keep(prometheus, data, run_dir, host)
    except OSError as error:
        raise RunInvalid(f"{run_dir}: {error}") from error
    click.echo(f"{kept.series} series, {kept.samples} samples")
