"""`fpaas compare`: tell whether runs are better, worse, or the same within their noise."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fpaas import json_input
from fpaas.bundle import lacking, own_files
from fpaas.errors import EXIT_VERDICT_FAILED, BadInput, RunInvalid, report_command
from fpaas.finite import FiniteRange
from fpaas.records import control
from fpaas.summary import comparison, repeats, summary
from fpaas.text import comparison_text
from fpaas.text.comparison_text import Caution
from fpaas.verdict import stalls, verdict

SEPARATOR = "vs"
#: Host facts in manifest.json by which two machines or installations differ.
MACHINE_FACTS = (
    *("cpu_count", "cpu_model", "mem_total_mb", "kernel", "os", "virtualization"),
    *("python", "nats_server"),
)
#: From control.json, as manifest.json has it.
CONTROL_FACTS = ("git_commit", "git_dirty", "nats_tls", "ansible_version")


@dataclass(frozen=True)
class Run:
    """A reported run: its summary, and all that may differ from another's, flat."""

    directory: Path
    summary: dict[str, Any]
    facts: dict[str, Any]
    #: Stands for what nobody noted.
    unknown: tuple[str, ...]
    #: The same for copies of one run; None: not known.
    identity: tuple[str, str] | None


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A... [vs B...]")
@click.option(
    "--threshold-pct",
    default=0.0,
    show_default=True,
    type=FiniteRange(min=0),
    help="Exit 1 if a figure is significantly worse by more than this.",
)
@click.option("--format", "style", default="text", type=click.Choice(["text", "json", "markdown"]))
@click.option("--all", "everything", is_flag=True, help="Also show what did not change.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write a page: overlaid curves, resources on a common time axis.",
)
@click.option("--allow-invalid", is_flag=True, help="Also compare invalid runs, and mark them.")
def command(
    runs: tuple[str, ...],
    threshold_pct: float,
    style: str,
    html: Path | None,
    *,
    everything: bool,
    allow_invalid: bool,
) -> None:
    """Compare run directories A... with B...: medians, 95 % intervals, significance.

    `~` marks a difference that may be noise. Groups of the same size need at least 4 runs each to
    show a difference, and 6 for intervals of 95 %. A... alone, repeats of the same run, shows the
    noise floor: for each figure, the smallest difference that could be detected.
    """
    if runs.count(SEPARATOR) > 1:
        raise BadInput("expected at most two groups: fpaas compare RUN... vs RUN...")
    at = runs.index(SEPARATOR) if SEPARATOR in runs else len(runs)
    before, copies = _once([_load(Path(run)) for run in _checked(runs[:at])])
    if SEPARATOR not in runs:
        if html:
            raise BadInput("--html is for two groups: fpaas compare RUN... vs RUN...")
        caution = _caution(before, before, copies, allow_invalid=allow_invalid)
        samples, left_out = comparison.noise([one.summary for one in before])
        click.echo(comparison_text.floors(samples, left_out, caution, style))
        return
    after, copies_after = _once([_load(Path(run)) for run in _checked(runs[at + 1 :])])
    caution = _caution(before, after, copies + copies_after, allow_invalid=allow_invalid)
    compared = comparison.compare([one.summary for one in before], [one.summary for one in after])
    worse = comparison.regressions(compared.rows, threshold_pct)
    click.echo(comparison_text.compared(compared, caution, style, everything=everything))
    if html and any(own_files.has(run.directory, html) for run in before + after):
        raise BadInput(f"--html: {html}: is a file of a run; name another")
    if html:
        _write_page(html, before, after, compared, caution)
    if worse:
        names = ", ".join(row.figure for row in worse)
        click.echo(f"significantly worse by more than {threshold_pct:g} %: {names}", err=True)
        sys.exit(EXIT_VERDICT_FAILED)


def _write_page(
    path: Path,
    before: list[Run],
    after: list[Run],
    compared: comparison.Comparison,
    caution: Caution,
) -> None:
    # Only the control node has what the page is made with.
    from fpaas.report import comparison_page  # noqa: PLC0415

    groups = [[(run.directory, run.summary) for run in group] for group in (before, after)]
    page = comparison_page.render(groups[0], groups[1], compared, caution)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--html: {path}: cannot be written: {error.strerror}") from error


def _once(group: list[Run]) -> tuple[list[Run], list[str]]:
    """Leave out copies of a run: they are no repeats; returns them as warnings."""
    kept: list[Run] = []
    warnings = []
    for run in group:
        first = next((one for one in kept if run.identity and one.identity == run.identity), None)
        if first is None:
            kept.append(run)
        else:
            warnings.append(
                f"{run.directory} is a copy of {first.directory}, not a repeat: it counts once"
            )
    return kept, warnings


def _checked(group: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse groups that are none, and runs that would count twice."""
    if not group:
        raise BadInput(f"expected at least one run on each side of '{SEPARATOR}'")
    if len(group) > repeats.RUNS_MAX:
        raise BadInput(f"{len(group)} runs on one side; at most {repeats.RUNS_MAX}")
    for path, count in Counter(Path(run).resolve() for run in group).items():
        if count > 1:
            raise BadInput(f"{path}: is named {count} times on one side; a run counts once")
    return group


def _caution(
    before: list[Run], after: list[Run], copies: list[str], *, allow_invalid: bool
) -> Caution:
    warnings = list(copies)
    everything = list({run.directory.resolve(): run for run in [*before, *after]}.values())
    for run in everything:
        judged = run.summary["verdict"]
        if judged["status"] != verdict.INVALID:
            continue
        why = "; ".join(map(str, judged.get("reasons") or ["no reason given"]))
        if not allow_invalid:
            raise RunInvalid(
                f"{run.directory}: is invalid, and its figures are not to be trusted: {why}. "
                "Leave it out, or compare it anyway with --allow-invalid"
            )
        warnings.append(f"{run.directory} is INVALID: {why}")
    for run in everything:
        warnings += [
            f"{run.directory}: {what}" for what in (*_lacking(run), *_broken(run), *run.unknown)
        ]
    if before is not after:
        there = {run.identity or run.directory.resolve() for run in before}
        warnings += [
            f"{run.directory} is on both sides"
            for run in after
            if (run.identity or run.directory.resolve()) in there
        ]
    facts = [[run.facts for run in group] for group in (before, after)]
    return Caution(warnings, comparison.differences(*facts))


def _lacking(run: Run) -> Iterator[str]:
    if what := lacking.sentence(run.directory):
        yield what


def _broken(run: Run) -> Iterator[str]:
    """Iterate over what stood still, died or was started again in a run; each kind once."""
    by_kind: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    events = run.summary.get("events")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and stalls.is_breaking(event):
            by_kind[event["kind"]].append(event)
    for kind, (first, *others) in by_kind.items():
        more = f" (and {len(others)} more of this kind)" if others else ""
        yield f"{kind} at {first.get('begin_s')} s: {first.get('sentence')}{more}"


def _load(directory: Path) -> Run:
    content = _read_json(directory / "summary.json")
    if content.get("schema") != summary.SCHEMA:
        raise BadInput(
            f"{directory / 'summary.json'}: schema {content.get('schema')}, expected "
            f"{summary.SCHEMA}; {report_command(directory)} rewrites it"
        )
    judged = _object(content, "verdict")
    is_judged = judged.get("status") in verdict.STATUSES
    if not is_judged or not isinstance(judged.get("reasons") or [], list):
        raise BadInput(
            f"{directory / 'summary.json'}: has no verdict; {report_command(directory)} writes one"
        )
    run = _read_json(directory / "run.json")
    manifest_path = directory / "manifest.json"
    manifest = _read_json(manifest_path) if manifest_path.exists() else {}
    return Run(
        directory,
        content,
        _facts(content, run, manifest),
        _unknown(manifest, directory),
        _identity(content, run),
    )


def _unknown(manifest: dict[str, Any], directory: Path) -> tuple[str, ...]:
    is_there = (directory / control.NAME).exists()
    if not manifest:
        return ("has no manifest.json: versions and machines are not known",)
    if not _object(manifest, "control"):
        where = f"{control.NAME} came after the report" if is_there else f"has no {control.NAME}"
        return (f"{where}: {', '.join(CONTROL_FACTS)} are not known",)
    return () if is_there else (f"{control.NAME} is missing: told by manifest.json alone",)


def _identity(content: dict[str, Any], run: dict[str, Any]) -> tuple[str, str] | None:
    """Return what all copies of a run share, whatever became of their figures."""
    if run.get("t0_unix_ns"):
        # T0 is a round time, which runs of two labs may share.
        return "run", json.dumps(run, sort_keys=True)
    return ("run id", str(content["run_id"])) if content.get("run_id") else None


def _facts(
    content: dict[str, Any], run: dict[str, Any], manifest: dict[str, Any]
) -> dict[str, Any]:
    noted, window = _object(manifest, "control"), _object(content, "window")
    facts: dict[str, Any] = {
        "scenario": content.get("scenario"),
        "verdict": content["verdict"]["status"],
        **{f"window.{name}": window.get(name) for name in ("from_s", "until_s", "calls_by")},
        **{name: noted.get(name) for name in CONTROL_FACTS},
        "fpaas": manifest.get("fpaas_version"),
    }
    machines = _object(manifest, "hosts")
    for host in machines:
        machine = _object(machines, host)
        facts |= {f"{host}.{name}": machine.get(name) for name in MACHINE_FACTS}
    noted_facts = {name: value for name, value in facts.items() if value is not None}
    hosts = {f"hosts.{group}": names for group, names in _object(run, "hosts").items()}
    # Only of settings null is a value.
    return {**noted_facts, **hosts, **_object(run, "variables")}


def _object(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what is there under a name; nothing if it is no object."""
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json_input.read_part(path, "the directory of a reported run")
    except ValueError as error:
        raise BadInput(str(error)) from error
