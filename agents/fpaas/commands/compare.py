"""`fpaas compare`: tell whether runs are better, worse, or the same within their noise."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fpaas.errors import EXIT_VERDICT_FAILED, BadInput
from fpaas.results import comparison

SEPARATOR = "vs"
#: Of manifest.json's host facts, what makes two machines or installations different.
MACHINE_FACTS = ("cpu_count", "cpu_model", "mem_total_mb", "kernel", "python", "nats_server")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A... vs B...")
@click.option(
    "--threshold-pct",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Exit 1 where a figure is significantly worse by more than this.",
)
@click.option("--format", "style", default="text", type=click.Choice(["text", "json", "markdown"]))
def command(runs: tuple[str, ...], threshold_pct: float, style: str) -> None:
    """Compare run directories A... with B...: medians, 95 % intervals, significance.

    `~` marks a difference that may well be noise. At least 4 runs on each side are needed to tell a
    difference, 6 for intervals; the same parameters twice (A vs A) show the noise floor.
    """
    if runs.count(SEPARATOR) != 1:
        raise BadInput("expected two groups: fpaas compare RUN... vs RUN...")
    at = runs.index(SEPARATOR)
    before, after = runs[:at], runs[at + 1 :]
    for group in (before, after):
        if not group:
            raise BadInput("expected at least one run on each side of 'vs'")
        if len(group) > comparison.RUNS_MAX:
            raise BadInput(f"{len(group)} runs on one side; at most {comparison.RUNS_MAX}")
    old, new = [_load(Path(run)) for run in before], [_load(Path(run)) for run in after]
    rows = comparison.compare([run["summary"] for run in old], [run["summary"] for run in new])
    differing = comparison.differences([run["facts"] for run in old], [run["facts"] for run in new])
    worse = comparison.regressions(rows, threshold_pct)
    click.echo(_FORMATS[style](rows, differing))
    if worse:
        names = ", ".join(row.figure for row in worse)
        click.echo(f"significantly worse by more than {threshold_pct:g} %: {names}", err=True)
        sys.exit(EXIT_VERDICT_FAILED)


def _load(directory: Path) -> dict[str, Any]:
    summary = _read_json(directory / "summary.json")
    run = _read_json(directory / "run.json")
    facts: dict[str, Any] = {
        "scenario": summary.get("scenario"),
        "verdict": summary.get("verdict", {}).get("status"),
        **run.get("variables", {}),
    }
    manifest_path = directory / "manifest.json"
    manifest = _read_json(manifest_path) if manifest_path.exists() else {}
    for host, content in manifest.get("hosts", {}).items():
        for name in MACHINE_FACTS:
            if name in content:
                facts[f"{host}.{name}"] = content[name]
    facts["fpaas"] = manifest.get("fpaas_version")
    facts["git_commit"] = manifest.get("git_commit")
    return {"summary": summary, "facts": facts}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path}: {error.strerror}; expected the directory of a reported run"
        ) from error
    except ValueError as error:
        raise BadInput(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path}: is no JSON object")
    return content


def _verdict(row: comparison.Row) -> str:
    if row.p_value is None:
        return "~ (too few runs)"
    if not row.significant:
        return f"~ (p={row.p_value:.3f})"
    change = "from 0" if row.change_pct is None else f"{row.change_pct:+.1f} %"
    return f"{change} {'worse' if row.worse else 'better'} (p={row.p_value:.3f})"


def _figure(sample: comparison.Sample) -> str:
    if sample.low is None or sample.high is None:
        return f"{sample.median:.6g}"
    return f"{sample.median:.6g} [{sample.low:.6g}, {sample.high:.6g}]"


def _table(rows: Sequence[comparison.Row]) -> list[tuple[str, str, str, str]]:
    head = ("figure", "A (median)", "B (median)", "difference")
    return [
        head,
        *((row.figure, _figure(row.before), _figure(row.after), _verdict(row)) for row in rows),
    ]


def _text(rows: Sequence[comparison.Row], differing: dict[str, tuple[list[str], list[str]]]) -> str:
    lines = []
    if differing:
        lines.append("!! These runs differ in more than chance:")
        lines += [
            f"!!   {name}: {' | '.join(old)}  ->  {' | '.join(new)}"
            for name, (old, new) in differing.items()
        ]
        lines.append("")
    table = _table(rows)
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
    return "\n".join(lines)


def _markdown(
    rows: Sequence[comparison.Row], differing: dict[str, tuple[list[str], list[str]]]
) -> str:
    lines = []
    if differing:
        lines.append("**These runs differ in more than chance:**\n")
        lines += [
            f"- `{name}`: {', '.join(old)} → {', '.join(new)}"
            for name, (old, new) in differing.items()
        ]
        lines.append("")
    head, *body = _table(rows)
    lines.append("| " + " | ".join(head) + " |")
    lines.append("|---|---:|---:|---|")
    lines += ["| " + " | ".join(line) + " |" for line in body]
    return "\n".join(lines)


def _json(rows: Sequence[comparison.Row], differing: dict[str, tuple[list[str], list[str]]]) -> str:
    return json.dumps(
        {
            "figures": [asdict(row) for row in rows],
            "differing": {name: {"a": old, "b": new} for name, (old, new) in differing.items()},
        },
        indent=2,
    )


_FORMATS = {"text": _text, "json": _json, "markdown": _markdown}
