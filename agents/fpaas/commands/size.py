"""`fpaas size`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fpaas import regular
from fpaas.errors import BadInput
from fpaas.finite import FiniteRange, WholeRange
from fpaas.records import sweep as sweep_record
from fpaas.report import sweep_report
from fpaas.search import sizing
from fpaas.search.sizing import Measured
from fpaas.spec import VARIABLES, kinds
from fpaas.sweep import record
from fpaas.text import size_text

#: Variables that may differ: those that sizes are predicted over, and those that cost nothing.
MAY_DIFFER = (
    *("bench_consumers", "bench_poll_interval_s"),
    *("bench_seed", "bench_repeat", "bench_keep_metrics"),
)


@click.command
@click.option(
    "--consumers",
    required=True,
    multiple=True,
    type=WholeRange(min=1),
    help="How many consumers. Repeatable.",
)
@click.option(
    "--poll",
    "poll_interval_s",
    required=True,
    type=FiniteRange(min=0, min_open=True),
    help="Seconds between a consumer's polls.",
)
@click.option(
    "--from",
    "paths",
    required=True,
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A run or a sweep under results/. Repeatable.",
)
@click.option("--format", "style", default="text", type=click.Choice(["text", "json"]))
def command(
    consumers: tuple[int, ...], poll_interval_s: float, paths: tuple[Path, ...], style: str
) -> None:
    """Predict what a number of consumers needs, from measured runs.

    Each figure has the 95 % interval of one more run. What lies beyond the largest load measured
    is marked as extrapolated. Invalid runs are left out.
    """
    if not math.isfinite(poll_interval_s):
        raise BadInput(f"--poll: {poll_interval_s} is not allowed; expected a number of seconds")
    measured = _read(paths)
    sizes = [sizing.size(measured, count, poll_interval_s) for count in consumers]
    if style == "json":
        click.echo(json.dumps([asdict(size) for size in sizes], indent=2))
        return
    click.echo(f"A poll every {poll_interval_s:g} s, from {len(measured)} runs:")
    for line in size_text.lines(sizes):
        click.echo(line)


def _read(paths: Sequence[Path]) -> list[Measured]:
    """Read runs and sweeps. Raises BadInput that names what cannot be used, or what differs."""
    found: list[Measured] = []
    conditions: dict[str, tuple[Any, Path]] = {}
    for bundle in _bundles(paths):
        summary = sweep_report.summary_of(bundle)
        if summary["verdict"]["status"] not in sweep_record.FINISHED:
            continue
        variables = _variables(bundle)
        kind = variables.get("bench_consumer_kind", kinds.PULL)
        if kind != kinds.PULL:
            raise BadInput(
                f"{bundle}: bench_consumer_kind is {kind}; sizes are predicted from runs whose "
                "consumers poll"
            )
        if variables.get("bench_mix"):
            raise BadInput(
                f"{bundle}: it has bench_mix; sizes are predicted from runs whose consumers all "
                "poll alike"
            )
        alike = {
            name: variables.get(name, variable.default)
            for name, variable in VARIABLES.items()
            if name not in MAY_DIFFER
        }
        for name, own in alike.items():
            value, first = conditions.setdefault(name, (own, bundle))
            if value != own:
                raise BadInput(
                    f"{bundle}: {name} is {own}, and {value} in {first}; sizes are predicted from "
                    "runs that differ in consumers and poll interval only"
                )
        found.append(sizing.of_run({**alike, **variables}, summary))
    if len({one.consumers for one in found}) < 2:
        raise BadInput(
            f"{', '.join(map(str, paths))}: expected valid runs of two numbers of consumers at "
            "least, to see how cost grows"
        )
    return found


def _bundles(paths: Sequence[Path]) -> Iterator[Path]:
    """Iterate over runs, each once: its repetition would make an interval too narrow."""
    seen = set()
    for bundle in _all_bundles(paths):
        if bundle.resolve() not in seen:
            seen.add(bundle.resolve())
            yield bundle


def _all_bundles(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not (path / sweep_record.NAME).exists():
            yield path
            continue
        for _, run in record.load(path).alike:
            yield sweep_report.bundle_of(path, run.run_id)


def _variables(bundle: Path) -> dict[str, Any]:
    path = bundle / "run.json"
    try:
        variables = json.loads(regular.read_text(path))["variables"]
        return dict(variables)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: is not a run.json: {error}") from error
